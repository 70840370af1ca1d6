"""Keeping a run's document within ``DOCUMENT_BYTES_MAX``, whatever happened to the run.

What is told about a run gives way to what the run is: first messages, the largest first, then comments, late results
and refusals, then the marks of tasks that are over. A run for which even that isn't enough has to end, and an ended
one needs no more than its statuses. The same run always gives way in the same way.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from pipeline.core.limits import DOCUMENT_BYTES_MAX
from pipeline.machine.document import document_bytes
from pipeline.machine.run import Run, TaskError, TaskState
from pipeline.messages.canonical import encode

TOO_LARGE: Final = "The run takes more than its document can hold."


def shortened(run: Run) -> Run | None:
    """The run with as little left out as lets it fit; ``None`` if it can't go on like that. Statuses never change."""
    for leave_out in (_without_messages, _without_words, _without_marks):
        size = document_bytes(run)
        if size <= DOCUMENT_BYTES_MAX:
            return run
        run = leave_out(run, size - DOCUMENT_BYTES_MAX)
    return run if document_bytes(run) <= DOCUMENT_BYTES_MAX else None


def fitted(run: Run) -> Run:
    """A run that is over, so that its document fits: shortened, else reduced to its statuses."""
    return shortened(run) or bare(run)


def bare(run: Run) -> Run:
    """A run that is over, without outputs, messages and questions; without what it was given too, if need be."""
    tasks = {name: _bare_state(state) for name, state in run.tasks.items()}
    left = replace(_without_words(run, 0), tasks=tasks, actions=(), size=None)
    if document_bytes(left) <= DOCUMENT_BYTES_MAX:
        return left
    # The sealed request still has all of it.
    requester = left.request.requester.model_copy(update={"groups": ()})
    request = replace(left.request, input={}, asset=None, workflow=None, comment=None, blocks={}, requester=requester)
    tasks = {name: TaskState(state.status, state.updated_at, round=state.round) for name, state in tasks.items()}
    return replace(left, request=request, tasks=tasks)


def _bare_state(state: TaskState) -> TaskState:
    return TaskState(
        state.status,
        state.updated_at,
        attempt=state.attempt,
        round=state.round,
        step=state.step,
        error=None if state.error is None else TaskError(state.error.name),
        started_at=state.started_at,
        ended_at=state.ended_at,
    )


def _without_messages(run: Run, excess: int) -> Run:
    """As many messages fewer as make up for the excess, the largest first; of two alike the one first in the spec."""
    sizes = {
        name: len(encode(state.error.message))
        for name, state in run.tasks.items()
        if state.error and state.error.message
    }
    tasks = dict(run.tasks)
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if excess <= 0:
            break
        error = tasks[name].error
        assert error is not None, "it has a message"  # noqa: S101  (for the impossible)
        tasks[name] = replace(tasks[name], error=TaskError(error.name))
        excess -= sizes[name] - 2
    return replace(run, tasks=tasks, size=None)


def _without_words(run: Run, _: int) -> Run:
    return replace(
        _each(run, _without_comments),
        ended_by=_wordless(run.ended_by),
        paused=_wordless(run.paused),
        actions=tuple({**action, "comment": None} for action in run.actions),
        refusals=(),
        size=None,
    )


def _wordless(action: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if action is None else {**action, "comment": None}


def _without_comments(state: TaskState) -> TaskState:
    approval = state.approval
    if approval is not None:
        # ``None`` is a comment that was left out: the inbox item and the command keep it.
        decisions = [
            {**decision, "comment": None} if decision.get("comment") else decision for decision in approval["decisions"]
        ]
        approval = {**approval, "decisions": decisions}
    return replace(state, approval=approval, late=())


def _without_marks(run: Run, _: int) -> Run:
    return _each(run, _without_own_marks)


def _without_own_marks(state: TaskState) -> TaskState:
    if not state.is_over:
        return state
    return replace(state, applied=(), dispatched_revision=None, dispatched_at=None, first_dispatched_at=None)


def _each(run: Run, change: Callable[[TaskState], TaskState]) -> Run:
    return replace(run, tasks={name: change(state) for name, state in run.tasks.items()}, size=None)
