"""What people do to a run that goes on: pause and resume it, skip a task, resolve an incident.

Each returns a sentence where the state forbids it, and then nothing has changed. What was done is kept in the run's
``actions``, with who, when and why.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pipeline.core.limits import ACTION_COMMENT_CHARS_MAX, ACTIONS_KEPT_MAX
from pipeline.core.statuses import TaskStatus
from pipeline.machine.results import ended_by, go_on_if_due
from pipeline.machine.run import TaskError, TaskState
from pipeline.machine.transitions import Draft

RETRY: Final = "RETRY"
FAIL: Final = "FAIL"


class Action(NamedTuple):
    """A command that was read; ``command`` is its id. Its comment is no longer than a comment may be."""

    action: str
    task: str | None
    arguments: Mapping[str, Any]
    by: str
    role: str
    at: int
    comment: str | None
    command: str


def pause(draft: Draft, asked: Action) -> str | None:
    """Nothing is dispatched from now on; results and decisions are merged, and what follows from them is held up."""
    if draft.paused is not None:
        return f"This run is paused already, by {draft.paused['by']}."
    draft.paused = _record(draft, asked)
    return None


def resume(draft: Draft, asked: Action) -> str | None:
    """What was held up goes on; what came due meanwhile is judged by the next tick, which reads before it judges."""
    if draft.paused is None:
        return "This run isn't paused."
    draft.paused = None
    draft.is_resumed = True
    _record(draft, asked)
    return None


def skip(draft: Draft, asked: Action) -> str | None:
    """The task is SKIPPED, whether it has begun or not; a result that comes yet is kept under ``late``."""
    found = _task(draft, asked.task)
    if isinstance(found, str):
        return found
    name, state = found
    if state.is_over:
        return f"Task '{name}' has ended already: {state.status}."
    draft.end(name, TaskStatus.SKIPPED)
    _record(draft, asked, task=name)
    return None


def resolve(draft: Draft, asked: Action) -> str | None:
    """RETRY: fresh attempts under the same effect key, or WAITING again where the task had waited too long. FAIL: the
    end that it would have had.
    """
    found = _task(draft, asked.task)
    if isinstance(found, str):
        return found
    name, state = found
    if state.status is not TaskStatus.INCIDENT:
        return f"Task '{name}' isn't an incident: it is {state.status}."
    outcome = asked.arguments.get("outcome")
    if outcome == RETRY:
        _try_again(draft, name, state)
    elif outcome == FAIL:
        error = state.error or TaskError("Task.Failed")
        draft.end(name, ended_by(error), error=error)
    else:
        return "An incident is resolved with RETRY or FAIL."
    _record(draft, asked, task=name, outcome=outcome)
    return None


def _try_again(draft: Draft, name: str, state: TaskState) -> None:
    if state.waited:
        # Its step is done, and done again it would act otherwise under the same key: it goes on waiting.
        draft.move(name, TaskStatus.WAITING, retries=(), first_dispatched_at=draft.now_ms, error=None)
        go_on_if_due(draft, name)
        return
    # Waits as RETRYING while the run is paused.
    draft.move(name, TaskStatus.RETRYING, retries=(), due_at=draft.now_ms, first_dispatched_at=None)
    draft.dispatch(name, attempt=state.attempt + 1, step=state.step, cause=state.cause)


def _task(draft: Draft, name: str | None) -> tuple[str, TaskState] | str:
    if name is None:
        return "This action needs the name of a task."
    state = draft.tasks.get(name)
    return f"This run has no task '{name}'." if state is None else (name, state)


def _record(draft: Draft, asked: Action, **more: Any) -> dict[str, Any]:
    comment = None if asked.comment is None else asked.comment[:ACTION_COMMENT_CHARS_MAX]
    record = {
        "action": asked.action,
        **more,
        "by": asked.by,
        "as": asked.role,
        "at": asked.at,
        "comment": comment,
        "command": asked.command,
    }
    draft.actions = (*draft.actions, record)[-ACTIONS_KEPT_MAX:]
    draft.is_changed = True
    return record
