"""CONDITION, SWITCH and WAIT: decided here, in the write that makes them runnable."""

from typing import Any, Final

from pipeline.core.durations import DurationError, parse_duration_ms
from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.core.instants import InstantError, instant_text, parse_instant_ms
from pipeline.core.limits import WAIT_DAYS_MAX, WAIT_MS_MAX
from pipeline.core.statuses import TaskStatus
from pipeline.machine.run import TaskError
from pipeline.machine.transitions import Draft
from pipeline.spec.arguments import reads_of, resolved
from pipeline.spec.control import CONDITION, SWITCH, cases_of, default_of
from pipeline.spec.expressions import Evaluator, ExpressionError
from pipeline.spec.lexemes import tasks_read
from pipeline.spec.model import Task

_WAITS_FOR: Final = "TIME"
"""The cause of a WAIT that waits."""


class _WaitError(BlocklineError):
    """Arguments of a WAIT that say no time; one clause."""


def decide(draft: Draft, task: Task, evaluator: Evaluator) -> None:
    """Begin a task of control, which ends it unless it has to wait.

    Raises:
        ExpressionError: an expression of it can't be evaluated; the caller fails the task with it.
    """
    draft.note(task.name, attempt=1, started_at=draft.now_ms)
    if task.type == CONDITION:
        _condition(draft, task, evaluator)
    elif task.type == SWITCH:
        _switch(draft, task, evaluator)
    else:
        _wait(draft, task, evaluator)


def _condition(draft: Draft, task: Task, evaluator: Evaluator) -> None:
    expression = task.arguments_dict.get("expression")
    if not isinstance(expression, str):
        raise ExpressionError("The condition has no expression.")
    if evaluator.is_true(expression, draft.scope(tasks_read(expression))):
        draft.end(task.name, TaskStatus.SUCCESS)
    else:
        error = TaskError(ErrorName.CONDITION_FALSE, "The condition is false.")
        draft.end(task.name, TaskStatus.FAILURE, error=error)


def _switch(draft: Draft, task: Task, evaluator: Evaluator) -> None:
    """The cases after the one that is true aren't looked at."""
    arguments = task.arguments_dict
    taken = next(
        (
            case.name
            for case in cases_of(arguments)
            if evaluator.is_true(case.expression, draft.scope(tasks_read(case.expression)))
        ),
        default_of(arguments),
    )
    draft.end(task.name, TaskStatus.SUCCESS, output={"case": taken})


def _wait(draft: Draft, task: Task, evaluator: Evaluator) -> None:
    """``maxDurationSeconds`` counts from here, as it would from a dispatch."""
    given = task.arguments_dict
    arguments = resolved(given, {}, draft.scope(reads_of(given, {})), evaluator)
    try:
        until = _until(arguments, draft.now_ms)
    except _WaitError as error:
        draft.fail(task.name, ErrorName.VALIDATION_INPUT, f"{error}.")
        return
    if until <= draft.now_ms:
        draft.end(task.name, TaskStatus.SUCCESS, output=_waited(until))
        return
    draft.move(
        task.name,
        TaskStatus.WAITING,
        first_dispatched_at=draft.now_ms,
        continue_at=until,
        cause=_WAITS_FOR,
    )


def _until(arguments: dict[str, Any], now_ms: int) -> int:
    if len(arguments) != 1:
        raise _WaitError("A WAIT needs either duration or until")
    ((key, text),) = arguments.items()
    if key not in {"duration", "until"} or not isinstance(text, str):
        raise _WaitError(f"{key} must be text")
    try:
        until = now_ms + parse_duration_ms(text) if key == "duration" else parse_instant_ms(text)
    except (DurationError, InstantError) as error:
        raise _WaitError(f"{key}: {error}") from error
    if until - now_ms > WAIT_MS_MAX:
        raise _WaitError(f"{key}: a task waits for {WAIT_DAYS_MAX} days at most")
    return until


def _waited(until: int) -> dict[str, str]:
    return {"until": instant_text(until)}


def end_if_waited(draft: Draft, name: str) -> None:
    """End a WAIT whose time has come."""
    until = draft.tasks[name].continue_at
    if until is not None and until <= draft.now_ms:
        draft.end(name, TaskStatus.SUCCESS, output=_waited(until))
