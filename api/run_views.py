"""What callers see of a run, and what they may do with it now."""

from collections.abc import Mapping
from typing import Any, Final

from api.paging import rfc3339
from api.problems import ApiError, not_found
from api.recipients import names_of
from api.rights import Role, has_role, owns_workflow
from api.run_documents import KnownRun, error_of, output_of, phase_of, read
from api.services import Services
from pipeline.core.statuses import TERMINAL, TaskStatus
from pipeline.directory.port import Person
from pipeline.store import types
from pipeline.store.port import Filter, Query

_HIDDEN_OF_TASK: Final = frozenset({"engine"})


def may_act(caller: Person, run: KnownRun) -> str | None:
    """As what the caller may cancel, pause, skip and the like: ``owner``, ``admin`` or not at all."""
    if has_role(caller, Role.ADMIN):
        return "admin"
    own_spec = run.document is not None and run.workflow is None and run.requester == caller.name
    if owns_workflow(caller, run.workflow) or (own_spec and has_role(caller, Role.AUTHOR)):
        return "owner"
    return None


def actions(caller: Person, run: KnownRun) -> list[str]:
    """What the caller may ask of the run as it is; ``skip`` and ``resolve`` of some task of it."""
    if run.is_over:
        return []
    found = ["withdraw"] if run.requester == caller.name else []
    if may_act(caller, run) is None:
        return found
    found += ["cancel", "terminate"]
    if run.document is None:
        return found
    statuses = {task["status"] for task in run.document["dag"]["tasks"]}
    found.append("pause" if run.paused is None else "resume")
    if statuses - TERMINAL:
        found.append("skip")
    if TaskStatus.INCIDENT in statuses:
        found.append("resolve")
    return found


async def may_see(services: Services, caller: Person, run: KnownRun) -> bool:
    """Own runs, runs of own workflows, runs one was asked about; administrators all."""
    if run.requester == caller.name or may_act(caller, run):
        return True
    for name in names_of(caller):
        asked = Query(
            types.ITEM,
            filters=(Filter(types.ITEM_RECIPIENT, "eq", name), Filter(types.ITEM_RUN_GUID, "eq", run.guid)),
            limit=1,
        )
        if await services.store.find(asked):
            return True
    return False


async def seen(services: Services, caller: Person, guid: str) -> KnownRun:
    """The run, if the caller may see it.

    Raises:
        ApiError: 404 otherwise, whether it exists or not; 410 where it was archived, if it was theirs.
    """
    try:
        run = await read(services, guid)
    except ApiError:
        await _refuse_archived(services, caller, guid)
        raise
    if not await may_see(services, caller, run):
        raise not_found("run")
    return run


async def _refuse_archived(services: Services, caller: Person, guid: str) -> None:
    found = await services.archived(guid) if services.archived else None
    if found is not None and (has_role(caller, Role.ADMIN) or found.requester == caller.name):
        sentence = f"This run was archived on {found.day}; an administrator can show it (`blockline archive show`)."
        raise ApiError("archived", sentence)


def summary(run: KnownRun) -> dict[str, Any]:
    """What lists show."""
    asked = run.asked
    return {
        "guid": run.guid,
        "workflow": _workflow(run.workflow),
        "status": run.status,
        "phase": phase_of(run),
        "requester": run.requester,
        "comment": asked.get("comment"),
        "created_at": rfc3339(asked.get("created_at") or run.created_at),
        "updated_at": rfc3339(run.updated_at),
        "ended_at": rfc3339(run.engine.get("ended_at")),
        "asset": _asset(asked.get("asset")),
        "outcome": run.engine.get("outcome"),
        "error": error_of(run),
        "ended_by": _action(run.engine.get("ended_by")),
        "paused": _action(run.paused),
        "run_round": run.engine.get("run_round", 0),
        "revision": run.revision,
    }


def view(caller: Person, run: KnownRun) -> dict[str, Any]:
    """What ``GET /runs/{guid}`` answers, and every event of its stream."""
    return summary(run) | {
        "input": run.asked.get("input"),
        "output": output_of(run),
        "dag": _dag(run.document),
        "actions": actions(caller, run),
    }


def _dag(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if document is None:
        return None
    tasks = [
        {key: value for key, value in task.items() if key not in _HIDDEN_OF_TASK} for task in document["dag"]["tasks"]
    ]
    return {**document["dag"], "tasks": tasks}


def _workflow(workflow: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if workflow is None:
        return None
    return {name: workflow.get(name) for name in ("guid", "name", "version")}


def _asset(asset: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if asset is None:
        return None
    attributes = asset.get("attributes") or {}
    return {
        "guid": asset.get("guid"),
        "type_name": asset.get("typeName"),
        "name": attributes.get("name"),
        "qualified_name": attributes.get("qualifiedName"),
    }


def _action(body: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if body is None:
        return None
    named = {name: body.get(name) for name in ("action", "by", "as", "comment")}
    return named | {"at": rfc3339(body.get("at"))}
