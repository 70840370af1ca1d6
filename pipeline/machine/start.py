"""The first revision of a run, a pure function of its request: nobody needs to have written it."""

from pipeline.core.errors import ErrorName
from pipeline.core.limits import DOCUMENT_BYTES_MAX, DOCUMENT_RESERVE_BYTES
from pipeline.core.statuses import RunStatus, TaskStatus
from pipeline.machine.cascade import begin
from pipeline.machine.document import document_bytes
from pipeline.machine.effects import Transition
from pipeline.machine.room import fitted
from pipeline.machine.run import Request, Run, TaskError, TaskState
from pipeline.machine.transitions import Draft
from pipeline.spec.expressions import Evaluator

_TOO_LARGE = "The workflow, the input and the asset together take more than a run's document can hold."


def unstarted(request: Request, run_guid: str, *, revision: int = -1) -> Run:
    """A run of which nothing has begun; its next revision is ``revision + 1``."""
    created_at = request.created_at
    pending = TaskState(TaskStatus.PENDING, created_at)
    return Run(
        guid=run_guid,
        request=request,
        tasks=dict.fromkeys(request.spec.tasks, pending),
        revision=revision,
        updated_at=created_at,
    )


def start(request: Request, run_guid: str, evaluator: Evaluator) -> Transition:
    """Revision 0 of a run, at ``request.created_at``: its roots run, and what follows at once is decided.

    Pure: the orchestrator, the sink and the API each call it and see the same. A request that leaves no room in the
    document ends FAILURE ``Engine.TooLarge`` at once; the API refuses it before it is created. Effects: none.
    """
    draft = Draft(unstarted(request, run_guid), request.created_at)
    begin(draft, evaluator)
    run = draft.finished()
    if document_bytes(run) > DOCUMENT_BYTES_MAX - DOCUMENT_RESERVE_BYTES:
        draft = Draft(unstarted(request, run_guid), request.created_at)
        draft.cancel_living(_TOO_LARGE)
        draft.end_run(RunStatus.FAILURE, error=TaskError(ErrorName.ENGINE_TOO_LARGE, _TOO_LARGE))
        run = fitted(draft.finished())
    return Transition(run, is_changed=True, effects=tuple(draft.effects))
