"""What the orchestrator sends to runners: a pure function of a run's document."""

from collections.abc import Mapping
from typing import Any, Final

from pipeline.core.errors import ErrorName
from pipeline.core.ids import shard_of
from pipeline.core.statuses import TaskStatus
from pipeline.machine.outputs import references_of, stored_among
from pipeline.machine.run import Run, TaskState
from pipeline.machine.scope import scope_of
from pipeline.machine.transitions import lease_of
from pipeline.messages.envelopes import Deferred, Dispatch, ErrorInfo, Outcome, Result
from pipeline.spec.arguments import reads_of, resolved, secret_places
from pipeline.spec.expressions import Evaluator, ExpressionError
from pipeline.spec.model import Task

_SHOWN_OF_ASSET: Final = ("name", "qualifiedName", "displayName")


def dispatches(run: Run, *, evaluator: Evaluator, shards: int) -> list[Dispatch | Result]:
    """One message for each task that this revision set RUNNING, in the order of the spec.

    A task whose arguments can't be resolved gives its failed result instead. The same document gives the same
    messages, however often it is asked: time is the one stored with the dispatch.
    """
    if run.is_over:
        return []
    started = [
        (task, run.tasks[task.name])
        for task in run.spec.tasks.values()
        if run.tasks[task.name].status is TaskStatus.RUNNING
        and run.tasks[task.name].dispatched_revision == run.revision
    ]
    if not started:
        return []
    # All tasks of one revision were dispatched at the same time, so they share a scope.
    scope = scope_of(run, _dispatched_at(started[0][1]))
    shard = shard_of(run.guid, shards)
    return [_message(run, task, state, scope, shard, evaluator) for task, state in started]


def _message(  # noqa: PLR0917  (one call, above; an object for it would only hide that)
    run: Run, task: Task, state: TaskState, scope: Mapping[str, Any], shard: int, evaluator: Evaluator
) -> Dispatch | Result:
    expressions = run.request.expressions(task) if state.cause is None else {}
    written = task.arguments_dict
    deferred = _deferred(run, written, expressions, scope)
    try:
        arguments = {} if deferred else resolved(written, expressions, scope, evaluator)
    except ExpressionError as error:
        return _failed(run, task, state, error.error_name, str(error))
    request = run.request
    dispatched_at = _dispatched_at(state)
    return Dispatch(
        run_guid=run.guid,
        run_name=run.name,
        workflow=None if request.workflow is None else request.workflow.get("name"),
        task=task.name,
        title=task.title,
        type=task.type,
        round=state.round,
        attempt=state.attempt,
        step=state.step,
        cause=state.cause,
        arguments=arguments,
        deferred=deferred,
        secrets=secret_places(written) or None,
        state=_state_for_runner(state),
        requester=request.requester,
        asset=_asset_for_runner(request.asset),
        timeout_s=request.timeout_s(task),
        dispatched_at=dispatched_at,
        valid_until=dispatched_at + lease_of(request.lease_ms(task), state.dispatches),
        shard=shard,
    )


def _deferred(
    run: Run, arguments: dict[str, Any], expressions: Mapping[str, str], scope: Mapping[str, Any]
) -> Deferred | None:
    """The arguments as the author wrote them, where they read outputs that only their entities have.

    Tasks that they can't read are left out of what they see: a document's worth of outputs needn't travel for one.
    """
    if all(state.stored is None for state in run.tasks.values()):
        return None
    read = reads_of(arguments, expressions)
    stored = stored_among(read, run.tasks)
    if not stored:
        return None
    tasks = scope["tasks"] if read is None else {name: scope["tasks"][name] for name in read & scope["tasks"].keys()}
    return Deferred(
        arguments=arguments,
        expressions=dict(expressions),
        scope={**scope, "tasks": tasks},
        outputs=references_of(run, stored),
    )


def _dispatched_at(state: TaskState) -> int:
    assert state.dispatched_at is not None, "a RUNNING task was dispatched"  # noqa: S101  (for the impossible)
    return state.dispatched_at


def _state_for_runner(state: TaskState) -> dict[str, Any] | None:
    """What the block kept, with the question as the machine knows it: its items, and what was decided so far."""
    if state.state is None:
        return None
    return dict(state.state) if state.approval is None else {**state.state, "approval": state.approval}


def _asset_for_runner(asset: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a mail or an inbox item shows of the asset, in the form of the snapshot."""
    if asset is None:
        return None
    attributes = asset.get("attributes") or {}
    return {
        "guid": asset.get("guid"),
        "typeName": asset.get("typeName"),
        "attributes": {name: attributes[name] for name in _SHOWN_OF_ASSET if name in attributes},
    }


def _failed(run: Run, task: Task, state: TaskState, error_name: ErrorName, message: str) -> Result:
    at = _dispatched_at(state)
    return Result(
        run_guid=run.guid,
        task=task.name,
        round=state.round,
        attempt=state.attempt,
        step=state.step,
        outcome=Outcome.FAILED,
        error=ErrorInfo(name=error_name.value, message=message),
        started_at=at,
        ended_at=at,
    )
