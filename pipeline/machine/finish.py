"""How a run ended, from how its tasks did (rules 1 and 2 of the language; rule 3 is in ``commands``)."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pipeline.core.statuses import FAILED_ANY, RunStatus, TaskStatus
from pipeline.machine.run import Run, TaskError, TaskState
from pipeline.spec.model import Spec
from pipeline.spec.truth import is_handled

NO_EXITPOINT: Final = "NO_EXITPOINT"
"""The outcome of a run none of whose exitpoints ended SUCCESS, though nothing failed."""

_STRENGTH: Final = {RunStatus.SUCCESS: 0, RunStatus.APPROVED: 1, RunStatus.REJECTED: 2}
_RAN: Final = FAILED_ANY | {TaskStatus.SUCCESS}


class Verdict(NamedTuple):
    """The end of a run."""

    status: RunStatus
    outcome: str | None = None
    error: TaskError | None = None


def verdict(spec: Spec, tasks: Mapping[str, TaskState]) -> Verdict:
    """The end of a run all of whose tasks have ended, and that nobody cancelled."""
    for name, state in tasks.items():
        if state.status in FAILED_ANY and not _is_handled(name, spec, tasks):
            return Verdict(RunStatus.FAILURE, error=_error_of(name, state))
    reached = [name for name in spec.exitpoints if tasks[name].status is TaskStatus.SUCCESS]
    if not reached:
        return Verdict(RunStatus.SUCCESS, outcome=NO_EXITPOINT)
    statuses = (spec.tasks[name].end_status or RunStatus.SUCCESS for name in reached)
    return Verdict(max(statuses, key=lambda status: _STRENGTH.get(status, 0)))


def _is_handled(failed: str, spec: Spec, tasks: Mapping[str, TaskState]) -> bool:
    """Whether a task ran because this one failed: it wouldn't have with its explicit failure results read as false."""
    for name in spec.followers[failed]:
        follower = tasks[name]
        has_run = follower.attempt > 0 and follower.status in _RAN
        if has_run and is_handled(
            spec.tasks[name].depends,
            failed,
            lambda task: _status(tasks.get(task)),
            error_of=lambda task: _error_name(tasks.get(task)),
            case_of=lambda task: _case(tasks.get(task)),
        ):
            return True
    return False


def _status(state: TaskState | None) -> TaskStatus | None:
    return None if state is None else state.status


def _error_name(state: TaskState | None) -> str | None:
    return None if state is None or state.error is None else state.error.name


def _case(state: TaskState | None) -> str | None:
    return None if state is None else state.case


def _error_of(name: str, state: TaskState) -> TaskError:
    error = state.error or TaskError(state.status.value)
    return TaskError(error.name, f"Task '{name}': {error.message}" if error.message else f"Task '{name}' failed.")


def output_of(run: Run) -> Any:
    """A run's output: that of its one successful exitpoint, or, with several, an object of those that have one by
    task name. ``None`` where there is none.
    """
    reached = [name for name in run.spec.exitpoints if run.tasks[name].status is TaskStatus.SUCCESS]
    if len(reached) == 1:
        return run.tasks[reached[0]].output
    outputs = {name: run.tasks[name].output for name in reached if run.tasks[name].output is not None}
    return outputs or None
