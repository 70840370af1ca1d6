"""Merging what runners say: within a round it only grows.

The order of a task's results is ``(attempt, step, rank)`` with RUNNING 1 < WAITING 2 < RETRYING 3 < terminal 4. A
failed attempt has the rank 3 whatever follows from it: an attempt fails once, so a second delivery of it that fails
differently uses up no retry. What doesn't count is kept under ``late``; an exact duplicate changes nothing.
"""

import zlib
from typing import Any, Final

from pipeline.core.errors import ErrorName
from pipeline.core.ids import EffectKey
from pipeline.core.limits import (
    APPLIED_MARKS_MAX,
    ENTITIES_A_RESULT_MAX,
    LATE_RESULTS_MAX,
    OUTPUT_ENTITY_BYTES_MAX,
    STATE_BYTES_MAX,
)
from pipeline.core.statuses import TaskStatus
from pipeline.machine.approvals.deciding import escalated, settle_question
from pipeline.machine.approvals.opening import BadApprovalError, open_items, opened
from pipeline.machine.approvals.question import TELL, Approval
from pipeline.machine.effects import ChangeAsset, WriteEntity
from pipeline.machine.retries import delay_ms, matching
from pipeline.machine.run import TaskError, TaskState, cut
from pipeline.machine.transitions import Draft, lease_of
from pipeline.machine.wake_up import gave_up, give_up_at
from pipeline.messages.canonical import MalformedError, encode
from pipeline.messages.envelopes import ErrorInfo, Outcome, Result

_RANK: Final = {TaskStatus.RUNNING: 1, TaskStatus.WAITING: 2, TaskStatus.RETRYING: 3, TaskStatus.INCIDENT: 3}
_RANK_OF_OUTCOME: Final = {Outcome.WAITING: 2, Outcome.FAILED: 3, Outcome.SUCCEEDED: 4}
_CLOSED_LIST: Final = frozenset(name.value for name in ErrorName)


def merge(draft: Draft, result: Result) -> None:
    """Apply a result if it counts; one of another run or of a task that isn't in the spec changes nothing."""
    state = draft.tasks.get(result.task)
    if state is None or result.run_guid != draft.base.guid:
        return
    if result.outcome is Outcome.EXTEND:
        _extend(draft, result, state)
    elif _counts(state, result):
        draft.note(result.task, applied=_last((*state.applied, _mark(result)), APPLIED_MARKS_MAX))
        _apply(draft, result)
    else:
        _keep_late(draft, result, state)


def _counts(state: TaskState, result: Result) -> bool:
    if state.is_over or state.status is TaskStatus.PENDING or result.round != state.round:
        return False
    if state.approval is not None:
        # Only people and the deadline decide a question: a runner can tell them of it, or fail to. While none is
        # telling, what arrives is a second delivery of what has been done.
        is_telling = state.status is not TaskStatus.WAITING and result.step == state.step
        if result.outcome is Outcome.SUCCEEDED or not is_telling:
            return False
    elif result.outcome is Outcome.SUCCEEDED:
        return True
    if state.status is TaskStatus.WAITING and (result.attempt, result.step) == (state.attempt, state.step):
        # The step is done: trying it again would run it with the state that it left, under its own effect key.
        return False
    arrived = (result.attempt, result.step, _RANK_OF_OUTCOME[result.outcome])
    return arrived > (state.attempt, state.step, _RANK[state.status])


def _apply(draft: Draft, result: Result) -> None:
    too_large = _too_large(draft, result)
    if too_large is not None:
        draft.fail(result.task, *too_large)
    elif result.outcome is Outcome.SUCCEEDED:
        draft.end(result.task, TaskStatus.SUCCESS, output=result.output)
        _write(draft, result)
    elif result.outcome is Outcome.FAILED:
        _fail_attempt(draft, result)
    else:
        _wait(draft, result)


def _too_large(draft: Draft, result: Result) -> tuple[ErrorName, str] | None:
    """Why what the result brings can't be kept, and remembers how much the document grows by it."""
    if result.outcome is Outcome.FAILED:
        return None
    if len(result.entities) + len(result.changes or ()) > ENTITIES_A_RESULT_MAX:
        return ErrorName.ENGINE_TOO_LARGE, f"A result carries at most {ENTITIES_A_RESULT_MAX} entities."
    if result.outcome is Outcome.WAITING:
        if result.task in draft.oversized:
            return ErrorName.ENGINE_TOO_LARGE, "The run's document has no room for the task's state."
        return _grow(draft.grown, result.task, "state", result.state, STATE_BYTES_MAX)
    return _grow(draft.arrived, result.task, "output", result.output, OUTPUT_ENTITY_BYTES_MAX)


def _grow(sizes: dict[str, int], name: str, what: str, value: Any, bytes_max: int) -> tuple[ErrorName, str] | None:
    if value is None:
        return None
    try:
        size = len(encode(value))
    except MalformedError:
        return ErrorName.VALIDATION_OUTPUT, f"The task's {what} holds a value that JSON can't keep."
    if size > bytes_max:
        return ErrorName.ENGINE_TOO_LARGE, f"The task's {what} takes {size} bytes; {bytes_max} are kept."
    sizes[name] = size
    return None


def _fail_attempt(draft: Draft, result: Result) -> None:
    """Try again later, if a retrier says so; else the task ends."""
    name = result.task
    state = draft.tasks[name]
    task = draft.spec.tasks[name]
    error = _error_of(result.error)
    retriers = draft.request.retriers(task)
    index = matching(retriers, error.name)
    if index is None:
        _give_up(draft, name, error)
        return
    counts = [*state.retries, *([0] * (len(retriers) - len(state.retries)))]
    counts[index] += 1
    give_up = give_up_at(task, state)
    if counts[index] > retriers[index].max_attempts:
        _give_up(draft, name, error)
    elif give_up is not None and draft.now_ms >= give_up:
        draft.give_up(name, TaskStatus.TIMED_OUT, gave_up(error))
    else:
        key = EffectKey(draft.base.guid, name, state.round, result.step)
        asked_s = None if result.error is None else result.error.retry_after_s
        delay = delay_ms(retriers[index], counts[index], key, result.attempt, at_least_s=asked_s)
        draft.move(
            name,
            TaskStatus.RETRYING,
            attempt=result.attempt,
            step=result.step,
            error=error,
            retries=tuple(counts),
            due_at=draft.now_ms + delay,
            lease_until=None,
            continue_at=None,
        )


def _give_up(draft: Draft, name: str, error: TaskError) -> None:
    draft.give_up(name, ended_by(error), error)


def ended_by(error: TaskError) -> TaskStatus:
    """The status of a task that ends by this error."""
    return TaskStatus.TIMED_OUT if error.name == ErrorName.TASK_TIMEOUT else TaskStatus.FAILURE


def _error_of(info: ErrorInfo | None) -> TaskError:
    if info is None:
        return TaskError(ErrorName.TASK_FAILED.value)
    name = info.name if info.name in _CLOSED_LIST else ErrorName.TASK_FAILED.value
    return TaskError(name, cut(info.message))


def _wait(draft: Draft, result: Result) -> None:
    """WAITING, with a question to people if the block asks one; goes on at once if that is due already."""
    name = result.task
    kept: dict[str, Any] = dict(result.state or {})
    asked = kept.pop("approval", None)
    approval = draft.tasks[name].approval
    is_new = asked is not None and (approval is None or bool(approval.get("escalating")))
    if is_new:
        approval = _opened(draft, result, asked)
        if approval is None:
            return
    elif approval is not None and "untold" in approval:
        kept["tell"] = [*kept.get("tell", ()), *approval["untold"]]
        approval = {key: value for key, value in approval.items() if key != "untold"}
        result = result.model_copy(update={"continue_at": draft.now_ms, "continue_cause": TELL})
    draft.move(
        name,
        TaskStatus.WAITING,
        attempt=result.attempt,
        step=result.step,
        error=None,
        state=kept,
        approval=approval,
        continue_at=result.continue_at,
        cause=result.continue_cause,
        lease_until=None,
        due_at=None,
    )
    _write(draft, result)
    if is_new and approval is not None:
        key = EffectKey(draft.base.guid, name, result.round, result.step)
        draft.emit(*open_items(draft.request, key, approval, draft.now_ms))
        if settle_question(draft, name):
            return
    go_on_if_due(draft, name)


def _opened(draft: Draft, result: Result, asked: Any) -> Approval | None:
    """The question that a block asks; None where it can't be asked, and the task has failed."""
    name = result.task
    key = EffectKey(draft.base.guid, name, result.round, result.step)
    before = draft.tasks[name].approval
    try:
        approval = opened(asked, key, draft.request.requester.name)
    except BadApprovalError as error:
        draft.fail(name, ErrorName.ENGINE_INTERNAL, f"The block's question can't be asked: {error}.")
        return None
    if not approval["recipients"]:
        draft.fail(name, ErrorName.APPROVAL_NO_APPROVERS, "Nobody but the requester could decide this.")
        return None
    return approval if before is None else escalated(before, approval)


def go_on_if_due(draft: Draft, name: str) -> None:
    """Continue a WAITING task whose time has come: the next step of the same attempt."""
    state = draft.tasks[name]
    if state.continue_at is not None and state.continue_at <= draft.now_ms:
        draft.dispatch(name, attempt=state.attempt, step=state.step + 1, cause=state.cause)


def _write(draft: Draft, result: Result) -> None:
    draft.emit(*(WriteEntity(result.task, entity) for entity in result.entities))
    draft.emit(*(ChangeAsset(result.task, change) for change in result.changes or ()))


def _extend(draft: Draft, result: Result, state: TaskState) -> None:
    """The attempt goes on: it has as long again as its lease was."""
    is_current = (result.round, result.attempt, result.step) == (state.round, state.attempt, state.step)
    if state.status is not TaskStatus.RUNNING or not is_current:
        return
    lease_ms = lease_of(draft.request.lease_ms(draft.spec.tasks[result.task]), state.dispatches)
    if state.lease_until is None or draft.now_ms + lease_ms > state.lease_until:
        draft.note(result.task, lease_until=draft.now_ms + lease_ms)


def _keep_late(draft: Draft, result: Result, state: TaskState) -> None:
    mark = _mark(result)
    if mark in state.applied or any(entry["mark"] == mark for entry in state.late):
        return
    draft.has_remarks = True
    if draft.is_tight:
        return
    entry: dict[str, Any] = {
        "mark": mark,
        "round": result.round,
        "attempt": result.attempt,
        "step": result.step,
        "outcome": result.outcome.value,
        "at": draft.now_ms,
    }
    if result.error is not None:
        entry["error"] = _error_of(result.error).name
    draft.note(result.task, late=_last((*state.late, entry), LATE_RESULTS_MAX))


def _mark(result: Result) -> str:
    """Tells an exact duplicate: 32 bits, since a mistake costs an entry under ``late`` and nothing else.

    Output and state aren't in it: no attempt gives two of them in one millisecond.
    """
    name = "" if result.error is None else result.error.name
    identity = (
        result.round,
        result.attempt,
        result.step,
        result.outcome.value,
        result.started_at,
        result.ended_at,
        name,
    )
    return f"{zlib.crc32(repr(identity).encode()):08x}"


def _last(values: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    return values[-count:]
