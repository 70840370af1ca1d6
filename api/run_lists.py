"""Lists of runs, newest first: everything for administrators, one's own for the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import Field
from starlette.responses import Response

from api.paging import Page, cursor_of, milliseconds, position_of
from api.rights import Role, has_role
from api.route import Call, reply
from api.run_documents import KnownRun, known
from api.run_views import may_see, summary
from api.workflow_texts import by_name
from pipeline.core.statuses import RunStatus
from pipeline.store import types
from pipeline.store.port import Entity, Filter, Query

CREATED: Final = "__timestamp"
"""Atlas' own attribute for the time of creation."""
OWNED_MAX: Final = 100
"""Workflows of one author whose runs are listed with their own."""
ASKED_MAX: Final = 200
"""The newest questions to somebody, whose runs are listed with their own."""
SPARE: Final = 10
TEXTS: Final = (
    types.RUN_CONFIG,
    types.RUN_REQUEST,
    types.RUN_STATUS,
    types.RUN_CREATED_BY,
    types.RUN_WORKFLOW_GUID,
    types.RUN_ON_ASSET_GUID,
)


class Runs(Page):
    """Query of the list."""

    workflow: str | None = Field(default=None, max_length=200)
    status: RunStatus | None = None
    asset_guid: str | None = Field(default=None, max_length=200)
    requester: str | None = Field(default=None, max_length=200)
    since: str | None = Field(default=None, max_length=40)


@dataclass(frozen=True, slots=True)
class _Position:
    """After which run the page begins: older ones, and those of the same millisecond with a lower guid."""

    at: int
    guid: str

    def is_before(self, entity: Entity) -> bool:
        return (entity.created_at, entity.guid) < (self.at, self.guid)


async def show_all(call: Call) -> Response:
    """Runs that the caller may see, newest first."""
    query: Runs = call.query
    read = position_of(query.cursor, at=int, guid=str)
    position = None if read is None else _Position(read["at"], read["guid"])
    found: dict[str, Entity] = {}
    for filters in await _sources(call, query):
        for entity in await _take(call, filters, position, query.limit + 1):
            found[entity.guid] = entity
    for entity in await _asked_about(call, query, position):
        found[entity.guid] = entity
    newest = sorted(found.values(), key=lambda entity: (entity.created_at, entity.guid), reverse=True)
    page = [known(call.services, entity) for entity in newest[: query.limit]]
    cursor = None
    if len(newest) > query.limit:
        cursor = cursor_of({"at": newest[query.limit - 1].created_at, "guid": newest[query.limit - 1].guid})
    visible: list[KnownRun] = [run for run in page if await may_see(call.services, call.caller, run)]
    return reply({"items": [summary(run) for run in visible], "next_cursor": cursor})


async def _sources(call: Call, query: Runs) -> list[tuple[Filter, ...]]:
    """The searches whose results together are what was asked for and may be seen."""
    common = await _common(call, query)
    owners: list[tuple[Filter, ...]] = [()]
    if not has_role(call.caller, Role.ADMIN):
        owners = [(Filter(types.RUN_CREATED_BY, "eq", call.caller.name),)]
        if has_role(call.caller, Role.AUTHOR):
            owned = await _owned_workflows(call)
            owners += [(Filter(types.RUN_WORKFLOW_GUID, "eq", guid),) for guid in owned]
    return [common + owner + status for owner in owners for status in _statuses(query.status)]


async def _common(call: Call, query: Runs) -> tuple[Filter, ...]:
    filters: list[Filter] = []
    if query.workflow:
        named = await by_name(call.services.store, query.workflow)
        guid = query.workflow if named is None else named.entity.guid
        filters.append(Filter(types.RUN_WORKFLOW_GUID, "eq", guid))
    if query.asset_guid:
        filters.append(Filter(types.RUN_ON_ASSET_GUID, "eq", query.asset_guid))
    if query.requester:
        filters.append(Filter(types.RUN_CREATED_BY, "eq", query.requester))
    if query.since:
        filters.append(Filter(CREATED, "gte", milliseconds(query.since, "/since")))
    return tuple(filters)


def _statuses(status: RunStatus | None) -> list[tuple[Filter, ...]]:
    """A run without a status is PENDING as well: the engine hasn't written to it yet."""
    if status is None:
        return [()]
    named = [(Filter(types.RUN_STATUS, "eq", status.value),)]
    return [*named, (Filter(types.RUN_STATUS, "is_null"),)] if status is RunStatus.PENDING else list(named)


async def _owned_workflows(call: Call) -> Sequence[str]:
    query = Query(
        types.WORKFLOW,
        filters=(Filter(types.WORKFLOW_VERSION, "eq", 0), Filter(types.WORKFLOW_CREATED_BY, "eq", call.caller.name)),
        sort_by="__modificationTimestamp",
        is_descending=True,
        limit=OWNED_MAX,
    )
    return [entity.guid for entity in await call.services.store.find(query)]


async def _take(call: Call, filters: tuple[Filter, ...], position: _Position | None, wanted: int) -> list[Entity]:
    """At least ``wanted`` runs after the position, unless there are fewer, with all of the last one's millisecond."""
    if position is not None:
        filters = (*filters, Filter(CREATED, "lte", position.at))
    taken: list[Entity] = []
    offset, size = 0, wanted + SPARE
    while True:
        page = await call.services.store.find(
            Query(
                types.RUN,
                filters=filters,
                sort_by=CREATED,
                is_descending=True,
                limit=size,
                offset=offset,
                attributes=TEXTS,
            )
        )
        taken += [entity for entity in page if position is None or position.is_before(entity)]
        is_complete = len(taken) > wanted and taken[-1].created_at < taken[wanted - 1].created_at
        if len(page) < size or is_complete:
            return taken
        offset += size


async def _asked_about(call: Call, query: Runs, position: _Position | None) -> list[Entity]:
    """Runs of others that the caller has an inbox item of."""
    if has_role(call.caller, Role.ADMIN):
        return []
    items = await call.services.store.find(
        Query(
            types.ITEM,
            filters=(Filter(types.ITEM_RECIPIENT, "eq", call.caller.name),),
            sort_by=CREATED,
            is_descending=True,
            limit=ASKED_MAX,
            attributes=(types.ITEM_RUN_GUID,),
        )
    )
    guids = sorted({str(item.attributes.get(types.ITEM_RUN_GUID)) for item in items})
    runs = (await call.services.store.get(guids)).values() if guids else ()
    filters = await _common(call, query)
    return [
        run
        for run in runs
        if not run.is_deleted
        and (position is None or position.is_before(run))
        and all(_holds(condition, run) for condition in filters)
        and query.status in {None, RunStatus(run.attributes.get(types.RUN_STATUS) or RunStatus.PENDING)}
    ]


def _holds(condition: Filter, run: Entity) -> bool:
    if condition.attribute == CREATED:
        return bool(run.created_at >= condition.value)
    return bool(run.attributes.get(condition.attribute) == condition.value)
