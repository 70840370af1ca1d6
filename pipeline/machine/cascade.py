"""What follows from tasks that ended: others begin, are omitted or skipped, and the run may end."""

from typing import Final

from pipeline.core.errors import ErrorName
from pipeline.core.statuses import RunStatus, TaskStatus
from pipeline.machine.control import decide
from pipeline.machine.finish import verdict
from pipeline.machine.run import TaskError
from pipeline.machine.transitions import Draft
from pipeline.spec.control import CONTROL_TYPES
from pipeline.spec.depends import DependsError
from pipeline.spec.expressions import Evaluator, ExpressionError
from pipeline.spec.lexemes import tasks_read
from pipeline.spec.model import Task
from pipeline.spec.truth import evaluate

_STUCK: Final = "Tasks of this workflow wait for one another or for tasks that don't exist."


def begin(draft: Draft, evaluator: Evaluator) -> None:
    """Start every root, then all that follows."""
    for task in draft.spec.tasks.values():
        if task.depends is None:
            _consider(draft, task, evaluator)
    settle(draft, evaluator)


def settle(draft: Draft, evaluator: Evaluator) -> None:
    """Go on until nothing follows any more; ends the run when all its tasks have."""
    if draft.is_over:
        return
    if draft.is_resumed:
        draft.is_resumed = False
        for task in draft.spec.tasks.values():
            _consider(draft, task, evaluator)
    while draft.just_ended and draft.paused is None:
        for follower in draft.spec.followers[draft.just_ended.popleft()]:
            _consider(draft, draft.spec.tasks[follower], evaluator)
    if not draft.has_living:
        end = verdict(draft.spec, draft.tasks)
        draft.end_run(end.status, outcome=end.outcome, error=end.error)
    elif draft.paused is None and not draft.has_begun:
        # Validation refuses such specs; a run that got past it must not wait for ever.
        draft.cancel_living(_STUCK)
        draft.end_run(RunStatus.FAILURE, error=TaskError(ErrorName.ENGINE_BAD_SPEC, _STUCK))


def _consider(draft: Draft, task: Task, evaluator: Evaluator) -> None:
    """Decide on a task that hasn't begun, if its ``depends`` is certain by now."""
    if draft.tasks[task.name].status is not TaskStatus.PENDING:
        return
    try:
        truth = evaluate(task.depends, draft.status_of, error_of=draft.error_of, case_of=draft.case_of)
    except DependsError as error:
        draft.fail(task.name, ErrorName.ENGINE_BAD_SPEC, str(error))
        return
    if truth is None:
        return
    if truth is False:
        draft.end(task.name, TaskStatus.OMITTED)
        return
    try:
        _start(draft, task, evaluator)
    except ExpressionError as error:
        draft.fail(task.name, error.error_name, str(error))


def _start(draft: Draft, task: Task, evaluator: Evaluator) -> None:
    if task.when is not None and not evaluator.is_true(task.when, draft.scope(tasks_read(task.when))):
        draft.end(task.name, TaskStatus.SKIPPED)
    elif task.type in CONTROL_TYPES:
        decide(draft, task, evaluator)
    else:
        draft.dispatch(task.name, attempt=1, step=0, cause=None)
