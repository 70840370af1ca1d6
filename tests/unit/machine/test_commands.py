import pytest

from pipeline.core.limits import REFUSALS_KEPT_MAX
from pipeline.core.statuses import CommandStatus, ItemStatus, RunStatus
from pipeline.machine.effects import CloseCommand, CloseItem
from pipeline.messages.envelopes import Outcome
from tests.unit.machine.runs import GUID, Story, request, task


@pytest.mark.parametrize(
    ("action", "status"),
    [("withdraw", RunStatus.WITHDRAWN), ("cancel", RunStatus.TERMINATED), ("terminate", RunStatus.TERMINATED)],
)
def test_a_run_that_people_end(action: str, status: RunStatus) -> None:
    story = Story(request(task("a"), task("b"), task("c", "a"), task("d", "a.CANCELLED")))
    story.succeed("b")
    story.now += 10
    story.apply(story.command(action, "ann", comment="not needed"))
    assert story.statuses() == {"a": "CANCELLED", "b": "SUCCESS", "c": "CANCELLED", "d": "CANCELLED"}
    assert story.run.status is status
    assert story.run.ended_at == story.now
    assert story.run.ended_by == {
        "action": action,
        "by": "ann",
        "as": "requester",
        "at": story.now,
        "comment": "not needed",
        "command": "c1",
    }
    assert story.effects == (CloseCommand("guid-of-c1", f"{GUID}/c1", CommandStatus.APPLIED),)
    assert story.state("a").error.name == "Task.Cancelled"  # type: ignore[union-attr]
    assert story.sent() == []


def test_ending_a_run_closes_its_questions() -> None:
    story = Story(request(task("ask", type="APPROVAL")))
    story.ask("ask", "bob")
    story.apply(story.command("terminate", "root", "admin"))
    assert story.effects[0] == CloseItem(f"{GUID}/ask/0/0/bob", "ask", ItemStatus.CLOSED)


def test_a_run_that_is_over_refuses_every_command_and_doesnt_change() -> None:
    story = Story(request(task("a")))
    story.succeed("a")
    for action in ("withdraw", "cancel", "terminate"):
        assert not story.apply(story.command(action, "ann")).is_changed
        assert story.effects[0].reason == "This run is over."  # type: ignore[union-attr]
    assert not story.apply(story.decision("a", "bob")).is_changed
    assert story.run.status is RunStatus.SUCCESS


def test_who_comes_second_is_told_so() -> None:
    story = Story(request(task("a")))
    story.apply(story.command("withdraw", "ann"), story.command("terminate", "root", "admin", id="c2"))
    assert [effect.status for effect in story.effects if isinstance(effect, CloseCommand)] == [
        CommandStatus.APPLIED,
        CommandStatus.REFUSED,
    ]
    assert story.run.status is RunStatus.WITHDRAWN


def test_a_run_that_ended_by_itself_just_before_refuses() -> None:
    story = Story(request(task("a")))
    story.apply(story.result("a", Outcome.SUCCEEDED), story.command("withdraw", "ann"))
    assert story.run.status is RunStatus.SUCCESS
    assert story.effects[-1].reason == "This run is over."  # type: ignore[union-attr]


def test_a_comment_that_is_too_long_is_refused() -> None:
    story = Story(request(task("a")))
    story.apply(story.command("withdraw", "ann", comment="x" * 4001))
    assert story.effects[0].status is CommandStatus.REFUSED  # type: ignore[union-attr]
    assert not story.run.is_over


def test_refusals_are_remembered_up_to_a_limit() -> None:
    story = Story(request(task("a")))
    for number in range(REFUSALS_KEPT_MAX + 5):
        story.apply(story.command("explode", "mallory", id=f"c{number}"))
    assert len(story.run.refusals) == REFUSALS_KEPT_MAX
    assert story.run.refusals[-1]["reason"] == "'explode' isn't available in this version."
