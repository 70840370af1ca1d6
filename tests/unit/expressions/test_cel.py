"""The CEL adapter on the edges of the language: absence, types, order, hostile texts."""

import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from pipeline.core.errors import ErrorName
from pipeline.core.limits import EXPRESSION_CHARS_MAX
from pipeline.expressions.cel import CelEvaluator
from pipeline.spec.expressions import ExpressionAbsentError, ExpressionError

EVALUATOR = CelEvaluator()
SCOPE: dict[str, Any] = {
    "run": {
        "input": {
            "n": 3,
            "d": 2.5,
            "s": "héllo 😀",
            "nul": None,
            "empty": "",
            "list": [1, 2, 3],
            "map": {"b": 1, "a": {"q": [2]}},
            "big": 2**53 + 1,
        },
        "requester": {"name": "ann", "email": None, "groups": ["stewards"]},
    },
    "tasks": {"fetch": {"status": "SUCCESS", "output": {"body": {"id": 7}}}, "later": {"status": "PENDING"}},
    "asset": {"attributes": {"name": "T", "ownerUsers": ["ann"]}},
    "now": 1_767_225_600_123,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("has(asset.attributes.ownerUsers) && run.requester.name in asset.attributes.ownerUsers", True),
        ("has(asset.attributes.nope)", False),
        ("has(tasks.later.output)", False),
        ('tasks["fetch"].output.body.id', 7),
        ('tasks["later"].status', "PENDING"),
        ('"later" in tasks', True),
        ('"nobody" in tasks', False),
        ("run.input.n + 1", 4),
        ("run.input.n == 3.0", True),
        ("run.input.d", 2.5),
        ("run.input.big", 2**53 + 1),
        ("run.input.nul", None),
        ("run.input.nul == null", True),
        ("run.input.empty", ""),
        ("size(run.input.s)", 7),
        ('run.input.s + " 日本"', "héllo 😀 日本"),
        ("run.input.list[0]", 1),
        ("run.input.list.map(x, x * 2)", [2, 4, 6]),
        ("run.input.list.filter(x, x > 1).map(x, string(x))", ["2", "3"]),
        ("run.input.list.exists(x, x > 2)", True),
        ("run.input.map", {"a": {"q": [2]}, "b": 1}),
        ("run.input.map.map(key, key)", ["a", "b"]),
        ("run.requester.groups", ["stewards"]),
        ("has(run.requester.email)", False),
        ("false && run.input.nope", False),
        ("run.input.nope == 1 || true", True),
        ("now", "2026-01-01T00:00:00.123000Z"),
        ('now > timestamp("2025-12-31T00:00:00Z")', True),
        ("now.getFullYear()", 2026),
        ('now + duration("24h")', "2026-01-02T00:00:00.123000Z"),
        ('duration("90m")', "PT5400S"),
        ('duration("-1.5s")', "-PT1.5S"),
        ('run.input.s.matches("^h")', True),
        ('r"\\d"', "\\d"),
        ("// why\n 1", 1),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1u", 1),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert EVALUATOR.check(text) == ()
    result = EVALUATOR.evaluate(text, SCOPE)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("run.input.nope", "`nope`"),
        ('run.input["nope"]', "`nope`"),
        ('tasks["later"].output', "`output`"),
        ('tasks["later"].output.body.id', "`output`"),
        ('tasks["nobody"].status', "`nobody`"),
        ("has(asset.nope.x)", "`nope`"),
        ("run.input.list[9]", "element 9"),
        ("run.input.list[-1]", "element -1"),
        ("run.requester.email", "`email`"),
        ("item", "`item`"),
        ("run.input.list.map(x, run.input.nope)", "`nope`"),
    ],
)
def test_absence(text: str, named: str) -> None:
    with pytest.raises(ExpressionAbsentError, match="isn't there") as caught:
        EVALUATOR.evaluate(text, SCOPE)
    assert named in str(caught.value)
    assert caught.value.error_name is ErrorName.EXPRESSION_ABSENT_OUTPUT


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("run.input.nul.x", "The expression reads a field of a value that has no fields."),
        ("run.input.n.x", "The expression reads a field of a value that has no fields."),
        ("run.input.n + 1.0", "The expression combines values of types that don't go together."),
        ('run.requester["name"] + 1', "The expression combines values of types that don't go together."),
        ("run.input.n / 0", "The expression divides by zero."),
        ("run.input.n % 0", "The expression divides by zero."),
        ("9223372036854775807 + run.input.n", "A number in the expression becomes too large."),
        ('run.input.s.matches("(")', "A pattern in the expression isn't a regular expression."),
        ('timestamp("soon") > now', "The expression can't be evaluated with these values."),
        ('duration("P3D")', "The expression can't be evaluated with these values."),
        ("1.0 / 0.0", "The result isn't a finite number."),
        ("{1: 2}", "The result has a key that isn't a text."),
        ('b"a"', "The result has a type that JSON hasn't."),
        ("type(1)", "The result has a type that JSON hasn't."),
        ("foo", "`foo` names nothing."),
    ],
)
def test_other_errors_are_not_absence(text: str, sentence: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        EVALUATOR.evaluate(text, SCOPE)
    assert type(caught.value) is ExpressionError
    assert str(caught.value) == sentence
    assert caught.value.error_name is ErrorName.EXPRESSION_ERROR


def test_an_error_says_nothing_of_the_data() -> None:
    scope = {**SCOPE, "run": {**SCOPE["run"], "input": {"secret": "hunter2", "n": 2**64}}}
    for text in ("run.input.n + 1", "run.input.secret.x", "int(run.input.secret)", 'run.input.secret.matches("(")'):
        with pytest.raises(ExpressionError) as caught:
            EVALUATOR.evaluate(text, scope)
        assert "hunter2" not in str(caught.value)


def test_a_run_without_an_asset_has_an_empty_one() -> None:
    scope = {**SCOPE, "asset": None}
    assert EVALUATOR.evaluate("has(asset.attributes)", scope) is False
    with pytest.raises(ExpressionAbsentError):
        EVALUATOR.evaluate("asset.attributes.name", scope)


def test_conditions() -> None:
    assert EVALUATOR.is_true("run.input.n == 3", SCOPE)
    with pytest.raises(ExpressionError, match="must be true or false"):
        EVALUATOR.is_true("run.input.n", SCOPE)
    assert EVALUATOR.check("run.input.n", is_condition=True) == ()
    assert [p.detail for p in EVALUATOR.check("1 + 1", is_condition=True)] == [
        "The expression isn't a condition: it must be true or false."
    ]


@pytest.mark.parametrize(
    ("text", "position", "sentence"),
    [
        ("", None, "The expression is empty."),
        ("1 +", 3, "The expression ends too early."),
        ("x y", 2, "`y` can't stand here."),
        ("foo.bar", 3, "`foo.bar` names nothing."),
        ("asse.attributes", 4, "`asse.attributes` names nothing. Did you mean `asset`?"),
        ("run.inptu.x", 4, "`run.inptu` names nothing. Did you mean `input`?"),
        ("run.requester.nmae", 14, "`run.requester.nmae` names nothing. Did you mean `name`?"),
        ("run", 0, "`run` can't stand alone: use `run.input` or `run.requester`."),
        ('"a" + 1', 4, "`+` can't be applied to (string, int)."),
        ('"é" <\n 1', 4, "`<` can't be applied to (string, int)."),
        ("size(1)", 4, "`size` can't be applied to (int)."),
        ('"abc', 0, "The quote that opens here is never closed."),
        ("[1].all(x, y)", 11, "`y` names nothing."),
        ("secrets.TOKEN", 7, "`secrets.TOKEN` names nothing."),
        ('"\ud800"', None, "The expression contains half a character."),
        ("1" * (EXPRESSION_CHARS_MAX + 1), None, "The expression is longer than 4096 characters."),
        ("(" * 60 + "1" + ")" * 60, None, "The expression is nested too deep."),
    ],
)
def test_check(text: str, position: int | None, sentence: str) -> None:
    (problem,) = EVALUATOR.check(text)
    assert (problem.position, problem.detail) == (position, sentence)
    with pytest.raises(ExpressionError):
        EVALUATOR.evaluate(text, SCOPE)


def test_check_reports_all() -> None:
    assert len(EVALUATOR.check("foo + bar + baz")) == 3


@pytest.mark.parametrize(
    "text",
    [
        '["ab"]' + ".map(x, x + x)" * 30,
        '["ab"]' + ".map(x, x + x)" * 16 + "[0].size()",
        "[[1]]" + ".map(x, [x, x])" * 16,
        "[[1]]" + ".map(x, [x, x])" * 12 + " == [[1]]" + ".map(x, [x, x])" * 4,
        "[1].map(a, " * 40 + "1" + ")" * 40,
        "run.input.long.all(a, run.input.long.all(b, run.input.long.all(c, true)))",
        "run.input.long.map(a, run.input.long.map(b, b))",
        "run.input.long.map(a, run.input.text + run.input.text)",
        "run.input.long.map(a, run.input.long) == run.input.long.map(a, run.input.long)",
        "run.input.long.map(a, run.input.text)",
        '"' + "a" * 3000 + '".matches("((a{1000}){1000}){1000}")',
        "run" + ".a" * 2000,
        "[" * 2000 + "]" * 2000,
        "true ? 1 : " * 300 + "1",
        "1" + " + 1" * 900,
    ],
)
def test_hostile_expressions_fail_soon(text: str) -> None:
    scope = {**SCOPE, "run": {**SCOPE["run"], "input": {"long": list(range(9_000)), "text": "x" * 40_000}}}
    began = time.monotonic()
    with pytest.raises(ExpressionError):
        CelEvaluator().evaluate(text, scope)
    assert time.monotonic() - began < 20


def test_useful_macros_are_not_refused() -> None:
    people = [{"first": f"f{i}", "last": f"l{i}", "age": i} for i in range(900)]
    scope = {**SCOPE, "run": {**SCOPE["run"], "input": {"people": people, "text": "x" * 5000}}}
    chosen = 'run.input.people.filter(p, p.age > 1 && p.first != "f9")'
    text = chosen + '.map(p, {"name": p.first + " " + p.last, "age": p.age})'
    assert len(EVALUATOR.evaluate(text, scope)) == 897
    assert EVALUATOR.evaluate("run.input.people.map(p, p.age).exists(a, a == 7)", scope) is True


@pytest.mark.parametrize(
    ("text", "value"), [("!" * 4000 + "true", True), ("-" * 4000 + "1", 1), ("1" * 18, int("1" * 18))]
)
def test_odd_expressions_are_harmless(text: str, value: Any) -> None:
    assert CelEvaluator().evaluate(text, SCOPE) == value


def test_programs_are_forgotten() -> None:
    evaluator = CelEvaluator(programs_kept_max=3)
    assert [evaluator.evaluate(f"{i} + 1", SCOPE) for i in range(10)] == list(range(1, 11))
    assert len(evaluator._programs) == 3


def test_maps_are_visited_in_the_same_order_in_every_process() -> None:
    code = (
        "from pipeline.expressions.cel import CelEvaluator as E;"
        "s={'run':{'input':{k:1 for k in 'zyxwvu'},'requester':{}},'tasks':{},'asset':None,'now':0};"
        'print(E().evaluate(\'[run.input.map(k, k), run.input.filter(k, k != "w"), '
        '{"b": 1, "a": 2, "c": 3}.map(k, k)]\', s))'
    )
    outputs = {
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        for _ in range(3)
    }
    assert outputs == {
        "[['u', 'v', 'w', 'x', 'y', 'z'], ['u', 'v', 'x', 'y', 'z'], ['a', 'b', 'c']]\n",
    }


def test_several_threads_share_one_evaluator() -> None:
    evaluator = CelEvaluator(programs_kept_max=2)
    wrong: list[int] = []

    def work(number: int) -> None:
        scope = {**SCOPE, "run": {**SCOPE["run"], "input": {"n": number}}}
        sums = [evaluator.evaluate(f"run.input.n + {i % 5}", scope) for i in range(200)]
        wrong.extend(number for i, total in enumerate(sums) if total != number + i % 5)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
