"""The APPROVAL block, alone and with the real state machine: what one says must be what the other reads."""

from typing import Any

import pytest

from pipeline.core.limits import CLOCK_SKEW_MAX_MS, DECISION_GRACE_MS, STATE_BYTES_MAX
from pipeline.machine.effects import CloseItem, OpenItem
from pipeline.messages.canonical import encode
from pipeline.messages.envelopes import Dispatch, Outcome, Result
from tests.unit.machine.runs import GUID, Story, request, task
from tests.unit.runners.shells import REGISTRY, World

HOUR = 3_600_000
GRACE = DECISION_GRACE_MS + CLOCK_SKEW_MAX_MS
GROUP = {"name": "group:everyone", "item": "g/t/0/0/group:everyone"}
QUESTION: dict[str, Any] = {"title": "Change orders", "approvers": {"groups": ["stewards"]}, "dueIn": "PT1H"}


def open_state(world: World, **arguments: Any) -> dict[str, Any]:
    result = world.attempt({**QUESTION, **arguments})
    assert result.outcome is Outcome.WAITING, result.error
    assert result.state is not None
    return result.state


def tell(world: World, state: dict[str, Any], step: int = 1) -> Result:
    return world.attempt(QUESTION, state=state, step=step, cause="TELL")


def refusal(**arguments: Any) -> tuple[str, str]:
    result = World("APPROVAL").attempt({**QUESTION, **arguments})
    assert result.error is not None
    return result.error.name, result.error.message


def test_approvers_are_users_and_members_each_once_in_order_without_the_requester() -> None:
    state = open_state(World("APPROVAL"), approvers={"users": ["cy", "bo"], "groups": ["stewards"]})
    assert state["tell"] == ["cy", "bo", "ana"]
    assert state["approval"]["recipients"] == [
        {"name": "cy", "email": None},
        {"name": "bo", "email": "bo@example.com"},
        {"name": "ana", "email": "ana@example.com", "groups": ["stewards"]},
    ]


def test_owners_and_names_of_an_expression_are_asked_too() -> None:
    owners = {"users": ["cy", "gone"], "groups": ["stewards", "no more"]}
    state = open_state(World("APPROVAL"), approvers={"owners": owners, "expression": ["ana"]})
    assert [(one["name"], one.get("groups")) for one in state["approval"]["recipients"]] == [
        ("cy", None),
        ("ana", None),
        ("bo", ["stewards"]),
    ]


def test_who_is_asked_as_a_member_of_two_groups_may_be_in_either() -> None:
    people = {"users": {"ana": None}, "groups": {"a": ["ana"], "b": ["ana"]}}
    state = open_state(World("APPROVAL", people), approvers={"groups": ["a", "b"]})
    assert state["approval"]["recipients"] == [{"name": "ana", "email": None, "groups": ["a", "b"]}]


@pytest.mark.parametrize("rule", [{"rule": "ALL"}, {"rule": "ALL_RESPONDED_ANY"}, {"rule": "PERCENT", "percent": 50}])
def test_a_rule_that_counts_those_who_are_asked_needs_to_know_them(rule: dict[str, Any]) -> None:
    people = {"users": {}, "groups": {"everyone": None}}
    world = World("APPROVAL", people)
    approvers = {"groups": ["everyone"]}
    result = world.attempt({**QUESTION, **rule, "approvers": approvers})
    assert result.error is not None
    assert result.error.name == "Approval.NoApprovers"
    assert f"the members of everyone aren't known, so {rule['rule']} can't be asked" in result.error.message
    state = open_state(world, approvers=approvers)
    assert state["approval"]["recipients"] == [{"group": "everyone"}]
    told = tell(world, {**state, "approval": {**state["approval"], "recipients": [{"group": "everyone"} | GROUP]}})
    assert told.state is not None
    assert told.state["tell_failed"][0]["name"] == "group:everyone"


def test_reminders_are_counted_from_the_opening_and_from_the_due_date() -> None:
    world = World("APPROVAL")
    state = open_state(world, dueIn="PT4H", reminders=["-PT1H", "PT1H", "PT3H"])
    begin = 1_795_439_555_000
    assert state["reminders"] == [[begin + HOUR, 1], [begin + 3 * HOUR, 0], [begin + 3 * HOUR, 2]]
    result = tell(world, state)
    assert (result.continue_at, result.continue_cause) == (begin + HOUR, "REMIND")


def test_a_reminder_is_sent_once_to_those_who_havent_decided() -> None:
    world = World("APPROVAL", public_url="https://flow.example.com/")
    state = open_state(world, dueIn="PT4H", reminders=["PT1H"])
    after = tell(world, state).state
    assert after is not None
    decided = {**state["approval"], "decisions": [{"by": "bo", "action": "APPROVED", "at": 1}]}
    due = {**after, "approval": decided, "reminders": [[1_795_439_555_000, 0]]}
    for step in (2, 3):
        again = world.attempt(QUESTION, state=due, step=step, cause="REMIND")
        assert again.state == {"tell": []}
    assert world.told() == ["ana@example.com", "bo@example.com", "ana@example.com"]
    mail = world.mailer.mails[-1]
    assert mail.title == "Reminder: please decide: Change orders"
    assert mail.link is not None
    assert mail.link.url == "https://flow.example.com/inbox?run=g"


def test_a_reminder_that_cant_be_sent_now_is_sent_later_and_still_once() -> None:
    world = World("APPROVAL")
    state = open_state(world, approvers={"users": ["ana"]})
    world.mailer.is_away = True
    due = {**state, "tell": [], "reminders": [[1_795_439_555_000, 0]]}
    later = world.attempt(QUESTION, state=due, step=2, cause="REMIND")
    assert later.state is not None
    assert later.state["tell"] == [{"name": "ana", "reminder": 0}]
    world.mailer.is_away = False
    for step in (3, 4):
        tell(world, {**later.state, "approval": state["approval"]}, step)
    assert world.told() == ["ana@example.com"]


def test_the_requester_may_decide_if_the_workflow_says_so() -> None:
    state = open_state(World("APPROVAL"), preventSelfApproval=False)
    assert state["tell"] == ["ana", "bo", "requester"]
    assert state["approval"]["prevent_self_approval"] is False


def test_rejecting_always_needs_a_comment() -> None:
    assert open_state(World("APPROVAL"))["approval"]["require_comment_on"] == ["REJECTED"]
    both = open_state(World("APPROVAL"), requireCommentOn=["APPROVED"])
    assert both["approval"]["require_comment_on"] == ["APPROVED", "REJECTED"]


def test_the_due_date_counts_from_the_stored_time() -> None:
    assert open_state(World("APPROVAL"))["approval"]["due_at"] == 1_795_439_555_000 + 3_600_000


@pytest.mark.parametrize(
    ("approvers", "part"),
    [
        ({}, "no approvers"),
        ({"groups": ["empty"]}, "no approvers"),
        ({"users": ["requester"]}, "can't approve their own request"),
        ({"users": ["nobody"]}, "there is no user nobody"),
        ({"groups": ["nogroup"]}, "there is no group nogroup, or its members aren't known"),
    ],
)
def test_when_there_is_nobody_to_ask_it_says_why(approvers: dict[str, Any], part: str) -> None:
    name, message = refusal(approvers=approvers)
    assert name == "Approval.NoApprovers"
    assert part in message


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"rule": "COUNT"}, "the rule COUNT needs count"),
        ({"rule": "PERCENT"}, "the rule PERCENT needs percent"),
        ({"rule": "MOST"}, "rule must be 'ANY', 'ALL', 'ALL_RESPONDED_ANY', 'COUNT' or 'PERCENT'"),
        ({"count": 2}, "count belongs to the rule COUNT"),
        ({"percent": 2}, "percent belongs to the rule PERCENT"),
        ({"rule": "COUNT", "count": 0}, "count should be greater than or equal to 1"),
        ({"rule": "PERCENT", "percent": 101}, "percent should be less than or equal to 100"),
        ({"approvers": {"owners": "me"}}, "approvers.owners must be"),
        ({"approvers": {"expression": 5}}, "something else than a name or a list of names"),
        ({"reminders": ["P4D"], "dueIn": "P3D"}, "reminders: P4D is longer than dueIn"),
        ({"reminders": ["soon"]}, "a duration looks like"),
        ({"form": []}, "form must be"),
        ({"onDue": "PANIC"}, "onDue must be 'EXPIRE', 'APPROVE', 'REJECT' or 'ESCALATE'"),
        ({"onDue": "ESCALATE"}, "ESCALATE needs escalateTo"),
        ({"escalateTo": {"users": ["cy"]}}, "escalateTo needs onDue or onNoApprovers"),
        ({"onDue": "ESCALATE", "escalateTo": {}}, "escalateTo must name users or groups"),
        ({"options": ["REJECTED"]}, "one must count as APPROVED"),
        ({"options": ["APPROVED", "APPROVED"]}, "one is there twice"),
        ({"options": [{"name": "APPROVED", "countsAs": "REJECTED"}]}, "can only count as what the name says"),
        ({"options": []}, "options must not be empty"),
        ({"requireCommentOn": ["MAYBE"]}, "requireCommentOn: MAYBE isn't one of the options"),
        ({"dueIn": "P1Y"}, "years and months have no fixed length"),
        ({"due_in": "P1D"}, "due_in isn't known here; did you mean dueIn?"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(arguments: dict[str, Any], part: str) -> None:
    name, message = refusal(**arguments)
    assert name in {"Validation.Input", "Approval.NoApprovers"}
    assert part in message


def test_telling_reaches_everybody_once() -> None:
    world = World("APPROVAL", public_url="https://flow.example.com")
    state = open_state(world)
    result = tell(world, state)
    assert (result.outcome, result.state, result.continue_at) == (Outcome.WAITING, {"tell": []}, None)
    assert world.told() == ["ana@example.com", "bo@example.com"]
    tell(world, state, step=4)
    assert len(world.told()) == 2, "whichever step tells, the mail is the same"
    mail = world.mailer.mails[0]
    assert mail.title == "Please decide: Change orders"
    assert "requester asks for a decision" in mail.description
    assert "Decide by 2026-11-23 14:12 UTC" in mail.description
    assert mail.link is not None
    assert mail.link.url == "https://flow.example.com/inbox?run=g"
    assert "blockline task list --run g" in mail.description


def test_an_outage_delays_telling_more_and_more_and_ends_nothing() -> None:
    world = World("APPROVAL")
    state = open_state(world)
    world.mailer.is_away = True
    delays = []
    for step in range(1, 10):
        result = tell(world, state, step)
        assert result.outcome is Outcome.WAITING
        assert result.state is not None
        assert result.continue_at is not None
        state = {**result.state, "approval": state["approval"]}
        delays.append((result.continue_at - 1_795_439_555_000) // 1000)
    assert delays == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    world.mailer.is_away = False
    assert tell(world, state, 10).state == {"tell": []}
    assert world.told() == ["ana@example.com", "bo@example.com"]


def test_whom_the_server_refuses_is_kept_with_the_reason_and_not_tried_again() -> None:
    world = World("APPROVAL")
    world.mailer.refused = frozenset({"ana@example.com"})
    result = tell(world, open_state(world))
    assert result.state is not None
    assert result.continue_at is None
    assert result.state["tell_failed"] == [{"name": "ana", "reason": "the mail server refused it: 550 no such user"}]
    assert world.told() == ["bo@example.com"]


def test_a_hundred_approvers_are_told_in_steps_and_fit_into_the_state() -> None:
    names = [f"a-rather-long-user-name-{n:03}" for n in range(100)]
    people = {"users": {name: f"{name}@a-rather-long-domain.example.com" for name in names}, "groups": {"all": names}}
    world = World("APPROVAL", people)
    state = open_state(world, approvers={"groups": ["all"]}, body="ü" * 4000)
    assert len(encode(state)) < STATE_BYTES_MAX
    steps = 0
    while state["tell"]:
        steps += 1
        result = tell(world, state, steps)
        assert result.state is not None
        state = {**result.state, "approval": state["approval"]}
    assert steps == 5
    assert len(set(world.told())) == 100


def test_an_unknown_cause_is_an_error_not_a_second_question() -> None:
    world = World("APPROVAL")
    result = world.attempt(QUESTION, state=open_state(world), step=1, cause="NONSENSE")
    assert result.error is not None
    assert result.error.name == "Engine.Internal"


def with_the_machine(world: World, **arguments: Any) -> Story:
    pairs = [{key: value} for key, value in {**QUESTION, **arguments}.items()]
    return Story(request(task("ask", type="APPROVAL", arguments=pairs), blocks=REGISTRY.defaults(["APPROVAL"])))


def answer(story: Story, world: World) -> None:
    (dispatch,) = story.sent()
    assert isinstance(dispatch, Dispatch)
    story.apply(world.run(dispatch))


def test_the_machine_opens_what_the_block_asks_and_the_block_tells_whom_the_machine_asked() -> None:
    world = World("APPROVAL")
    story = with_the_machine(world)
    answer(story, world)
    assert [effect.recipient for effect in story.effects if isinstance(effect, OpenItem)] == ["ana", "bo", "requester"]
    assert (story.state("ask").status, story.state("ask").step) == ("RUNNING", 1)
    world.mailer.is_away = True
    answer(story, world)
    assert story.state("ask").status == "WAITING"
    world.mailer.is_away = False
    story.wait(5_000)
    answer(story, world)
    assert story.state("ask").status == "WAITING"
    assert world.told() == ["ana@example.com", "bo@example.com", "r@example.com"]
    assert story.run.tasks["ask"].approval is not None


def test_one_after_the_other_is_asked_and_told_when_their_turn_comes() -> None:
    world = World("APPROVAL")
    story = with_the_machine(world, approvers={"users": ["cy", "bo", "ana"]}, rule="ALL", order="SEQUENTIAL")
    answer(story, world)
    assert [effect.recipient for effect in story.effects if isinstance(effect, OpenItem)] == ["cy"]
    (telling,) = story.sent()
    assert isinstance(telling, Dispatch)
    story.apply(story.decision("ask", "cy"))
    assert [effect.recipient for effect in story.effects if isinstance(effect, OpenItem)] == ["bo"]
    story.apply(world.run(telling))
    answer(story, world)
    assert world.told() == ["bo@example.com"]
    story.apply(story.decision("ask", "bo", id="c2"))
    answer(story, world)
    assert world.told() == ["bo@example.com", "ana@example.com"]
    story.apply(story.decision("ask", "ana", id="c3"))
    assert story.state("ask").output["decided_by"] == ["cy", "bo", "ana"]


def test_what_isnt_decided_in_time_goes_to_others() -> None:
    world = World("APPROVAL")
    to = {"users": ["ana"], "dueIn": "PT2H"}
    story = with_the_machine(
        world, approvers={"users": ["bo", "cy"]}, rule="COUNT", count=2, onDue="ESCALATE", escalateTo=to
    )
    answer(story, world)
    answer(story, world)
    story.apply(story.decision("ask", "bo"))
    story.wait(HOUR + GRACE)
    closed = [effect for effect in story.effects if isinstance(effect, CloseItem)]
    assert [(effect.qualified_name, effect.status) for effect in closed] == [(f"{GUID}/ask/0/0/cy", "EXPIRED")]
    answer(story, world)
    (opened,) = [effect for effect in story.effects if isinstance(effect, OpenItem)]
    assert (opened.recipient, opened.qualified_name) == ("ana", f"{GUID}/ask/0/2/ana")
    assert opened.due_at == story.now + 2 * HOUR
    answer(story, world)
    assert world.told() == ["bo@example.com", "ana@example.com"]
    assert "you are asked instead" in world.mailer.mails[-1].description
    late = story.decision("ask", "cy", id="c2", arguments={"action": "APPROVED", "item": f"{GUID}/ask/0/0/cy"})
    story.apply(late)
    assert story.state("ask").status == "WAITING"
    item = {"action": "APPROVED", "item": f"{GUID}/ask/0/2/ana"}
    story.apply(story.decision("ask", "ana", id="c3", arguments=item))
    assert story.state("ask").output == {"decision": "APPROVED", "decided_by": ["ana"], "comment": ""}
    assert story.state("ask").approval["earlier"]["decisions"][0]["by"] == "bo"  # type: ignore[index]


def test_nobody_escalates_twice() -> None:
    world = World("APPROVAL")
    story = with_the_machine(world, approvers={"users": ["bo"]}, onDue="ESCALATE", escalateTo={"users": ["ana"]})
    answer(story, world)
    answer(story, world)
    story.wait(HOUR + GRACE)
    answer(story, world)
    answer(story, world)
    story.wait(HOUR + GRACE)
    assert story.state("ask").status == "EXPIRED"


def test_nobody_to_escalate_to_fails_the_task_by_name() -> None:
    world = World("APPROVAL")
    story = with_the_machine(world, approvers={"users": ["bo"]}, onDue="ESCALATE", escalateTo={"users": ["nobody"]})
    answer(story, world)
    answer(story, world)
    story.wait(HOUR + GRACE)
    answer(story, world)
    assert story.state("ask").error.name == "Approval.NoApprovers"  # type: ignore[union-attr]


@pytest.mark.parametrize(("expression", "status"), [("run.input.amount < 5", "SUCCESS"), ("false", "RUNNING")])
def test_an_expression_approves_without_asking(expression: str, status: str) -> None:
    world = World("APPROVAL")
    story = with_the_machine(world, autoApprove=expression)
    answer(story, world)
    assert story.state("ask").status == status
    if status == "SUCCESS":
        assert story.state("ask").output["how"] == "AUTO"
        assert story.effects == ()


def test_the_asset_says_who_owns_it_and_an_expression_whom_else_to_ask() -> None:
    world = World("APPROVAL")
    asset = {"guid": "a", "typeName": "Table", "attributes": {"ownerUsers": ["cy"]}, "classifications": []}
    approvers = {"owners": True, "expression": '["ana"]'}
    pairs = [{key: value} for key, value in {**QUESTION, "approvers": approvers}.items()]
    body = task("ask", type="APPROVAL", arguments=pairs)
    story = Story(request(body, blocks=REGISTRY.defaults(["APPROVAL"]), asset=asset))
    answer(story, world)
    assert [effect.recipient for effect in story.effects if isinstance(effect, OpenItem)] == ["cy", "ana"]


def test_an_expression_that_cant_be_evaluated_fails_the_task() -> None:
    world = World("APPROVAL")
    story = with_the_machine(world, autoApprove="run.input.nothing == 1")
    (failure,) = story.sent()
    assert isinstance(failure, Result)
    assert failure.error is not None
    assert failure.error.name == "Expression.AbsentOutput"


def test_a_value_of_a_template_is_never_an_expression() -> None:
    world = World("APPROVAL")
    story = with_the_machine(world, title='{{ "autoApprove" }}', autoApprove="false")
    answer(story, world)
    assert story.state("ask").approval["title"] == "autoApprove"  # type: ignore[index]


def test_the_machine_reports_what_the_block_refuses() -> None:
    world = World("APPROVAL")
    story = with_the_machine(world, approvers={"users": ["nobody"]})
    answer(story, world)
    state = story.state("ask")
    assert state.status == "FAILURE"
    assert state.error is not None
    assert state.error.name == "Approval.NoApprovers"
