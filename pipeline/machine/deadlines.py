"""What a tick finds due. People's deadlines come before the engine's own."""

from pipeline.core.statuses import TaskStatus
from pipeline.machine.approvals.deciding import fall_due
from pipeline.machine.control import end_if_waited
from pipeline.machine.results import go_on_if_due
from pipeline.machine.run import TaskState
from pipeline.machine.transitions import Draft
from pipeline.machine.wake_up import expiry_of, gave_up, give_up_at
from pipeline.spec.control import CONTROL_TYPES


def judge(draft: Draft) -> None:
    """Do everything that is due at the draft's time; doing it again finds nothing."""
    draft.is_ticked = True
    if draft.is_over or draft.paused is not None:
        return
    for name, state in tuple(draft.tasks.items()):
        if state.status is not TaskStatus.PENDING and not state.is_over:
            _judge_task(draft, name, state)


def _judge_task(draft: Draft, name: str, state: TaskState) -> None:
    now_ms = draft.now_ms
    expiry = expiry_of(state)
    give_up = give_up_at(draft.spec.tasks[name], state)
    if expiry is not None and expiry <= now_ms:
        fall_due(draft, name)
    elif give_up is not None and give_up <= now_ms:
        draft.give_up(name, TaskStatus.TIMED_OUT, gave_up(state.error))
    elif state.status is TaskStatus.WAITING and draft.spec.tasks[name].type in CONTROL_TYPES:
        end_if_waited(draft, name)
    elif state.status is TaskStatus.WAITING:
        go_on_if_due(draft, name)
    elif state.status is TaskStatus.RETRYING and state.due_at is not None and state.due_at <= now_ms:
        draft.dispatch(name, attempt=state.attempt + 1, step=state.step, cause=state.cause)
    elif state.status is TaskStatus.RUNNING and state.lease_until is not None and state.lease_until <= now_ms:
        _dispatch_again(draft, name, state)


def _dispatch_again(draft: Draft, name: str, state: TaskState) -> None:
    """The same attempt once more: the dispatch or its result was lost, or the queue is longer than the lease."""
    draft.dispatch(name, attempt=state.attempt, step=state.step, cause=state.cause, dispatches=state.dispatches + 1)
