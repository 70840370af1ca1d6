"""Names with a known type are checked with it; nothing that could succeed is refused for it."""

from typing import Any

import pytest

from pipeline.expressions.cel import CelEvaluator

EVALUATOR = CelEvaluator()
SCOPE: dict[str, Any] = {
    "run": {"input": {"n": 1}, "requester": {"name": "ann", "email": "ann@example.org", "groups": ["x"]}},
    "tasks": {"x": {"status": "SUCCESS", "output": {"ok": True, "n": 7}}},
    "asset": {"attributes": {"ownerUsers": ["ann"]}},
    "now": 1_767_225_600_123,
    "item": 3,
}
NO_CONDITION = "The expression isn't a condition: it must be true or false."


@pytest.mark.parametrize(
    ("text", "position", "sentence"),
    [
        ("run.requester.name + 1 == 2", 19, "`+` can't be applied to (string, int)."),
        ("run.requester.email + 1 == 2", 20, "`+` can't be applied to (string, int)."),
        ("run . requester\n.name == 1", 22, "`==` can't be applied to (string, int)."),
        ("run.requester.groups[0] + 1", 24, "`+` can't be applied to (string, int)."),
        ("run.requester.groups.exists(g, g == 1)", 33, "`==` can't be applied to (string, int)."),
        ("1 in run.requester.groups", 2, "`in` can't be applied to (int, list(string))."),
        ('run.requester.name == "a" && run.requester.groups', 26, "`&&` can't be applied to (bool, list(string))."),
        ('tasks["x"].status + 1 == 2', 18, "`+` can't be applied to (string, int)."),
        ("tasks.x.status.startsWith(1)", 25, "`startsWith` can't be applied to (string, int)."),
        ("tasks.exists(t, tasks[t].status > 1)", 32, "`>` can't be applied to (string, int)."),
        ("now + 1 > now", 4, "`+` can't be applied to (timestamp, int)."),
        ('"run.requester.name" + 1', 21, "`+` can't be applied to (string, int)."),
        ("run.requester.name.first", 18, "The expression reads a field of a value that has no fields."),
        ("tasks.x + 1", 8, "`+` can't be applied to (map(string, dyn), int)."),
        ('tasks.x["status"] == "a" && foo', 28, "`foo` names nothing."),
        ("blockline.Task{}", 0, "`blockline.Task` names nothing."),
    ],
)
def test_types_that_do_not_go_together(text: str, position: int, sentence: str) -> None:
    (problem,) = EVALUATOR.check(text)
    assert (problem.position, problem.detail) == (position, sentence)


@pytest.mark.parametrize(
    "text",
    [
        "run.requester.name",
        "run.requester.email",
        "run.requester.groups",
        "run.requester",
        'tasks["x"].status',
        "tasks.x",
        "now",
        'has(run.requester.email) ? run.requester.email : "a"',
    ],
)
def test_what_is_known_to_be_no_truth_is_no_condition(text: str) -> None:
    assert EVALUATOR.check(text) == ()
    assert [(problem.position, problem.detail) for problem in EVALUATOR.check(text, is_condition=True)] == [
        (None, NO_CONDITION)
    ]


@pytest.mark.parametrize(
    ("text", "is_true"),
    [
        ("has(run.requester.email)", True),
        ('has(run.requester.email) && run.requester.email.endsWith("@example.org")', True),
        ("run.requester.email != null", True),
        ("(has(run.requester.email) ? run.requester.email : null) == null", False),
        ("has(asset.attributes.ownerUsers) && run.requester.name in asset.attributes.ownerUsers", True),
        ("run.requester.name in asset.attributes.ownerUsers", True),
        ('"x" in run.requester.groups', True),
        ("size(run.requester.groups) > 0", True),
        ('run.requester.groups.map(g, g + "!") == ["x!"]', True),
        ('"run.requester.name" == "tasks.x.status + 1"', False),
        ("'run.requester.name + 1' == run.requester.name", False),
        ('run.requester["name"] == "ann"', True),
        ('"email" in run.requester', True),
        ('tasks["x"].status == "SUCCESS"', True),
        ('tasks.x["status"] == "SUCCESS"', True),
        ('"output" in tasks.x', True),
        ("has(tasks.x.output) && tasks.x.output.ok", True),
        ("tasks.x.output.ok", True),
        ("tasks.x.output.n + 1 == 8", True),
        ('tasks.filter(t, tasks[t].status == "FAILURE").size() > 0', False),
        ("[tasks.x.status, run.input.n, run.requester.name].size() == 3", True),
        ("item + run.input.n == 4", True),
        ('now > timestamp("2020-01-01T00:00:00Z")', True),
        ('[{"requester": {"name": 1}}].exists(run, run.requester.name + 1 == 2)', True),
        ("[1].exists(tasks, tasks == 1)", True),
        ("[1].exists(now, now + 1 == 2)", True),
    ],
)
def test_nothing_that_could_succeed_is_refused(text: str, *, is_true: bool) -> None:
    assert EVALUATOR.check(text, is_condition=True) == ()
    assert EVALUATOR.is_true(text, SCOPE) is is_true


@pytest.mark.parametrize("text", ["run.input", "run.input.n", "tasks.x.output", "asset.attributes.a", "item"])
def test_what_is_not_known_may_be_a_condition(text: str) -> None:
    assert EVALUATOR.check(text, is_condition=True) == ()
