import pytest

from pipeline.core.limits import (
    DOCUMENT_BYTES_MAX,
    DOCUMENT_RESERVE_BYTES,
    ERROR_MESSAGE_BYTES_MAX,
    ERROR_MESSAGE_CHARS_MAX,
    OUTPUT_ENTITY_BYTES_MAX,
    STATE_BYTES_MAX,
)
from pipeline.machine.document import document_bytes
from pipeline.machine.effects import KeepOutput
from pipeline.machine.failure import refused
from pipeline.machine.run import cut
from pipeline.messages.envelopes import EntityWrite, Outcome
from tests.unit.machine.runs import Story, approval, check_step, request, task

ROOM = DOCUMENT_BYTES_MAX - DOCUMENT_RESERVE_BYTES


def error_of(story: Story, name: str = "a") -> str | None:
    error = story.state(name).error
    return None if error is None else error.name


@pytest.mark.parametrize(
    ("size", "error"), [(OUTPUT_ENTITY_BYTES_MAX, None), (OUTPUT_ENTITY_BYTES_MAX + 1, "Engine.TooLarge")]
)
def test_an_output_has_a_limit(size: int, error: str | None) -> None:
    story = Story(request(task("a")))
    story.succeed("a", "x" * (size - 2))
    assert error_of(story) == error


def test_a_state_has_a_limit() -> None:
    story = Story(request(task("a")))
    story.hold("a", {"text": "x" * STATE_BYTES_MAX})
    assert error_of(story) == "Engine.TooLarge"
    asking = Story(request(task("a")))
    asking.hold("a", approval("bob", body="x" * STATE_BYTES_MAX))
    assert error_of(asking) == "Engine.TooLarge"
    assert asking.effects == ()


def test_a_value_that_json_cant_keep_is_no_output() -> None:
    story = Story(request(task("a")))
    story.succeed("a", {"n": 2**70})
    assert error_of(story) == "Validation.Output"


def test_a_result_carries_a_hundred_entities_at_most() -> None:
    entities = tuple(EntityWrite(type_name="T", qualified_name=str(n)) for n in range(101))
    story = Story(request(task("a")))
    story.succeed("a", entities=entities)
    assert error_of(story) == "Engine.TooLarge"
    assert story.effects == ()


def test_a_message_is_cut() -> None:
    story = Story(request(task("a")))
    story.fail("a", message="x" * 5000)
    assert len(story.state("a").error.message) == 500  # type: ignore[union-attr]


def test_the_largest_outputs_move_out_of_a_full_document() -> None:
    names = [f"t{n}" for n in range(4)]
    story = Story(request(*(task(name) for name in names), task("end", "t3"), input={"text": "x" * (ROOM - 9_000)}))
    story.apply(*(story.result(name, Outcome.SUCCEEDED, output="y" * (1000 + int(name[1:]))) for name in names[:2]))
    assert all(story.state(name).output is not None for name in names[:2])
    story.apply(*(story.result(name, Outcome.SUCCEEDED, output="y" * (3000 + int(name[1:]))) for name in names[2:]))
    assert document_bytes(story.run) <= ROOM
    assert {name for name in names if story.state(name).stored} >= {"t3"}, "the largest goes first"
    assert [story.state(name).status.value for name in names] == ["SUCCESS"] * 4
    assert story.statuses()["end"] == "RUNNING", "nothing is lost by it"
    kept = [effect for effect in story.effects if isinstance(effect, KeepOutput)]
    assert {effect.task for effect in kept} == {name for name in names if story.state(name).stored}


@pytest.mark.parametrize("message", ["🙂" * 254, "й" * 5000, "\ud800" * 600])
def test_a_message_is_cut_by_its_bytes_too(message: str) -> None:
    short = cut(message)
    assert len(short) <= ERROR_MESSAGE_CHARS_MAX
    assert len(short.encode()) <= ERROR_MESSAGE_BYTES_MAX
    assert short.endswith("…")


def test_a_refused_run_ends_without_outputs_and_messages() -> None:
    story = Story(request(task("a"), task("b"), task("c")))
    story.succeed("a", "y" * 1000)
    story.fail("b", message="it broke")
    made = refused(story.run, "The store says no.", now_ms=story.now)
    check_step(story.run, made, story.now)
    assert (made.run.status.value, made.run.error.name) == ("FAILURE", "Engine.Internal")  # type: ignore[union-attr]
    assert made.run.error.message == "The store says no."  # type: ignore[union-attr]
    assert all(state.output is None for state in made.run.tasks.values())
    assert [state.error and state.error.as_json() for state in made.run.tasks.values()] == [
        None,
        {"name": "Task.Failed", "message": ""},
        {"name": "Task.Cancelled", "message": ""},
    ]
    assert not refused(made.run, "again", now_ms=story.now).is_changed
