"""What the orchestrator sends to runners: a pure function of a run's document."""

from collections.abc import Mapping
from typing import Any, Final

from pipeline.core.errors import ErrorName
from pipeline.core.ids import shard_of
from pipeline.core.statuses import TaskStatus
from pipeline.machine.run import Run, TaskState
from pipeline.machine.scope import scope_of
from pipeline.machine.transitions import lease_of
from pipeline.messages.envelopes import Dispatch, ErrorInfo, Outcome, Result
from pipeline.spec.expressions import Evaluator, ExpressionError
from pipeline.spec.model import Task
from pipeline.spec.templates import resolve

CONDITION: Final = "condition"
OWNERS: Final = "owners"
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
    try:
        arguments = resolve(task.arguments_dict, scope, evaluator)
        if state.cause is None:
            arguments = _evaluated(arguments, task, run.request.expressions(task), scope, evaluator)
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
        state=_state_for_runner(state),
        requester=request.requester,
        asset=_asset_for_runner(request.asset),
        timeout_s=request.timeout_s(task),
        dispatched_at=dispatched_at,
        valid_until=dispatched_at + lease_of(request.lease_ms(task), state.dispatches),
        shard=shard,
    )


def _evaluated(
    arguments: dict[str, Any],
    task: Task,
    expressions: Mapping[str, str],
    scope: Mapping[str, Any],
    evaluator: Evaluator,
) -> dict[str, Any]:
    """The arguments with the values of those that are expressions themselves: of the author's text, never of one that a
    template has made.
    """
    for path, kind in expressions.items():
        parts = path.split(".")
        text = _at(task.arguments_dict, parts)
        if kind == OWNERS and text is True:
            arguments = _with(arguments, parts, _owners(scope["asset"]))
        elif isinstance(text, str):
            value = evaluator.is_true(text, scope) if kind == CONDITION else evaluator.evaluate(text, scope)
            arguments = _with(arguments, parts, value)
    return arguments


def _owners(asset: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """Who owns the asset, by the snapshot of it."""
    attributes = (asset or {}).get("attributes") or {}
    return {"users": _texts(attributes.get("ownerUsers")), "groups": _texts(attributes.get("ownerGroups"))}


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str) and text] if isinstance(value, list) else []


def _at(value: Any, parts: list[str]) -> Any:
    for part in parts:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _with(value: Mapping[str, Any], parts: list[str], new: Any) -> dict[str, Any]:
    first, *rest = parts
    return {**value, first: _with(value[first], rest, new) if rest else new}


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
