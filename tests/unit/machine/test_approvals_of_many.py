"""Options, forms, groups, delegation, override and due dates of questions to people."""

from typing import Any

import pytest

from pipeline.core.limits import CLOCK_SKEW_MAX_MS, DECISION_GRACE_MS
from pipeline.core.statuses import CommandStatus, ItemStatus, TaskStatus
from pipeline.machine.effects import CloseCommand, CloseItem, OpenItem
from pipeline.machine.inputs import ItemDecision
from pipeline.messages.envelopes import Dispatch
from tests.unit.machine.runs import CREATED_AT, GUID, HOUR_MS, Story, request, task

DUE_AT = CREATED_AT + HOUR_MS
GRACE_MS = DECISION_GRACE_MS + CLOCK_SKEW_MAX_MS
FORM = {
    "type": "object",
    "properties": {"until": {"type": "string", "minLength": 3}, "cost": {"type": "integer", "maximum": 10}},
    "required": ["until"],
}


def asked(*names: str, **members: Any) -> Story:
    story = Story(request(task("ask", type="APPROVAL"), task("yes", "ask.APPROVED"), task("no", "ask.REJECTED")))
    story.ask("ask", *names, **members)
    return story


def item(name: str) -> str:
    return f"{GUID}/ask/0/0/{name}"


def decide(story: Story, by: str, action: str = "APPROVED", **members: Any) -> str:
    """The verdict: empty, or the sentence of the refusal."""
    arguments = {"action": action} | {key: members.pop(key) for key in ("form", "item") if key in members}
    members.setdefault("id", f"c-{by}-{story.run.revision}")
    story.apply(story.command("decide", by, "recipient", task="ask", arguments=arguments, **members))
    return verdict(story)


def delegate(story: Story, by: str, to: Any, **members: Any) -> str:
    arguments = {"to": to, "email": f"{to}@example.org"}
    members.setdefault("id", f"d-{by}-{story.run.revision}")
    story.apply(story.command("delegate", by, "recipient", task="ask", arguments=arguments, **members))
    return verdict(story)


def override(story: Story, action: Any = "APPROVED", **members: Any) -> str:
    members.setdefault("id", f"o-{story.run.revision}")
    story.apply(story.command("override", "root", "admin", task="ask", arguments={"action": action}, **members))
    return verdict(story)


def verdict(story: Story) -> str:
    (said,) = [effect for effect in story.effects if isinstance(effect, CloseCommand)]
    assert (said.status is CommandStatus.APPLIED) == (said.reason == "")
    return said.reason


def opens(story: Story) -> list[str]:
    return [effect.recipient for effect in story.effects if isinstance(effect, OpenItem)]


def closes(story: Story) -> list[tuple[str, str]]:
    return [
        (effect.qualified_name.rpartition("/")[2], effect.status.value)
        for effect in story.effects
        if isinstance(effect, CloseItem)
    ]


def test_a_count_out_of_reach_is_rejected_as_it_opens() -> None:
    story = asked("bob", "eve", rule="COUNT", count=3)
    state = story.state("ask")
    assert state.status is TaskStatus.FAILURE
    assert state.error is not None
    assert (state.error.name, state.error.message) == (
        "Approval.Rejected",
        "3 must approve, and only 2 can be asked.",
    )
    assert state.output == {"decision": "REJECTED", "decided_by": [], "comment": ""}
    assert closes(story) == [("bob", "CLOSED"), ("eve", "CLOSED")]


def test_own_options_count_as_what_they_say() -> None:
    options = {
        "options": ["APPROVED", "FOR_A_MONTH", "LATER"],
        "means": {"FOR_A_MONTH": "APPROVED", "LATER": "REJECTED"},
    }
    story = asked("bob", "eve", rule="ALL", **options)
    assert "APPROVED or FOR_A_MONTH or LATER only" in decide(story, "bob", "REJECTED", comment="no")
    assert decide(story, "bob", "FOR_A_MONTH") == ""
    assert decide(story, "eve") == ""
    assert story.state("ask").output["decision"] == "APPROVED"
    later = asked("bob", **options)
    assert decide(later, "bob", "LATER") == "Say why: this decision needs a comment."
    assert decide(later, "bob", "LATER", comment="next year") == ""
    assert later.statuses()["no"] == "RUNNING"
    assert later.state("ask").output["decision"] == "LATER"


def test_the_output_has_the_decision_that_led_to_the_outcome() -> None:
    story = asked("bob", "eve", rule="ALL_RESPONDED_ANY", form=FORM)
    assert decide(story, "bob", form={"until": "May"}, comment="go") == ""
    assert decide(story, "eve", "REJECTED", comment="rather not") == ""
    assert story.state("ask").output == {
        "decision": "APPROVED",
        "decided_by": ["bob", "eve"],
        "comment": "rather not",
        "form": {"until": "May"},
    }


def test_a_form_is_checked_with_the_decision() -> None:
    story = asked("bob", "eve", rule="ALL", form=FORM)
    (first, _) = [effect for effect in story.effects if isinstance(effect, OpenItem)]
    assert first.form == FORM
    assert decide(story, "bob") == "`until` is missing."
    assert decide(story, "bob", form="May") == "The form must be an object."
    assert decide(story, "bob", form={"until": "M", "cost": 11}) == (
        "`until` is shorter than 3 characters. `cost` is more than 10."
    )
    assert decide(story, "bob", form={"until": "x" * 3000}) == "The form is larger than 2048 bytes."
    assert (
        decide(story, "bob", "REJECTED", comment="no", form={"cost": 11, "until": "May"}) == "`cost` is more than 10."
    )
    assert decide(story, "bob", "REJECTED", comment="no") == ""
    assert story.state("ask").output["form"] is None
    plain = asked("bob")
    assert decide(plain, "bob", form={"until": "May"}) == "This question has no form."
    assert decide(plain, "bob", form={}) == ""


def test_a_decision_on_the_item_cant_leave_a_form_out() -> None:
    story = asked("bob", form=FORM)
    assert not story.apply(ItemDecision(item("bob"), "APPROVED", "bob", story.now)).is_changed
    story.apply(ItemDecision(item("bob"), "REJECTED", "bob", story.now, "no"))
    assert story.state("ask").status is TaskStatus.FAILURE


def test_in_a_sequence_the_next_is_asked_after_the_one_before() -> None:
    story = asked("bob", "eve", "zoe", rule="COUNT", count=2, order="SEQUENTIAL")
    assert opens(story) == ["bob"]
    assert decide(story, "eve") == "It isn't your turn yet: those before you decide first."
    assert delegate(story, "eve", "max") == "It isn't your turn yet: those before you decide first."
    assert decide(story, "bob") == ""
    assert opens(story) == ["eve"]
    assert decide(story, "eve") == ""
    assert opens(story) == []
    assert closes(story) == [("eve", "DECIDED")], "who was never asked has no item to close"
    assert story.state("ask").status is TaskStatus.SUCCESS


def test_who_comes_next_is_told_when_the_block_has_answered() -> None:
    story = asked("bob", "eve", rule="ALL", order="SEQUENTIAL")
    decide(story, "bob")
    assert story.state("ask").status is TaskStatus.RUNNING
    story.hold("ask", {"tell": []})
    (message,) = story.sent()
    assert isinstance(message, Dispatch)
    assert message.state is not None
    assert (message.cause, message.step, message.state["tell"]) == ("TELL", 2, ["eve"])
    assert "untold" not in message.state["approval"]


def test_who_comes_next_is_told_at_once_while_the_block_waits() -> None:
    story = asked("bob", "eve", rule="ALL", order="SEQUENTIAL")
    story.hold("ask", {"tell": []})
    decide(story, "bob")
    (message,) = story.sent()
    assert isinstance(message, Dispatch)
    assert message.state is not None
    assert (message.cause, message.state["tell"]) == ("TELL", ["eve"])


def test_delegating_puts_another_in_ones_place() -> None:
    story = asked("bob", "eve", rule="ALL")
    assert delegate(story, "bob", "max", comment="on holiday") == ""
    assert (opens(story), closes(story)) == (["max"], [("bob", "CLOSED")])
    (opened,) = [effect for effect in story.effects if isinstance(effect, OpenItem)]
    assert opened.qualified_name == item("max")
    assert decide(story, "bob") == "You have handed this question to max."
    assert decide(story, "max") == ""
    assert decide(story, "eve") == ""
    assert story.state("ask").output["decided_by"] == ["max", "eve"]
    (record,) = story.state("ask").approval["delegations"]  # type: ignore[index]
    assert (record["from"], record["to"], record["comment"]) == ("bob", "max", "on holiday")
    assert [one["name"] for one in story.state("ask").approval["recipients"]] == ["bob", "max", "eve"]  # type: ignore[index]


def test_a_repeated_delegation_gets_its_verdict_again() -> None:
    story = asked("bob", "eve", rule="ALL")
    assert delegate(story, "bob", "max", id="d1") == ""
    assert delegate(story, "bob", "max", id="d1") == ""
    assert opens(story) == []


def test_whom_a_question_cant_be_handed_to() -> None:
    story = asked("bob", "eve", rule="ALL")
    assert delegate(story, "mallory", "max") == "This question wasn't put to you."
    assert delegate(story, "bob", "bob") == "You can't hand a question to yourself."
    assert delegate(story, "bob", "eve") == "eve is asked already."
    assert delegate(story, "bob", "ann") == "ann asked for this, and can't decide on their own request."
    assert delegate(story, "bob", "max", comment="x" * 4001) == "A comment has at most 4000 characters."
    assert delegate(story, "bob", "max", at=DUE_AT + 1) == "The due date of this question has passed."
    assert delegate(story, "bob", 5) == "This command can't be read."
    assert decide(story, "bob") == ""
    assert delegate(story, "bob", "max") == "You have already decided this."
    assert delegate(story, "eve", "bob") == "bob is asked already."
    assert decide(story, "eve") == ""
    assert delegate(story, "eve", "max") == "You have already decided this."


def test_a_question_isnt_handed_on_for_ever() -> None:
    story = asked("p0", prevent_self_approval=False)
    for number in range(5):
        assert delegate(story, f"p{number}", f"p{number + 1}") == ""
    assert delegate(story, "p5", "p0") == "p0 is asked already."
    assert delegate(story, "p5", "p6") == "This question has been handed on 5 times; it can't be once more."
    assert decide(story, "p5") == ""


def with_group(**members: Any) -> Story:
    recipients = [{"name": "bob", "email": None}, {"group": "stewards"}]
    return asked("bob", recipients=recipients, **members)


def test_any_member_of_a_group_may_take_its_item() -> None:
    story = with_group(rule="COUNT", count=2)
    assert opens(story) == ["bob", "group:stewards"]
    its = f"{GUID}/ask/0/0/group:stewards"
    assert decide(story, "eve", item=its) == "This question was put to stewards, of which you aren't a member."
    assert decide(story, "eve", item=its, groups=["other"]).startswith("This question was put to stewards")
    assert decide(story, "ann", item=its, groups=["stewards"]) == "You can't decide on your own request."
    assert delegate(story, "eve", "max") == "This question wasn't put to you."
    assert decide(story, "eve", item=its, groups=["stewards"]) == ""
    assert decide(story, "zoe", item=its, groups=["stewards"]) == "Somebody else of stewards has decided this already."
    assert decide(story, "eve", item=its, groups=["stewards"]) == "You have already decided this."
    assert decide(story, "bob") == ""
    assert story.state("ask").output["decided_by"] == ["eve", "bob"]


def test_one_person_decides_once_however_they_were_asked() -> None:
    story = with_group(rule="COUNT", count=2)
    its = f"{GUID}/ask/0/0/group:stewards"
    assert decide(story, "bob") == ""
    assert decide(story, "bob", item=its, groups=["stewards"]) == "You have already decided this."


def test_a_groups_item_isnt_handed_on() -> None:
    story = with_group()
    its = f"{GUID}/ask/0/0/group:stewards"
    arguments = {"to": "max", "item": its}
    story.apply(story.command("delegate", "eve", "recipient", task="ask", arguments=arguments, groups=["stewards"]))
    assert verdict(story) == "This question was put to stewards: any member may decide it, none can hand it on."


def test_a_members_decision_on_a_groups_item_counts_straight() -> None:
    story = with_group()
    its = f"{GUID}/ask/0/0/group:stewards"
    assert not story.apply(ItemDecision(its, "APPROVED", "eve", story.now, groups=("other",))).is_changed
    assert not story.apply(ItemDecision(its, "APPROVED", "eve", story.now)).is_changed
    story.apply(ItemDecision(its, "APPROVED", "eve", story.now, groups=("stewards",)))
    assert story.state("ask").output["decided_by"] == ["eve"]


def test_a_rule_that_counts_people_cant_be_asked_of_an_unknown_group() -> None:
    story = with_group(rule="ALL")
    assert story.state("ask").error.message.endswith(  # type: ignore[union-attr]
        "the members of stewards aren't known, so ALL can't be asked of it."
    )


def test_who_was_asked_as_a_member_must_still_be_one() -> None:
    recipients = [{"name": "bob", "groups": ["stewards", "owners"]}]
    story = asked("bob", recipients=recipients)
    left = "You were asked as a member of stewards or owners, and aren't one any more."
    assert decide(story, "bob", groups=["guests"]) == left
    assert delegate(story, "bob", "max", groups=[]) == left
    assert not story.apply(ItemDecision(item("bob"), "APPROVED", "bob", story.now, groups=())).is_changed
    story.apply(ItemDecision(item("bob"), "APPROVED", "bob", story.now, groups=("owners",)))
    assert story.state("ask").status is TaskStatus.SUCCESS


def test_an_administrators_override_is_recorded_as_such() -> None:
    story = asked("bob", "eve", rule="ALL")
    decide(story, "bob")
    assert override(story, "MAYBE").startswith("This question can be answered with")
    assert override(story, 5) == "This command can't be read."
    assert override(story, "REJECTED") == "Say why: this decision needs a comment."
    assert override(story, "REJECTED", comment="by law", id="o1") == ""
    state = story.state("ask")
    assert state.output == {"decision": "REJECTED", "decided_by": ["root"], "comment": "by law", "how": "OVERRIDE"}
    assert state.error is not None
    assert state.error.message == "root overrode it: by law"
    assert state.approval is not None
    assert state.approval["override"]["by"] == "root"
    assert [decision["by"] for decision in state.approval["decisions"]] == ["bob"]
    assert closes(story) == [("eve", "CLOSED")]
    assert override(story, "REJECTED", comment="by law", id="o1") == ""
    assert override(story).startswith("This question is closed")


def test_a_task_that_asks_nothing_cant_be_overridden() -> None:
    story = Story(request(task("ask", type="APPROVAL")))
    assert override(story) == "Task 'ask' doesn't ask for a decision now."


@pytest.mark.parametrize(("on_due", "status"), [("APPROVE", "SUCCESS"), ("REJECT", "FAILURE")])
def test_the_due_date_decides_where_the_question_says_so(on_due: str, status: str) -> None:
    story = asked("bob", "eve", rule="ALL", on_due=on_due)
    decide(story, "bob")
    story.wait(HOUR_MS + GRACE_MS)
    state = story.state("ask")
    assert state.status == status
    decision = "APPROVED" if on_due == "APPROVE" else "REJECTED"
    assert state.output == {
        "decision": decision,
        "decided_by": ["bob"],
        "comment": "Nobody decided in time.",
        "how": "DUE",
    }
    assert [effect for effect in story.effects if isinstance(effect, CloseItem)][-1].status is ItemStatus.EXPIRED


def test_while_others_are_looked_for_nobody_decides_and_nothing_expires() -> None:
    story = asked("bob", on_due="ESCALATE")
    story.hold("ask", {"tell": []})
    story.wait(HOUR_MS + GRACE_MS)
    (message,) = story.sent()
    assert isinstance(message, Dispatch)
    assert message.cause == "ESCALATE"
    assert closes(story) == [("bob", "EXPIRED")]
    assert decide(story, "bob", at=DUE_AT) == "The due date of this question has passed."
    assert delegate(story, "bob", "max", at=DUE_AT) == "The due date of this question has passed."
    story.wait(HOUR_MS)
    assert story.state("ask").status is TaskStatus.RUNNING
    story.apply(story.command("withdraw", "ann", "requester", id="w1"))
    assert closes(story) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"rule": "COUNT"},
        {"rule": "COUNT", "count": 0},
        {"rule": "COUNT", "count": 101},
        {"rule": "COUNT", "count": True},
        {"rule": "PERCENT", "percent": 101},
        {"order": "RANDOM"},
        {"on_due": "PANIC"},
        {"form": "a form"},
        {"form": {"type": "string"}},
        {"form": {"type": "object", "properties": 5}},
        {"form": {"description": "x" * 9000}},
        {"options": ["YES"], "means": {"YES": "MAYBE"}},
        {"options": [f"o{n}" for n in range(11)]},
        {"recipients": [{"group": ""}]},
        {"recipients": [{"name": "bob", "groups": "stewards"}]},
    ],
)
def test_a_malformed_question_fails_its_task(wrong: dict[str, Any]) -> None:
    story = asked("bob", **wrong)
    assert story.state("ask").error.name == "Engine.Internal"  # type: ignore[union-attr]
    assert story.effects == ()
