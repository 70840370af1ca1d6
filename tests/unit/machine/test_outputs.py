"""Outputs that are entities: named by what they hold, read when an expression needs them, never guessed."""

import hashlib

import pytest

from pipeline.core.limits import OUTPUT_INLINE_BYTES_MAX
from pipeline.machine.apply import apply
from pipeline.machine.effects import KeepOutput
from pipeline.machine.outputs import LOST, OutputsNeededError
from pipeline.messages.envelopes import Dispatch, Outcome
from pipeline.spec.lexemes import tasks_read
from tests.unit.machine.runs import EVALUATOR, GUID, Story, condition, request, task

LARGE = {"n": 7, "text": "x" * OUTPUT_INLINE_BYTES_MAX}
READS_A = 'tasks["a"].output.n == 7'


def reads(name: str, depends: str, text: str) -> dict[str, object]:
    return task(name, depends, arguments=[{"output": text}])


def test_an_output_over_the_limit_is_kept_beside_the_document() -> None:
    story = Story(request(task("a"), task("b", "a")))
    story.succeed("a", "x" * (OUTPUT_INLINE_BYTES_MAX - 2))
    assert story.state("a").stored is None
    story = Story(request(task("a"), task("b", "a")))
    story.succeed("a", LARGE)
    state = story.state("a")
    (kept,) = [effect for effect in story.effects if isinstance(effect, KeepOutput)]
    assert state.output is None
    assert state.stored is not None
    assert state.stored.sha256 == kept.sha256 == hashlib.sha256(kept.text.encode()).hexdigest()
    assert kept.qualified_name == f"{GUID}/a/0/{kept.sha256[:16]}"


def test_what_follows_at_once_needs_no_reading() -> None:
    story = Story(request(task("a"), condition("if", READS_A, "a"), task("b", "if")))
    story.succeed("a", LARGE)
    assert story.statuses() == {"a": "SUCCESS", "if": "SUCCESS", "b": "RUNNING"}


@pytest.mark.parametrize("kind", ["condition", "switch", "when", "wait"])
def test_what_is_decided_later_asks_for_it(kind: str) -> None:
    last = {
        "condition": condition("c", READS_A, "a && b"),
        "switch": task("c", "a && b", type="SWITCH", arguments=[{"cases": [{"name": "s", "expression": READS_A}]}]),
        "when": task("c", "a && b", when=READS_A),
        "wait": task("c", "a && b", type="WAIT", arguments=[{"duration": "PT{{ tasks.a.output.n }}S"}]),
    }[kind]
    story = Story(request(task("a"), task("b"), last))
    story.succeed("a", LARGE)
    done = story.result("b", Outcome.SUCCEEDED)
    with pytest.raises(OutputsNeededError) as needed:
        apply(story.run, [done], now_ms=story.now, evaluator=EVALUATOR)
    assert needed.value.tasks == {"a"}
    made = apply(story.run, [done], now_ms=story.now, evaluator=EVALUATOR, outputs={"a": LARGE})
    ends = {"condition": "SUCCESS", "switch": "SUCCESS", "when": "RUNNING", "wait": "WAITING"}
    assert made.run.tasks["c"].status.value == ends[kind]
    lost = apply(story.run, [done], now_ms=story.now, evaluator=EVALUATOR, outputs={"a": LOST})
    error = lost.run.tasks["c"].error
    assert error is not None
    assert error.name == "Engine.Tampered"


def test_an_expression_that_reads_another_output_asks_for_nothing() -> None:
    story = Story(request(task("a"), task("b"), condition("c", 'tasks["b"].output == 1', "a && b")))
    story.succeed("a", LARGE)
    story.succeed("b", 1)
    assert story.statuses()["c"] == "SUCCESS"


def test_arguments_that_read_it_are_left_to_the_runner() -> None:
    story = Story(
        request(
            task("a"),
            task("small"),
            reads("b", "a && small", "{{ tasks.a.output.n }} {{ tasks.small.output }}"),
            reads("c", "a && small", "{{ tasks.small.output }}"),
        )
    )
    story.succeed("a", LARGE)
    story.succeed("small", 1)
    b, c = story.sent()
    assert isinstance(b, Dispatch)
    assert isinstance(c, Dispatch)
    assert (c.arguments, c.deferred) == ({"output": 1}, None)
    assert b.arguments == {}
    assert b.deferred is not None
    (reference,) = b.deferred.outputs
    assert (reference.task, reference.sha256) == ("a", story.state("a").stored.sha256)  # type: ignore[union-attr]
    assert b.deferred.arguments == {"output": "{{ tasks.a.output.n }} {{ tasks.small.output }}"}
    assert b.deferred.scope["tasks"] == {"a": {"status": "SUCCESS"}, "small": {"status": "SUCCESS", "output": 1}}
    assert len(b.encode()) < OUTPUT_INLINE_BYTES_MAX, "nothing large travels"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('tasks["a b"].output.x + tasks.c.status', {"a b", "c"}),
        ("run.input.tasks", set()),
        ('"x" in tasks', None),
        ("tasks[run.input.name].output", None),
        ("tasks.map(t, t)", {"map"}),
        ("now", set()),
    ],
)
def test_which_tasks_an_expression_may_read(text: str, read: set[str] | None) -> None:
    assert tasks_read(text) == (None if read is None else frozenset(read))
