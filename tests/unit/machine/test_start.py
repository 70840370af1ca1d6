import pytest

from pipeline.core.statuses import RunPhase, RunStatus
from pipeline.machine.run import parse_request
from pipeline.machine.start import start
from pipeline.messages.canonical import MalformedError
from tests.unit.machine.runs import CREATED_AT, EVALUATOR, GUID, Story, condition, request, task


def test_roots_run_and_the_rest_waits() -> None:
    story = Story(request(task("a"), task("b"), task("c", "a && b")))
    assert story.statuses() == {"a": "RUNNING", "b": "RUNNING", "c": "PENDING"}
    assert story.run.revision == 0
    assert story.run.phase is RunPhase.RUNNING
    assert story.state("a").dispatched_revision == 0
    assert story.state("a").dispatched_at == CREATED_AT
    assert story.run.wake_at == CREATED_AT + 30_000


def test_starting_again_gives_the_same() -> None:
    asked = request(task("a", when="run.input.amount > 2"), task("b", "a"))
    assert start(asked, GUID, EVALUATOR) == start(asked, GUID, EVALUATOR)


@pytest.mark.parametrize(
    ("expression", "status", "error"),
    [
        ("run.input.amount == 3", "SUCCESS", None),
        ("run.input.amount == 4", "FAILURE", "Condition.False"),
        ("run.input.missing == 4", "FAILURE", "Expression.AbsentOutput"),
        ("run.input.amount", "FAILURE", "Expression.Error"),
        ("run.input.amount +", "FAILURE", "Expression.Error"),
        ("now == timestamp('2026-11-23T13:12:35Z')", "SUCCESS", None),
    ],
)
def test_a_condition_is_decided_on_the_spot(expression: str, status: str, error: str | None) -> None:
    story = Story(request(condition("a", expression), task("yes", "a.SUCCESS"), task("no", "a.FAILURE")))
    state = story.state("a")
    assert state.status == status
    assert (state.error and state.error.name) == error
    assert story.sent()[0].task == ("yes" if status == "SUCCESS" else "no")


@pytest.mark.parametrize(
    ("when", "status"),
    [("run.input.amount == 3", "RUNNING"), ("run.input.amount == 4", "SKIPPED"), ("run.input.x", "FAILURE")],
)
def test_when_is_decided_with_depends(when: str, status: str) -> None:
    assert Story(request(task("a", when=when), task("b"))).statuses()["a"] == status


def test_a_chain_of_decisions_ends_the_run_in_one_write() -> None:
    story = Story(request(condition("a", "true"), condition("b", "false", "a"), task("c", "b")))
    assert story.statuses() == {"a": "SUCCESS", "b": "FAILURE", "c": "OMITTED"}
    assert story.run.status is RunStatus.FAILURE
    assert (story.run.revision, story.run.wake_at, story.run.ended_at) == (0, 0, CREATED_AT)
    assert story.run.phase is RunPhase.ENDED
    assert story.sent() == []


def test_when_sees_what_the_same_write_has_decided() -> None:
    story = Story(request(condition("a", "true"), task("b", "a", when='tasks["a"].status == "SUCCESS"')))
    assert story.statuses()["b"] == "RUNNING"


def test_tasks_that_wait_for_one_another_end_the_run_with_a_sentence() -> None:
    story = Story(request(task("a", "b"), task("b", "a"), exitpoints=["b"]))
    assert story.run.status is RunStatus.FAILURE
    assert story.run.error is not None
    assert story.run.error.name == "Engine.BadSpec"
    assert story.statuses() == {"a": "CANCELLED", "b": "CANCELLED"}


def test_a_request_that_leaves_no_room_ends_too_large() -> None:
    story = Story(request(task("a"), input={"text": "x" * 250_000}))
    assert story.run.error is not None
    assert story.run.error.name == "Engine.TooLarge"
    assert story.sent() == []


@pytest.mark.parametrize(
    "body",
    [{}, {"v": 2}, {"v": 1, "spec": {}}, {"v": 1, "spec": {"dag": None}, "requester": {}}, {"v": 1, "spec": 5}],
)
def test_what_is_no_request_is_malformed(body: dict[str, object]) -> None:
    with pytest.raises(MalformedError, match="not a request"):
        parse_request(body, "blockline/runs/1")
