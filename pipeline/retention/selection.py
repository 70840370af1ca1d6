"""Which runs may leave the store, and what leaves with them. Asks the store, changes nothing."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from pipeline.core.errors import BlocklineError
from pipeline.core.ids import RUN_PREFIX
from pipeline.core.statuses import CommandStatus, ItemStatus, RunStatus
from pipeline.messages.seal import Seal, Sealed
from pipeline.retention.records import ArchivedRun, AuditLine
from pipeline.store import types
from pipeline.store.outputs import outputs_of
from pipeline.store.pages import find_all
from pipeline.store.port import Entity, EntityStore, Filter, Query

Audit = Callable[[str], Awaitable[Sequence[AuditLine]]]
"""What the store has recorded of an entity, oldest first."""
_PAGE: Final = 500
_OPEN: Final = frozenset({ItemStatus.OPEN, CommandStatus.OPEN})


def over_before(before_ms: int, limit: int, offset: int) -> Query:
    """Runs that the store says were over, and unchanged since, before that instant (Unix ms); the oldest first.

    A run made before it is a condition of its own: it has an index, so that looking in vain costs nothing.
    """
    return Query(
        types.RUN,
        (
            Filter(types.RUN_WAKE_AT, "eq", 0),
            Filter("__timestamp", "lt", before_ms),
            Filter("__modificationTimestamp", "lt", before_ms),
            Filter(types.RUN_STATUS, "not_null"),
            Filter(types.RUN_STATUS, "neq", RunStatus.PENDING),
        ),
        sort_by="__timestamp",
        limit=limit,
        offset=offset,
    )


class Selection:
    """Judges runs one by one, by what the engine signed and not by what the store's columns say."""

    def __init__(self, store: EntityStore, seal: Seal, audit: Audit | None = None) -> None:
        """Only reads ``store``. Without ``audit``, none is archived."""
        self._store = store
        self._seal = seal
        self._audit = audit

    async def whole(self, run: Entity, before_ms: int, now_ms: int) -> ArchivedRun | None:
        """The run with everything of it; None where it must stay: it lives, it ended later, somebody changed it, a run
        above or below it lives, or somebody is still asked or asks something of it.

        Raises what the store raises.
        """
        engine = self._engine(run)
        ended_at = engine.get("ended_at")
        if engine.get("status", RunStatus.PENDING) == RunStatus.PENDING or not ended_at or ended_at >= before_ms:
            return None
        if await self._has_living_relatives(run):
            return None
        items = await self._of(types.ITEM, types.ITEM_RUN_GUID, types.ITEM_STATUS, run.guid)
        commands = await self._of(types.COMMAND, types.COMMAND_RUN_GUID, types.COMMAND_STATUS, run.guid)
        if items is None or commands is None:
            return None
        outputs = [output.guid for output in await outputs_of(self._store, run.guid)]
        belongings = await self._store.get([*commands, *items, *outputs])
        return ArchivedRun(
            guid=run.guid,
            qualified_name=run.qualified_name,
            status=str(engine["status"]),
            requester=str(run.attributes.get(types.RUN_CREATED_BY) or run.created_by),
            ended_at=ended_at,
            archived_at=now_ms,
            entities=(run, *belongings.values()),
            audit=tuple(await self._audit(run.guid)) if self._audit else (),
        )

    def _engine(self, run: Entity) -> dict[str, Any]:
        """The engine's part of the document, or nothing where the engine didn't sign it."""
        text = run.attributes.get(types.RUN_CONFIG)
        if run.type_name != types.RUN or run.is_deleted or not isinstance(text, str):
            return {}
        try:
            engine = self._seal.open(Sealed.DOCUMENT, run.guid, text).get("engine")
        except BlocklineError:
            return {}
        return engine if isinstance(engine, dict) else {}

    async def _has_living_relatives(self, run: Entity) -> bool:
        """Children are named by their parent: ``<parent guid>/<task>/…``."""
        below = Query(
            types.RUN,
            (Filter("qualifiedName", "startsWith", f"{run.guid}/"),),
            sort_by="qualifiedName",
            limit=_PAGE,
            attributes=(types.RUN_STATUS,),
        )
        if any(map(_lives, await find_all(self._store, below))):
            return True
        if run.qualified_name.startswith(RUN_PREFIX):
            return False
        above = run.qualified_name.partition("/")[0]
        parent = (await self._store.get([above])).get(above)
        return parent is not None and parent.type_name == types.RUN and not parent.is_deleted and _lives(parent)

    async def _of(self, type_name: str, by: str, status: str, run_guid: str) -> list[str] | None:
        """Guids of what belongs to the run; None where one of them is open."""
        of_run = (Filter(by, "eq", run_guid),)
        query = Query(type_name, of_run, sort_by="qualifiedName", limit=_PAGE, attributes=(status,))
        found = await find_all(self._store, query)
        if any(entity.attributes.get(status) in _OPEN for entity in found):
            return None
        return [entity.guid for entity in found]


def _lives(run: Entity) -> bool:
    return bool(run.attributes.get(types.RUN_STATUS, RunStatus.PENDING) == RunStatus.PENDING)
