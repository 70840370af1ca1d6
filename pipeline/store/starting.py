"""How a run is created: the request that its creator writes and never changes.

Shared by whoever creates runs: the API for people, and a shard that admits a run made straight in Atlas.
"""

from collections.abc import Mapping
from typing import Any, Final

from pipeline.core.errors import InvalidError, Problem
from pipeline.core.limits import DISPATCH_LEASE_MS, DOCUMENT_BYTES_MAX, DOCUMENT_RESERVE_BYTES
from pipeline.messages.canonical import encode
from pipeline.messages.envelopes import EntityWrite, Requester
from pipeline.store import types
from pipeline.store.port import Entity, EntityStore

FIRST_WAKE_UP_MS: Final = DISPATCH_LEASE_MS
"""From a run's creation to its first wake-up: if its create event is lost, the timer finds it then."""
REQUEST_BYTES_MAX: Final = DOCUMENT_BYTES_MAX - DOCUMENT_RESERVE_BYTES
"""A request is repeated in the document, which then still has its reserve for failures."""


async def asset_snapshot(store: EntityStore, guid: str) -> dict[str, Any] | None:
    """The asset as arguments see it: ``{"guid", "typeName", "attributes", "classifications"}``, nulls left out.

    None where no live entity has that guid.
    """
    entity = (await store.get([guid])).get(guid)
    if entity is None or entity.is_deleted:
        return None
    return snapshot_of(entity)


def snapshot_of(entity: Entity) -> dict[str, Any]:
    """The snapshot of an entity that was read already."""
    return {
        "guid": entity.guid,
        "typeName": entity.type_name,
        "attributes": {name: value for name, value in entity.attributes.items() if value is not None},
        "classifications": sorted(entity.classifications),
    }


def request_body(
    *,
    spec: Mapping[str, Any],
    input: Mapping[str, Any],  # noqa: A002  (the member's name)
    requester: Requester,
    asset: Mapping[str, Any] | None,
    workflow: Mapping[str, Any] | None,
    comment: str | None,
    created_at: int,
    blocks: Mapping[str, Any],
) -> dict[str, Any]:
    """The body of a run's request, still to be sealed with the run's qualified name.

    ``spec`` is normalised, ``workflow`` is ``{"guid", "name", "version", "digest", "owner"}``, ``blocks`` the defaults
    of the installed blocks by type (only those the spec uses are kept, so that a request stays small).
    """
    used = {task["type"] for task in spec["dag"]["tasks"]}
    return {
        "v": 1,
        "spec": dict(spec),
        "input": dict(input),
        "requester": {"name": requester.name, "email": requester.email, "groups": list(requester.groups)},
        "asset": None if asset is None else dict(asset),
        "workflow": None if workflow is None else dict(workflow),
        "comment": comment,
        "created_at": created_at,
        "blocks": {name: blocks[name] for name in sorted(used) if name in blocks},
    }


async def build_request(  # noqa: PLR0913  (the members of a request, all by keyword)
    store: EntityStore,
    *,
    spec: Mapping[str, Any],
    input: Mapping[str, Any],  # noqa: A002  (the member's name)
    requester: Requester,
    asset_guid: str | None,
    workflow: Mapping[str, Any] | None,
    comment: str | None,
    created_at: int,
    blocks: Mapping[str, Any],
) -> dict[str, Any]:
    """:func:`request_body` with the asset's snapshot taken from the store; the input was checked by the caller.

    Raises:
        InvalidError: there is no such asset (``/asset_guid``, ``Run.NoAsset``), or all of it is too large
            (``""``, ``Engine.TooLarge``).
        StoreUnavailableError: the asset can't be read now.
    """
    asset = None if not asset_guid else await asset_snapshot(store, asset_guid)
    if asset_guid and asset is None:
        raise InvalidError((Problem("/asset_guid", "Run.NoAsset", f"There is no asset with the guid {asset_guid}."),))
    body = request_body(
        spec=spec,
        input=input,
        requester=requester,
        asset=asset,
        workflow=workflow,
        comment=comment,
        created_at=created_at,
        blocks=blocks,
    )
    size = len(encode(body))
    if size > REQUEST_BYTES_MAX:
        detail = f"Workflow, input and asset together take {size} bytes; a run can hold {REQUEST_BYTES_MAX}."
        raise InvalidError((Problem("", "Engine.TooLarge", detail),))
    return body


def run_write(
    *,
    qualified_name: str,
    request: str,
    created_at: int,
    created_by: str,
    workflow_guid: str | None = None,
    asset_guid: str | None = None,
) -> EntityWrite:
    """The entity that creates a run; writing it again changes nothing as long as the run's shard hasn't written.

    ``request`` is the sealed text. Whoever creates reads first whether the run exists, since ``workflowRunWakeAt`` is
    the shard's from its first write on.
    """
    attributes: dict[str, Any] = {
        "name": qualified_name.rpartition("/")[2],
        types.RUN_REQUEST: request,
        types.RUN_WAKE_AT: created_at + FIRST_WAKE_UP_MS,
        types.RUN_CREATED_BY: created_by,
    }
    if workflow_guid:
        attributes[types.RUN_WORKFLOW_GUID] = workflow_guid
    if asset_guid:
        attributes[types.RUN_ON_ASSET_GUID] = asset_guid
    return EntityWrite(type_name=types.RUN, qualified_name=qualified_name, attributes=attributes)
