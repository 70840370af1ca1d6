import pytest

from pipeline.core.statuses import RunPhase, RunStatus, TaskStatus
from pipeline.machine.effects import WriteEntity
from pipeline.machine.inputs import Refused, Tick
from pipeline.messages.envelopes import EntityWrite, Outcome
from tests.unit.machine.runs import CREATED_AT, HOUR_MS, Story, request, task

ENTITY = EntityWrite(type_name="Table", qualified_name="db/orders", attributes={"name": "orders"})
RETRY = {"errorEquals": ["Http.5xx"], "intervalSeconds": 2, "maxAttempts": 2, "backoffRate": 3.0}


def test_a_success_starts_what_follows_in_the_same_revision() -> None:
    story = Story(request(task("a"), task("b", "a")))
    story.now += 10
    story.succeed("a", {"n": 1}, entities=(ENTITY,))
    assert story.statuses() == {"a": "SUCCESS", "b": "RUNNING"}
    assert story.state("b").dispatched_revision == story.run.revision == 1
    assert story.effects == (WriteEntity("a", ENTITY),)
    assert story.state("a").ended_at == story.now


def test_one_revision_for_many_results() -> None:
    story = Story(request(task("a"), task("b"), task("c", "a && b")))
    story.apply(story.result("a", Outcome.SUCCEEDED), story.result("b", Outcome.SUCCEEDED))
    assert story.run.revision == 1
    assert story.statuses()["c"] == "RUNNING"


def test_a_task_waits_while_its_depends_isnt_certain() -> None:
    story = Story(request(task("a"), task("b"), task("both", "a && b"), task("not-b", "a && !b.FAILURE")))
    story.succeed("a")
    assert story.statuses() == {"a": "SUCCESS", "b": "RUNNING", "both": "PENDING", "not-b": "PENDING"}
    story.fail("b")
    assert story.statuses() == {"a": "SUCCESS", "b": "FAILURE", "both": "OMITTED", "not-b": "OMITTED"}


def test_an_eager_or_begins_at_once_and_a_settled_branch_is_omitted() -> None:
    story = Story(request(task("a"), task("b"), task("either", "a || b"), task("neither", "a.FAILURE && b")))
    story.succeed("a")
    assert story.statuses() == {"a": "SUCCESS", "b": "RUNNING", "either": "RUNNING", "neither": "OMITTED"}


def test_a_duplicate_changes_nothing_and_another_result_is_late() -> None:
    story = Story(request(task("a"), task("b")))
    first = story.result("a", Outcome.SUCCEEDED, output=1)
    story.apply(first)
    assert not story.apply(first).is_changed
    story.now += 5
    story.fail("a")
    assert story.state("a").status is TaskStatus.SUCCESS
    assert [entry["outcome"] for entry in story.state("a").late] == ["FAILED"]
    for _ in range(12):
        story.now += 5
        story.fail("a")
    assert len(story.state("a").late) == 10


def test_a_late_result_of_a_run_that_is_over_is_kept_and_starts_nothing() -> None:
    story = Story(request(task("a")))
    story.apply(story.command("withdraw", "ann"))
    story.succeed("a", entities=(ENTITY,))
    assert story.effects == ()
    assert story.state("a").status is TaskStatus.CANCELLED
    assert len(story.state("a").late) == 1


@pytest.mark.parametrize("members", [{"round": 1}, {"round": 3, "attempt": 9}])
def test_a_result_of_another_round_is_late(members: dict[str, int]) -> None:
    story = Story(request(task("a")))
    story.succeed("a", **members)
    assert story.state("a").status is TaskStatus.RUNNING
    assert len(story.state("a").late) == 1


def test_a_result_of_a_task_that_never_ran_is_late() -> None:
    story = Story(request(task("a"), task("b", "a")))
    story.succeed("b")
    assert story.statuses()["b"] == "PENDING"


def test_a_result_that_belongs_to_nothing_here_changes_nothing() -> None:
    story = Story(request(task("a")))
    foreign = story.result("a", Outcome.SUCCEEDED)
    assert not story.apply(foreign.model_copy(update={"task": "zzz"})).is_changed
    assert not story.apply(foreign.model_copy(update={"run_guid": "another"})).is_changed


def test_retries_wait_longer_each_time_and_then_give_up() -> None:
    story = Story(request(task("a", retry=[RETRY])))
    story.fail("a", "Http.5xx")
    assert story.state("a").status is TaskStatus.RETRYING
    assert story.state("a").due_at == story.run.wake_at == CREATED_AT + 2000
    assert story.run.phase is RunPhase.RUNNING
    story.wait(1999)
    assert story.state("a").status is TaskStatus.RETRYING
    story.wait(1)
    assert (story.state("a").status, story.state("a").attempt) == (TaskStatus.RUNNING, 2)
    assert story.state("a").dispatched_revision == story.run.revision
    story.fail("a", "Http.5xx")
    assert story.state("a").due_at == story.now + 6000
    story.wait(6000)
    story.fail("a", "Http.5xx", "still broken")
    assert story.state("a").status is TaskStatus.FAILURE
    assert story.run.status is RunStatus.FAILURE
    assert story.run.error is not None
    assert story.run.error.message == "Task 'a': still broken"


def test_each_retrier_counts_for_itself() -> None:
    timeouts = {"errorEquals": ["Task.ALL"], "intervalSeconds": 1, "maxAttempts": 1}
    story = Story(request(task("a", retry=[RETRY, timeouts])))
    for error in ("Http.5xx", "Http.429", "Http.5xx"):
        story.fail("a", error)
        assert story.state("a").status is TaskStatus.RETRYING
        story.wait(60_000)
    story.fail("a", "Http.429")
    assert story.state("a").status is TaskStatus.FAILURE


@pytest.mark.parametrize(
    ("error", "retry", "status"),
    [
        ("Task.Failed", None, "FAILURE"),
        ("Task.Failed", [{"errorEquals": ["Task.ALL"]}], "RETRYING"),
        ("Task.Failed", [{"errorEquals": ["Task.ALL"], "maxAttempts": 0}], "FAILURE"),
        ("Http.5xx", [{"errorEquals": ["Http.429"]}], "FAILURE"),
        ("Validation.Input", [{"errorEquals": ["Task.ALL"]}], "FAILURE"),
        ("Validation.Input", [{"errorEquals": ["Validation.Input"]}], "RETRYING"),
        ("Expression.Error", [{"errorEquals": ["Task.ALL"]}], "FAILURE"),
        ("Expression.AbsentOutput", [{"errorEquals": ["Expression.AbsentOutput"]}], "FAILURE"),
        ("Task.Timeout", [{"errorEquals": ["Task.Timeout"]}], "RETRYING"),
        ("Task.Timeout", [], "TIMED_OUT"),
        ("Nothing.Known", [{"errorEquals": ["Task.Failed"]}], "RETRYING"),
    ],
)
def test_what_is_tried_again(error: str, retry: list[dict[str, object]] | None, status: str) -> None:
    body = task("a") if retry is None else task("a", retry=retry)
    story = Story(request(body))
    story.fail("a", error)
    assert story.statuses()["a"] == status


def test_the_blocks_defaults_hold_where_the_task_says_nothing() -> None:
    defaults = {"PASS": {"lease_ms": 5000, "timeout_s": 7, "retry": [{"errorEquals": ["Task.ALL"]}]}}
    story = Story(request(task("a"), task("b", retry=[], timeoutSeconds=3), blocks=defaults))
    assert [message.timeout_s for message in story.sent()] == [7, 3]  # type: ignore[union-attr]
    assert story.state("a").lease_until == CREATED_AT + 5000
    story.fail("a")
    story.fail("b")
    assert story.statuses() == {"a": "RETRYING", "b": "FAILURE"}


def test_what_the_service_asks_for_is_the_least_delay() -> None:
    story = Story(request(task("a", retry=[RETRY])))
    story.fail("a", "Http.5xx", retry_after_s=90.5)
    assert story.state("a").due_at == story.now + 90_500


def test_a_success_of_an_earlier_attempt_counts() -> None:
    story = Story(request(task("a", retry=[RETRY])))
    slow = story.result("a", Outcome.SUCCEEDED, output="slow")
    story.fail("a", "Http.5xx")
    story.wait(2000)
    assert story.state("a").attempt == 2
    story.apply(slow)
    assert story.state("a").output == "slow"
    assert story.run.status is RunStatus.SUCCESS


def test_an_attempt_fails_once() -> None:
    story = Story(request(task("a", retry=[{**RETRY, "maxAttempts": 1}])))
    story.fail("a", "Http.5xx")
    story.now += 1
    story.fail("a", "Auth.Denied")
    assert story.state("a").status is TaskStatus.RETRYING
    assert len(story.state("a").late) == 1


def test_a_lost_dispatch_is_sent_again_with_a_longer_lease() -> None:
    story = Story(request(task("a")))
    leases = []
    for _ in range(7):
        state = story.state("a")
        assert state.lease_until is not None
        leases.append(state.lease_until - story.now)
        message = story.sent()[0]
        assert message.attempt == 1
        assert message.valid_until == state.lease_until  # type: ignore[union-attr]
        story.now = state.lease_until
        story.apply(Tick(story.now))
    assert leases == [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000]
    assert story.state("a").dispatches == 8


def test_extend_lengthens_the_lease_of_what_runs_now() -> None:
    story = Story(request(task("a")))
    story.now += 20_000
    story.apply(story.result("a", Outcome.EXTEND))
    assert story.state("a").lease_until == story.now + 30_000
    assert not story.apply(story.result("a", Outcome.EXTEND, attempt=2)).is_changed
    story.succeed("a")
    assert not story.apply(story.result("a", Outcome.EXTEND)).is_changed


def test_waiting_goes_on_when_it_is_due_as_the_next_step() -> None:
    story = Story(request(task("a")))
    story.hold("a", {"page": 1}, continue_at=story.now + 5000, continue_cause="POLL")
    assert (story.state("a").status, story.run.phase) == (TaskStatus.WAITING, RunPhase.WAITING)
    assert story.run.wake_at == story.now + 5000
    story.wait(5000)
    message = story.sent()[0]
    assert (message.step, message.attempt) == (1, 1)
    assert (message.cause, message.state) == ("POLL", {"page": 1})  # type: ignore[union-attr]
    story.hold("a", {"page": 2}, continue_at=story.now, continue_cause="POLL", entities=(ENTITY,))
    assert (story.state("a").status, story.state("a").step) == (TaskStatus.RUNNING, 2)
    assert story.effects == (WriteEntity("a", ENTITY),)
    story.fail("a", step=1)
    assert story.state("a").status is TaskStatus.RUNNING
    story.succeed("a", "done", step=1)
    assert story.state("a").output == "done"


def test_longest_duration_counts_from_the_first_dispatch() -> None:
    story = Story(request(task("a", maxDurationSeconds=60, retry=[{"errorEquals": ["Task.ALL"], "maxAttempts": 99}])))
    story.fail("a", "Http.5xx", "busy")
    story.wait(59_999)
    assert story.state("a").status is TaskStatus.RUNNING
    assert story.run.wake_at == CREATED_AT + 60_000
    story.wait(1)
    assert story.state("a").status is TaskStatus.TIMED_OUT
    assert story.state("a").error is not None
    assert story.state("a").error.name == "Task.Timeout"  # type: ignore[union-attr]


def test_a_failure_after_the_longest_duration_times_out() -> None:
    story = Story(request(task("a", maxDurationSeconds=60, retry=[{"errorEquals": ["Task.ALL"]}])))
    story.now += 61_000
    story.fail("a", "Http.5xx", "busy")
    state = story.state("a")
    assert state.status is TaskStatus.TIMED_OUT
    assert state.error is not None
    assert "Http.5xx: busy" in state.error.message


def test_a_tick_with_nothing_due_moves_the_wake_up() -> None:
    story = Story(request(task("a")))
    story.hold("a", {"for": "a person"})
    assert story.run.wake_at == story.now + HOUR_MS
    before = story.run.revision
    story.wait(HOUR_MS)
    assert story.run.wake_at == story.now + HOUR_MS
    assert story.run.revision == before + 1
    assert not story.wait(1000).is_changed


def test_entities_that_the_store_refused_fail_their_task_alone() -> None:
    story = Story(request(task("a"), task("b"), task("c", "a.FAILURE && b")))
    refused = story.result("a", Outcome.SUCCEEDED, entities=(ENTITY,))
    fine = story.result("b", Outcome.SUCCEEDED)
    story.apply(refused, fine, Refused("a", "The store has no type Table."))
    assert story.statuses() == {"a": "FAILURE", "b": "SUCCESS", "c": "RUNNING"}
    assert story.effects == ()
    assert story.state("a").error is not None
    assert story.state("a").error.name == "Metadata.Refused"  # type: ignore[union-attr]
    assert not story.apply(Refused("b", "too late")).is_changed
