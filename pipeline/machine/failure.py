"""Ends that the engine itself decides."""

from dataclasses import replace
from typing import Final

from pipeline.core.errors import ErrorName
from pipeline.core.statuses import RunStatus
from pipeline.machine.effects import Transition
from pipeline.machine.room import bare, fitted
from pipeline.machine.run import Request, Run, TaskError, cut
from pipeline.machine.start import unstarted
from pipeline.machine.transitions import Draft
from pipeline.messages.envelopes import Requester
from pipeline.spec.model import digest, spec_of

_TAMPERED: Final = "The run's document or request wasn't written by this engine: it was changed from outside."
_EMPTY_SPEC: Final = {"dag": {"entrypoint": "", "exitpoints": [], "tasks": []}}


def fail_run(run: Run, error_name: ErrorName, message: str, *, now_ms: int) -> Transition:
    """End a run FAILURE, its living tasks CANCELLED. Of a run that is over nothing changes."""
    draft = Draft(run, now_ms)
    if not draft.is_over:
        draft.cancel_living(message)
        draft.end_run(RunStatus.FAILURE, error=TaskError(error_name.value, cut(message)))
    run = fitted(draft.finished()) if draft.is_changed else run
    return Transition(run, draft.is_changed, tuple(draft.effects))


def refused(run: Run, sentence: str, *, now_ms: int) -> Transition:
    """The last resort for a run whose document the store refuses: FAILURE ``Engine.Internal`` with ``sentence``;
    outputs, questions and what failures said are left out. Of a run that is over nothing changes.
    """
    ended = fail_run(run, ErrorName.ENGINE_INTERNAL, sentence, now_ms=now_ms)
    if not ended.is_changed:
        return ended
    return replace(ended, run=fitted(replace(bare(ended.run), error=ended.run.error, size=None)))


def tampered(request: Request | None, run_guid: str, revision: int, now_ms: int) -> Transition:
    """The end of a run whose document or request doesn't verify: FAILURE ``Engine.Tampered``, nothing dispatched.

    ``request`` is the verified one, ``None`` where that doesn't verify either. ``revision`` is the last one known; the
    run's is one more.
    """
    return fail_run(
        unstarted(request or _nobodys(run_guid, now_ms), run_guid, revision=revision),
        ErrorName.ENGINE_TAMPERED,
        _TAMPERED,
        now_ms=now_ms,
    )


def _nobodys(run_guid: str, now_ms: int) -> Request:
    return Request(
        name=run_guid,
        spec=spec_of(_EMPTY_SPEC),
        spec_digest=digest(_EMPTY_SPEC),
        requester=Requester(name=""),
        created_at=now_ms,
    )
