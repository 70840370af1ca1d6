"""When something of a run is due."""

from collections.abc import Iterator, Mapping

from pipeline.core.errors import ErrorName
from pipeline.core.limits import CLOCK_SKEW_MAX_MS, DECISION_GRACE_MS, WAKE_UP_MAX_MS
from pipeline.core.statuses import TaskStatus
from pipeline.machine.run import TaskError, TaskState, cut
from pipeline.spec.model import Spec, Task


def expiry_of(state: TaskState) -> int | None:
    """When an open question expires: people are refused at its ``due_at``, the engine waits for what they said before
    it and for clocks that differ.
    """
    if state.approval is None or state.approval.get("escalating"):
        return None
    due_at: int = state.approval["due_at"]
    return due_at + DECISION_GRACE_MS + CLOCK_SKEW_MAX_MS


def give_up_at(task: Task, state: TaskState) -> int | None:
    """When ``maxDurationSeconds`` is over, counted from the first dispatch."""
    if task.max_duration_s is None or state.first_dispatched_at is None or state.status is TaskStatus.INCIDENT:
        return None
    return state.first_dispatched_at + round(task.max_duration_s * 1000)


def gave_up(last: TaskError | None) -> TaskError:
    """The error of a task past its ``maxDurationSeconds``; ``last`` is why its last attempt failed, if one did."""
    what = "The task took longer than its maxDurationSeconds, queueing included."
    if last is not None:
        what = f"{what} Its last attempt failed with {last.name}: {last.message}"
    return TaskError(ErrorName.TASK_TIMEOUT.value, cut(what))


def due_times(task: Task, state: TaskState) -> Iterator[int]:
    """Every time at which something of a task is due."""
    match state.status:
        case TaskStatus.RUNNING:
            own = state.lease_until
        case TaskStatus.RETRYING:
            own = state.due_at
        case TaskStatus.WAITING:
            own = state.continue_at
        case TaskStatus.INCIDENT:
            own = None
        case _:
            return
    for due in (own, expiry_of(state), give_up_at(task, state)):
        if due is not None:
            yield due


def wake_up(spec: Spec, tasks: Mapping[str, TaskState], now_ms: int) -> int:
    """The next time to look at a living run: later than now, at most an hour ahead."""
    earliest = now_ms + WAKE_UP_MAX_MS
    for name, state in tasks.items():
        if state.status is TaskStatus.PENDING or state.is_over:
            continue
        earliest = min((earliest, *due_times(spec.tasks[name], state)))
    return max(earliest, now_ms + 1)
