from typing import Any

import pytest

from pipeline.core.limits import CLOCK_SKEW_MAX_MS, DECISION_GRACE_MS
from pipeline.core.statuses import CommandStatus, ItemStatus, RunPhase, RunStatus, TaskStatus
from pipeline.machine.effects import CloseCommand, CloseItem, OpenItem
from pipeline.machine.inputs import ItemDecision, Tick
from pipeline.messages.envelopes import Dispatch, Outcome
from tests.unit.machine.runs import CREATED_AT, GUID, HOUR_MS, Story, approval, request, task

DUE_AT = CREATED_AT + HOUR_MS
GRACE_MS = DECISION_GRACE_MS + CLOCK_SKEW_MAX_MS
APPLIED = CloseCommand("guid-of-c1", f"{GUID}/c1", CommandStatus.APPLIED)


def asked(*names: str, **members: Any) -> Story:
    story = Story(request(task("ask", type="APPROVAL"), task("yes", "ask.APPROVED"), task("no", "ask.REJECTED")))
    story.ask("ask", *names, **members)
    return story


def item(name: str, step: int = 0) -> str:
    return f"{GUID}/ask/0/{step}/{name}"


def closed(name: str, status: ItemStatus = ItemStatus.CLOSED) -> CloseItem:
    return CloseItem(item(name), "ask", status)


def refusal(story: Story, **members: Any) -> str:
    command = story.decision("ask", **members)
    story.apply(command)
    verdict = story.effects[-1]
    assert isinstance(verdict, CloseCommand)
    assert verdict.status is CommandStatus.REFUSED
    assert verdict.reason.endswith(".")
    return verdict.reason


def test_a_question_opens_an_item_a_recipient_and_tells_at_once() -> None:
    story = asked("bob", "eve")
    assert [(e.qualified_name, e.recipient, e.due_at) for e in story.effects if isinstance(e, OpenItem)] == [
        (item("bob"), "bob", DUE_AT),
        (item("eve"), "eve", DUE_AT),
    ]
    opened = story.effects[0]
    assert isinstance(opened, OpenItem)
    assert opened.asset == {"guid": "asset-1", "type_name": "Table", "name": "orders"}
    assert (opened.requester, opened.options, opened.opened_at) == ("ann", ("APPROVED", "REJECTED"), CREATED_AT)
    message = story.sent()[0]
    assert isinstance(message, Dispatch)
    assert (message.step, message.cause) == (1, "TELL")
    assert message.state is not None
    assert message.state["tell"] == ["bob", "eve"]
    assert [recipient["item"] for recipient in message.state["approval"]["recipients"]] == [item("bob"), item("eve")]
    assert story.run.phase is RunPhase.WAITING


def test_any_is_decided_by_the_first() -> None:
    story = asked("bob", "eve")
    story.now += 1000
    story.apply(story.decision("ask", "eve", comment="fine"))
    decided = CloseItem(item("eve"), "ask", ItemStatus.DECIDED, "APPROVED", "fine", "eve", story.now)
    assert story.effects == (decided, closed("bob"), APPLIED)
    assert story.state("ask").output == {"decision": "APPROVED", "decided_by": ["eve"], "comment": "fine"}
    assert story.statuses() == {"ask": "SUCCESS", "yes": "RUNNING", "no": "OMITTED"}


def test_all_waits_for_everybody_and_one_rejection_is_enough() -> None:
    story = asked("bob", "eve", rule="ALL")
    story.apply(story.decision("ask", "eve"))
    assert story.state("ask").status is TaskStatus.RUNNING
    assert [e.status for e in story.effects if isinstance(e, CloseItem)] == [ItemStatus.DECIDED]
    approved, rejected = asked("bob", "eve", rule="ALL"), story
    approved.apply(approved.decision("ask", "eve"))
    approved.apply(approved.decision("ask", "bob", id="c2"))
    assert approved.state("ask").output == {"decision": "APPROVED", "decided_by": ["eve", "bob"], "comment": ""}
    rejected.apply(rejected.decision("ask", "bob", "REJECTED", id="c2", comment="too wide"))
    state = rejected.state("ask")
    assert state.status is TaskStatus.FAILURE
    assert state.error is not None
    assert (state.error.name, state.error.message) == ("Approval.Rejected", "bob: too wide")
    assert rejected.statuses()["no"] == "RUNNING"


def test_a_repeated_command_gets_its_verdict_again() -> None:
    story = asked("bob", "eve", rule="ALL")
    command = story.decision("ask", "bob")
    story.apply(command)
    assert not story.apply(command).is_changed
    assert story.effects == (APPLIED,)
    story.apply(story.decision("ask", "eve", id="c2"))
    for other in ("yes",):
        story.succeed(other)
    assert story.run.is_over
    story.apply(command)
    assert story.effects == (APPLIED,)


def test_a_refused_command_stays_refused() -> None:
    story = Story(request(task("ask", type="APPROVAL")))
    early = story.decision("ask", "bob")
    story.apply(early)
    (first,) = story.effects
    assert isinstance(first, CloseCommand)
    assert first.status is CommandStatus.REFUSED
    story.ask("ask", "bob")
    assert not story.apply(early).is_changed
    assert story.effects == (first,)
    story.apply(story.decision("ask", "bob", id="c2"))
    assert story.state("ask").status is TaskStatus.SUCCESS


def test_who_may_not_decide() -> None:
    story = asked("bob", "eve", rule="ALL")
    assert refusal(story, by="mallory", id="m1") == "This question wasn't put to you."
    assert refusal(story, by="ann", id="m2") == "You can't decide on your own request."
    others = {"action": "APPROVED", "item": item("eve")}
    assert refusal(story, by="bob", id="m3", arguments=others) == "This question wasn't put to you."
    story.apply(story.decision("ask", "bob"))
    assert refusal(story, by="bob", id="m4") == "You have already decided this."
    assert story.state("ask").status is TaskStatus.RUNNING


def test_what_may_not_be_decided() -> None:
    story = asked("bob", "eve")
    assert "APPROVED or REJECTED" in refusal(story, by="bob", action="MAYBE", id="m1")
    assert "needs a comment" in refusal(story, by="bob", action="REJECTED", id="m2", comment="  ")
    assert "4000" in refusal(story, by="bob", id="m3", comment="x" * 4001)
    assert refusal(story, by="bob", id="m4", at=DUE_AT + 1) == "The due date of this question has passed."
    story.apply(story.decision("ask", "bob", at=DUE_AT))
    assert story.effects[-1] == APPLIED
    assert refusal(story, by="eve", id="m5").startswith("This question is closed")


@pytest.mark.parametrize(
    "members",
    [
        {"task": "nowhere"},
        {"task": None},
        {"task": 5},
        {"arguments": {"action": 5, "item": item("bob")}},
        {"arguments": []},
        {"by": ""},
        {"at": "yesterday"},
        {"v": 2},
        {"action": "explode"},
    ],
)
def test_commands_that_make_no_sense_are_refused(members: dict[str, Any]) -> None:
    story = asked("bob")
    command = story.decision("ask", "bob")
    story.apply(type(command)(command.guid, command.qualified_name, {**command.body, **members}))
    (verdict,) = story.effects
    assert isinstance(verdict, CloseCommand)
    assert verdict.status is CommandStatus.REFUSED
    assert story.state("ask").status is TaskStatus.RUNNING


def test_a_command_of_another_run_is_refused() -> None:
    story = asked("bob")
    command = story.decision("ask", "bob")
    story.apply(type(command)(command.guid, "another-run/c1", command.body))
    assert story.effects[0].reason == "This command belongs to another run."  # type: ignore[union-attr]


def test_the_deadline_waits_for_what_people_did_before_it() -> None:
    story = asked("bob")
    story.hold("ask", {"tell": []})
    assert story.run.wake_at == DUE_AT + GRACE_MS or story.run.wake_at == CREATED_AT + HOUR_MS
    in_time = story.decision("ask", "bob", at=DUE_AT)
    story.now = DUE_AT + GRACE_MS - 1
    story.apply(Tick(story.now))
    assert story.state("ask").status is TaskStatus.WAITING
    story.now = DUE_AT + GRACE_MS
    story.apply(in_time, Tick(story.now))
    assert story.state("ask").status is TaskStatus.SUCCESS


def test_nobody_decides_in_time() -> None:
    story = asked("bob", "eve", rule="ALL")
    story.apply(story.decision("ask", "eve"))
    story.now = DUE_AT + GRACE_MS
    story.apply(Tick(story.now))
    assert story.state("ask").status is TaskStatus.EXPIRED
    assert story.state("ask").error.name == "Approval.Expired"  # type: ignore[union-attr]
    assert story.effects == (closed("bob", ItemStatus.EXPIRED),)
    assert story.statuses()["no"] == "OMITTED"


def test_a_runner_cant_approve() -> None:
    story = asked("bob")
    story.succeed("ask", {"decision": "APPROVED"})
    assert story.state("ask").status is TaskStatus.RUNNING
    story.succeed("ask", {"decision": "APPROVED"}, attempt=7, step=9)
    story.fail("ask", step=0)
    story.now += 5
    story.hold("ask", approval("mallory"), step=0)
    assert len(story.state("ask").late) == 4
    story.hold("ask", approval("mallory"))
    assert story.state("ask").approval["recipients"][0]["name"] == "bob"  # type: ignore[index]


def test_telling_that_fails_is_tried_again_while_people_decide() -> None:
    body = task("ask", type="APPROVAL", retry=[{"errorEquals": ["Mail.Connection"], "maxAttempts": 1}])
    story = Story(request(body))
    story.ask("ask", "bob")
    story.fail("ask", "Mail.Connection")
    assert story.state("ask").status is TaskStatus.RETRYING
    story.apply(story.decision("ask", "bob"))
    assert story.run.status is RunStatus.SUCCESS


def test_a_second_delivery_that_fails_doesnt_end_an_open_question() -> None:
    story = Story(request(task("ask", type="APPROVAL")))
    story.hold("ask", approval("bob"))
    story.fail("ask")
    assert story.state("ask").status is TaskStatus.WAITING
    assert len(story.state("ask").late) == 1


def test_a_task_that_ends_otherwise_closes_its_items() -> None:
    story = asked("bob", "eve")
    story.fail("ask", "Mail.Refused", "no such address")
    assert story.effects == (closed("bob"), closed("eve"))


def test_the_requester_isnt_asked_where_self_approval_is_prevented() -> None:
    story = asked("ann", "bob", rule="ALL")
    assert [e.recipient for e in story.effects if isinstance(e, OpenItem)] == ["bob"]
    alone = asked("ann")
    assert alone.state("ask").error.name == "Approval.NoApprovers"  # type: ignore[union-attr]
    allowed = asked("ann", prevent_self_approval=False)
    allowed.apply(allowed.decision("ask", "ann"))
    assert allowed.state("ask").status is TaskStatus.SUCCESS


@pytest.mark.parametrize(
    "wrong",
    [
        {"rule": "SOME"},
        {"title": None},
        {"body": 5},
        {"options": []},
        {"options": ["APPROVED", "MAYBE"]},
        {"recipients": []},
        {"recipients": [{"name": ""}]},
        {"recipients": [{"name": "bob", "email": 5}]},
        {"recipients": ["bob"]},
        {"recipients": [{"name": f"n{i}"} for i in range(101)]},
        {"due_at": None},
        {"due_at": True},
        {"due_at": 1.5},
        {"require_comment_on": ["MAYBE"]},
        {"rule": ["ANY"]},
    ],
)
def test_a_malformed_question_fails_its_task_with_a_sentence(wrong: dict[str, Any]) -> None:
    story = asked("bob", **wrong)
    error = story.state("ask").error
    assert error is not None
    assert error.name == "Engine.Internal"
    assert error.message.startswith("The block's question can't be asked: ")
    assert story.effects == ()


def test_a_question_that_is_no_object_fails_its_task() -> None:
    story = Story(request(task("ask", type="APPROVAL")))
    story.hold("ask", {"approval": "please"})
    assert story.state("ask").error.name == "Engine.Internal"  # type: ignore[union-attr]


def test_a_decision_on_the_item_counts_for_its_recipient_alone() -> None:
    story = asked("bob", "eve", rule="ALL")
    stolen = ItemDecision(item("bob"), "APPROVED", "mallory", story.now)
    assert not story.apply(stolen).is_changed
    assert not story.apply(ItemDecision(item("bob"), "APPROVED", "eve", story.now)).is_changed
    assert story.effects == ()
    assert not story.apply(ItemDecision(item("bob"), "APPROVED", "bob", DUE_AT + 1)).is_changed
    assert not story.apply(ItemDecision(item("bob"), "REJECTED", "bob", story.now)).is_changed
    made = ItemDecision(item("bob"), "APPROVED", "bob", story.now, "yes")
    story.apply(made)
    decided = CloseItem(item("bob"), "ask", ItemStatus.DECIDED, "APPROVED", "yes", "bob", story.now)
    assert list(story.effects) == [decided]
    story.apply(ItemDecision(item("bob"), "REJECTED", "bob", story.now, "no!"))
    assert list(story.effects) == [decided], "what stands on the item is put right"
    assert story.state("ask").status is TaskStatus.RUNNING


def test_an_item_left_open_is_closed_when_it_is_seen() -> None:
    story = asked("bob", "eve")
    story.apply(story.decision("ask", "eve"))
    story.apply(ItemDecision(item("bob"), "APPROVED", "bob", story.now))
    assert story.effects == (closed("bob"),)


def test_a_long_comment_is_cut_in_the_document_alone() -> None:
    story = asked("bob")
    story.apply(story.decision("ask", "bob", comment="x" * 4000))
    assert story.effects[0].comment == "x" * 4000  # type: ignore[union-attr]
    assert len(story.state("ask").output["comment"]) == 1000
    story.apply(ItemDecision(item("bob"), "APPROVED", "bob", story.now))
    assert story.effects[0].comment is None  # type: ignore[union-attr]


def test_two_who_race_get_one_verdict_each() -> None:
    story = asked("bob", "eve")
    story.apply(story.decision("ask", "bob"), story.decision("ask", "eve", "REJECTED", id="c2", comment="no"))
    verdicts = [effect.status for effect in story.effects if isinstance(effect, CloseCommand)]
    assert verdicts == [CommandStatus.APPLIED, CommandStatus.REFUSED]
    assert story.state("ask").status is TaskStatus.SUCCESS


def test_the_second_delivery_of_an_opening_is_no_second_question() -> None:
    story = Story(request(task("ask", type="APPROVAL")))
    opening = story.result("ask", Outcome.WAITING, state=approval("bob"), continue_at=story.now, continue_cause="TELL")
    story.apply(opening)
    assert not story.apply(opening).is_changed
    story.apply(opening.model_copy(update={"ended_at": story.now + 5}))
    assert story.effects == ()
    assert story.state("ask").step == 1
