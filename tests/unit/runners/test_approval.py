"""The APPROVAL block, alone and with the real state machine: what one says must be what the other reads."""

from typing import Any

import pytest

from pipeline.core.limits import STATE_BYTES_MAX
from pipeline.machine.effects import OpenItem
from pipeline.messages.canonical import encode
from pipeline.messages.envelopes import Dispatch, Outcome, Result
from tests.unit.machine.runs import Story, request, task
from tests.unit.runners.shells import REGISTRY, World

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


def test_approvers_are_users_and_members_each_once_sorted_without_the_requester() -> None:
    state = open_state(World("APPROVAL"), approvers={"users": ["cy", "bo"], "groups": ["stewards"]})
    assert state["tell"] == ["ana", "bo", "cy"]
    assert state["approval"]["recipients"][2] == {"name": "cy", "email": None}


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
        ({"rule": "COUNT"}, "rule can only be ANY or ALL in this version"),
        ({"approvers": {"owners": True}}, "approvers.owners isn't available in this version"),
        ({"approvers": {"expression": "x"}}, "approvers.expression isn't available in this version"),
        ({"reminders": ["P1D"]}, "reminders isn't available in this version"),
        ({"form": {}}, "form isn't available in this version"),
        ({"autoApprove": "true"}, "autoApprove isn't available in this version"),
        ({"onDue": "APPROVE"}, "onDue can only be EXPIRE in this version"),
        ({"options": ["YES"]}, "options.0 must be"),
        ({"options": ["REJECTED", "APPROVED"]}, "can only be"),
        ({"dueIn": "P1Y"}, "years and months have no fixed length"),
        ({"due_in": "P1D"}, "due_in isn't known here; did you mean dueIn?"),
    ],
)
def test_what_this_version_hasnt_is_refused_with_a_sentence(arguments: dict[str, Any], part: str) -> None:
    name, message = refusal(**arguments)
    assert name == "Validation.Input"
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
    assert mail.link.url == "https://flow.example.com"


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


def test_the_machine_reports_what_the_block_refuses() -> None:
    world = World("APPROVAL")
    story = with_the_machine(world, approvers={"users": ["nobody"]})
    answer(story, world)
    state = story.state("ask")
    assert state.status == "FAILURE"
    assert state.error is not None
    assert state.error.name == "Approval.NoApprovers"
