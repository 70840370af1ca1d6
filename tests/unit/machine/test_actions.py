"""Pause, resume, skip, incidents: what each does, and the sentence where it can't."""

from typing import Any

import pytest

from pipeline.core.errors import ErrorName
from pipeline.core.limits import ACTION_COMMENT_CHARS_MAX, ACTIONS_KEPT_MAX
from pipeline.core.statuses import CommandStatus, ItemStatus, RunPhase, RunStatus
from pipeline.machine.document import from_document, to_document
from pipeline.machine.effects import CloseCommand, CloseItem
from pipeline.machine.inputs import Refused
from pipeline.machine.run import TaskError
from pipeline.messages.envelopes import Dispatch, Outcome
from tests.unit.machine.runs import CREATED_AT, HOUR_MS, Story, condition, request, task

ONCE = [{"errorEquals": ["Task.ALL"], "maxAttempts": 1, "intervalSeconds": 1}]


def do(story: Story, action: str, name: str | None = None, /, **members: Any) -> str | None:
    """Ask for it by a new command; the reason of the refusal."""
    number = len(story.run.actions) + len(story.run.refusals)
    command = story.command(action, "olga", "owner", id=f"{action}-{number}", task=name, **members)
    story.apply(command)
    (verdict,) = [effect for effect in story.effects if isinstance(effect, CloseCommand)]
    return verdict.reason if verdict.status is CommandStatus.REFUSED else None


def resolve(story: Story, name: str, outcome: str) -> str | None:
    return do(story, "resolve", name, arguments={"outcome": outcome})


def phase_of(story: Story) -> RunPhase:
    return story.run.phase


def test_a_paused_run_merges_and_sends_nothing() -> None:
    story = Story(request(task("a"), task("b", "a"), condition("c", "true", "a"), task("d", "a.FAILURE")))
    assert do(story, "pause", comment="the mail server is down") is None
    assert phase_of(story) is RunPhase.PAUSED
    story.succeed("a", {"n": 1})
    assert story.statuses() == {"a": "SUCCESS", "b": "PENDING", "c": "PENDING", "d": "PENDING"}
    assert story.sent() == []
    assert not story.run.is_over
    assert do(story, "resume") is None
    assert story.statuses() == {"a": "SUCCESS", "b": "RUNNING", "c": "SUCCESS", "d": "OMITTED"}
    assert [message.task for message in story.sent()] == ["b"]
    assert phase_of(story) is RunPhase.RUNNING
    assert story.run.paused is None


def test_who_paused_and_why_is_in_the_run() -> None:
    story = Story(request(task("a")))
    do(story, "pause", comment="x" * 5000)
    assert story.run.paused is None, "a comment has its limit"
    do(story, "pause", comment="x" * 4000)
    pause = {"action": "pause", "by": "olga", "as": "owner", "at": story.now, "command": "pause-1"}
    assert story.run.paused == {**pause, "comment": "x" * ACTION_COMMENT_CHARS_MAX}
    assert list(story.run.actions) == [story.run.paused]


def test_a_paused_run_is_looked_at_every_hour_and_nothing_due_acts() -> None:
    story = Story(request(task("a", maxDurationSeconds=60)))
    do(story, "pause")
    assert story.run.wake_at == story.now + HOUR_MS
    story.wait(HOUR_MS)
    assert story.statuses() == {"a": "RUNNING"}
    assert story.run.wake_at == story.now + HOUR_MS
    do(story, "resume")
    assert story.run.wake_at == story.now + 1, "what came due is judged by a tick, which reads first"
    story.wait(1)
    assert story.statuses() == {"a": "TIMED_OUT"}


def test_a_retry_that_comes_due_in_a_pause_waits_for_its_end() -> None:
    story = Story(request(task("a", retry=ONCE)))
    do(story, "pause")
    story.fail("a")
    story.wait(HOUR_MS)
    assert story.state("a").attempt == 1
    assert story.statuses() == {"a": "RETRYING"}
    do(story, "resume")
    story.wait(1)
    assert (story.state("a").attempt, story.statuses()["a"]) == (2, "RUNNING")


def test_a_question_that_opens_in_a_pause_is_told_at_its_end() -> None:
    story = Story(request(task("ask", type="APPROVAL"), task("b", "ask")))
    do(story, "pause")
    story.ask("ask", "bob", due_at=CREATED_AT + 48 * HOUR_MS)
    assert story.state("ask").status == "WAITING"
    assert story.sent() == []
    story.apply(story.decision("ask", "bob"))
    assert story.statuses() == {"ask": "SUCCESS", "b": "PENDING"}
    do(story, "resume")
    assert story.statuses() == {"ask": "SUCCESS", "b": "RUNNING"}


def test_a_deadline_in_a_pause_acts_at_its_end_and_people_are_refused_all_the_same() -> None:
    story = Story(request(task("ask", type="APPROVAL")))
    story.ask("ask", "bob")
    do(story, "pause")
    story.wait(2 * HOUR_MS)
    story.apply(story.decision("ask", "bob"))
    assert story.effects[0].status is CommandStatus.REFUSED  # type: ignore[union-attr]
    assert story.statuses() == {"ask": "RUNNING"}
    do(story, "resume")
    story.wait(1)
    assert story.statuses() == {"ask": "EXPIRED"}


def test_a_run_whose_tasks_have_all_ended_is_over_though_paused() -> None:
    story = Story(request(task("a")))
    do(story, "pause")
    story.succeed("a")
    assert story.run.status is RunStatus.SUCCESS
    assert story.run.phase is RunPhase.ENDED
    assert story.run.paused is None


@pytest.mark.parametrize("action", ["withdraw", "cancel", "terminate"])
def test_a_paused_run_can_be_ended(action: str) -> None:
    story = Story(request(task("a"), task("b", "a", onExhausted="INCIDENT")))
    do(story, "pause")
    assert do(story, action) is None
    assert story.statuses() == {"a": "CANCELLED", "b": "CANCELLED"}
    assert story.run.wake_at == 0


def test_the_same_command_again_gets_the_same_verdict() -> None:
    story = Story(request(task("a"), task("b", "a")))
    pause, resume = story.command("pause", "olga"), story.command("resume", "olga", id="c2")
    story.apply(pause)
    story.apply(resume)
    story.apply(pause)
    assert story.run.paused is None
    assert story.effects == (CloseCommand("guid-of-c1", pause.qualified_name, CommandStatus.APPLIED),)


@pytest.mark.parametrize(
    ("action", "name", "members", "sentence"),
    [
        ("resume", None, {}, "This run isn't paused."),
        ("skip", "nobody", {}, "This run has no task 'nobody'."),
        ("skip", None, {}, "This action needs the name of a task."),
        ("skip", "done", {}, "Task 'done' has ended already: SUCCESS."),
        ("resolve", "a", {"arguments": {"outcome": "RETRY"}}, "Task 'a' isn't an incident: it is RUNNING."),
        ("resolve", "bad", {"arguments": {"outcome": "SHRUG"}}, "An incident is resolved with RETRY or FAIL."),
        ("resolve", "bad", {}, "An incident is resolved with RETRY or FAIL."),
        ("pause", None, {"comment": "x" * 4001}, "A comment has at most 4000 characters."),
        ("retry-failed", None, {}, "'retry-failed' isn't available in this version."),
    ],
)
def test_what_the_state_forbids(action: str, name: str | None, members: dict[str, Any], sentence: str) -> None:
    story = Story(request(task("a"), task("done"), task("bad", onExhausted="INCIDENT")))
    story.succeed("done")
    story.fail("bad")
    before = story.statuses()
    assert do(story, action, name, **members) == sentence
    assert story.statuses() == before
    assert story.run.actions == ()


def test_a_second_pause_is_refused_with_who_made_the_first() -> None:
    story = Story(request(task("a")))
    do(story, "pause")
    assert do(story, "pause") == "This run is paused already, by olga."


@pytest.mark.parametrize("action", ["pause", "resume", "skip", "resolve"])
def test_a_run_that_is_over_refuses(action: str) -> None:
    story = Story(request(task("a")))
    story.succeed("a")
    assert do(story, action, "a") == "This run is over."


def test_a_task_is_skipped_before_it_begins() -> None:
    story = Story(request(task("a"), task("b", "a"), task("c", "b"), task("d", "b.SUCCESS")))
    assert do(story, "skip", "b", comment="not this time") is None
    assert story.statuses() == {"a": "RUNNING", "b": "SKIPPED", "c": "RUNNING", "d": "OMITTED"}
    assert story.run.actions[0]["task"] == "b"
    assert story.run.actions[0]["comment"] == "not this time"


def test_the_result_of_a_task_that_was_skipped_comes_late() -> None:
    story = Story(request(task("a"), task("b")))
    done = story.result("a", Outcome.SUCCEEDED, output={"n": 1})
    do(story, "skip", "a")
    story.apply(done)
    assert story.state("a").status == "SKIPPED"
    assert story.state("a").output is None
    assert len(story.state("a").late) == 1


def test_a_question_that_is_skipped_is_closed() -> None:
    story = Story(request(task("ask", type="APPROVAL"), task("b", "ask")))
    story.ask("ask", "bob")
    do(story, "skip", "ask")
    assert [effect.status for effect in story.effects if isinstance(effect, CloseItem)] == [ItemStatus.CLOSED]
    assert story.statuses() == {"ask": "SKIPPED", "b": "RUNNING"}


def test_out_of_retries_is_an_incident_where_the_author_asked_for_one() -> None:
    story = Story(request(task("a", retry=ONCE, onExhausted="INCIDENT"), task("b", "a.FAILED_ANY")))
    story.fail("a")
    story.wait(1000)
    story.fail("a", "Http.5xx", "the service answered 503")
    assert story.statuses() == {"a": "INCIDENT", "b": "PENDING"}
    assert story.state("a").error.name == "Http.5xx"  # type: ignore[union-attr]
    assert story.run.phase is RunPhase.WAITING
    assert story.run.wake_at == story.now + HOUR_MS
    story.wait(HOUR_MS)
    assert story.statuses() == {"a": "INCIDENT", "b": "PENDING"}


def test_an_incident_that_is_retried_has_fresh_attempts_under_the_same_effect_key() -> None:
    story = Story(request(task("a", retry=ONCE, onExhausted="INCIDENT")))
    story.fail("a")
    story.wait(1000)
    story.fail("a")
    story.now += 10
    assert resolve(story, "a", "RETRY") is None
    (sent,) = story.sent()
    assert (sent.attempt, sent.step) == (3, 0)
    story.fail("a")
    assert story.statuses() == {"a": "RETRYING"}, "its retriers count anew"
    story.wait(1000)
    story.succeed("a")
    assert story.run.status is RunStatus.SUCCESS
    assert story.run.actions[0]["outcome"] == "RETRY"


def test_an_incident_that_fails_ends_as_it_would_have() -> None:
    story = Story(request(task("a", onExhausted="INCIDENT", retry=[]), task("b", "a.TIMED_OUT")))
    story.fail("a", "Task.Timeout", "too slow")
    resolve(story, "a", "FAIL")
    assert story.statuses() == {"a": "TIMED_OUT", "b": "RUNNING"}
    assert story.state("a").error.message == "too slow"  # type: ignore[union-attr]


def test_past_its_longest_time_a_task_is_an_incident_too_and_a_retry_has_as_long_again() -> None:
    story = Story(request(task("a", onExhausted="INCIDENT", maxDurationSeconds=60)))
    story.wait(60_000)
    assert story.statuses() == {"a": "INCIDENT"}
    story.wait(1)
    assert story.statuses() == {"a": "INCIDENT"}
    resolve(story, "a", "RETRY")
    story.wait(59_999)
    assert story.statuses() == {"a": "RUNNING"}
    story.wait(1)
    assert story.statuses() == {"a": "INCIDENT"}
    assert story.state("a").started_at == CREATED_AT


def test_what_waited_too_long_waits_again_and_goes_on_with_the_step_that_comes_next() -> None:
    story = Story(request(task("a", onExhausted="INCIDENT", maxDurationSeconds=60)))
    story.apply(story.result("a", Outcome.WAITING, state={"n": 1}, continue_at=story.now + 90_000, continue_cause="GO"))
    story.wait(60_000)
    assert story.statuses() == {"a": "INCIDENT"}
    assert from_document(to_document(story.run), story.run.guid).tasks == story.run.tasks
    resolve(story, "a", "RETRY")
    assert story.statuses() == {"a": "WAITING"}
    assert story.sent() == []
    story.wait(30_000)
    (sent,) = story.sent()
    assert isinstance(sent, Dispatch)
    assert (sent.attempt, sent.step, sent.cause, sent.state) == (1, 1, "GO", {"n": 1})
    story.wait(29_999)
    assert story.statuses() == {"a": "RUNNING"}
    story.wait(1)
    assert story.statuses() == {"a": "INCIDENT"}, "it had as long again"
    resolve(story, "a", "RETRY")
    assert [(message.attempt, message.step) for message in story.sent()] == [(2, 1)], "its step wasn't done this time"


def test_an_incident_that_fails_once_more_stays_one_with_its_latest_error() -> None:
    story = Story(request(task("a", onExhausted="INCIDENT", retry=[])))
    story.fail("a")
    refused = Refused("a", "there is no such attribute", ErrorName.METADATA_REFUSED)
    story.apply(refused)
    assert story.statuses() == {"a": "INCIDENT"}
    assert story.state("a").error == TaskError("Metadata.Refused", "there is no such attribute")
    revision = story.run.revision
    story.apply(refused)
    assert story.run.revision == revision


def test_a_success_that_comes_late_ends_an_incident() -> None:
    story = Story(request(task("a", onExhausted="INCIDENT", maxDurationSeconds=60)))
    done = story.result("a", Outcome.SUCCEEDED)
    story.wait(60_000)
    story.apply(done)
    assert story.run.status is RunStatus.SUCCESS


def test_an_incident_that_is_retried_in_a_pause_goes_on_after_it() -> None:
    story = Story(request(task("a", onExhausted="INCIDENT", retry=[])))
    story.fail("a")
    do(story, "pause")
    resolve(story, "a", "RETRY")
    assert story.statuses() == {"a": "RETRYING"}
    assert story.sent() == []
    do(story, "resume")
    story.wait(1)
    assert [message.attempt for message in story.sent()] == [2]


def test_an_incident_can_be_skipped() -> None:
    story = Story(request(task("a", onExhausted="INCIDENT", retry=[]), task("b", "a")))
    story.fail("a")
    do(story, "skip", "a")
    assert story.statuses() == {"a": "SKIPPED", "b": "RUNNING"}


def test_a_question_stays_open_while_its_block_is_an_incident() -> None:
    story = Story(request(task("ask", type="APPROVAL", onExhausted="INCIDENT", retry=[])))
    story.ask("ask", "bob")
    story.fail("ask", "Mail.Refused")
    assert story.statuses() == {"ask": "INCIDENT"}
    story.apply(story.decision("ask", "bob"))
    assert story.statuses() == {"ask": "SUCCESS"}


def test_what_never_reached_a_runner_is_no_incident() -> None:
    story = Story(request(condition("a", "run.input.nothing", onExhausted="INCIDENT")))
    assert story.statuses() == {"a": "FAILURE"}


def test_actions_are_remembered_up_to_a_limit() -> None:
    story = Story(request(task("a")))
    for number in range(ACTIONS_KEPT_MAX + 5):
        story.apply(story.command("resume" if number % 2 else "pause", "olga", id=f"c{number}"))
    assert [action["command"] for action in story.run.actions][-1] == f"c{ACTIONS_KEPT_MAX + 4}"
    assert len(story.run.actions) == ACTIONS_KEPT_MAX
