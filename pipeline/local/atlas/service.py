"""What the server does, without HTTP: types, entities, searches, audit; each call for a caller."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from pipeline.core.clock import Clock
from pipeline.local.atlas import marking, records, search, typedefs
from pipeline.local.atlas.database import Database, Transaction
from pipeline.local.atlas.errors import AtlasError, Code
from pipeline.local.atlas.rights import Caller
from pipeline.local.atlas.sight import may_read
from pipeline.local.atlas.type_registry import TypeRegistry
from pipeline.local.atlas.writing import Given, Mutation, Writes, random_guid, read_entities, read_entity

ENTITIES_MAX: Final = 5_000
"""In one bulk."""
AUDIT_MAX: Final = 1_000
T = TypeVar("T")


class AtlasService:
    """Belongs to the event loop of its database."""

    def __init__(self, database: Database, clock: Clock, new_guid: Callable[[], str] = random_guid) -> None:
        """Nothing is read before :meth:`load`."""
        self._database = database
        self._clock = clock
        self._new_guid = new_guid
        self._changing_types = asyncio.Lock()
        self.types = TypeRegistry()

    async def load(self) -> None:
        """Read the types that are kept; before the first request."""
        self.types = await typedefs.load(self._database)

    async def put_types(self, caller: Caller, body: Any, *, is_new: bool) -> dict[str, Any]:
        """Create typedefs (409 where one exists) or replace them (404 where one doesn't)."""
        caller.must_administer("create typedefs" if is_new else "update typedefs")
        given = typedefs.read_all(body)
        async with self._changing_types:
            for each in given:
                if (each["name"] in self.types.bodies) == is_new:
                    code = Code.TYPE_EXISTS if is_new else Code.TYPE_NOT_FOUND
                    what = "already exists" if is_new else "doesn't exist"
                    raise AtlasError(code, f"Given type {each['name']} {what}")
            stamp = {"updatedBy": caller.name, "updateTime": self._clock.now_ms()}
            self.types, changed = await typedefs.keep(
                self._database, self.types, given, stamp=stamp, new_guid=self._new_guid
            )
        return dict(typedefs.shown(TypeRegistry(bodies={body["name"]: body for body in changed})))

    def type_named(self, name: str, category: str | None) -> Mapping[str, Any]:
        """One typedef."""
        body = records.MEANINGS_DEF if name == records.MEANINGS_TYPE else self.types.bodies.get(name)
        if body is None or category not in {None, body["category"]}:
            raise AtlasError(Code.TYPE_NOT_FOUND, f"Given typename {name} was invalid")
        return body

    async def upsert(self, caller: Caller, body: Any) -> Mutation:
        """A bulk write: all or nothing."""
        given = read_entities(body, self.types)
        if len(given) > ENTITIES_MAX:
            raise AtlasError(Code.INVALID_PARAMETERS, f"invalid parameters: a bulk has at most {ENTITIES_MAX} entities")
        return await self._write(caller, lambda writes: writes.upsert(given))

    async def upsert_one(self, caller: Caller, body: Any) -> Mutation:
        """``POST entity``: ``{"entity": …}``."""
        entity = body.get("entity") if isinstance(body, dict) else None
        return await self.upsert(caller, {"entities": [entity]})

    async def change_named(self, caller: Caller, type_name: str, qualified_name: str, body: Any) -> Mutation:
        """``PUT entity/uniqueAttribute``: only the attributes that are given."""
        kind = self.types.entity_type(type_name)
        entity = body.get("entity") if isinstance(body, dict) else None
        given = read_entity({"typeName": type_name, **(entity or {})}, self.types, is_partial=True)
        if given.kind.name != kind.name:
            raise AtlasError(Code.INVALID_PARAMETERS, f"invalid parameters: the entity isn't a {type_name}")

        def work(writes: Writes) -> Mutation:
            return writes.change(records.by_name_of(writes.transaction.connection, [kind], qualified_name), given)

        return await self._write(caller, work)

    async def change_attribute(self, caller: Caller, guid: str, name: str, value: Any) -> Mutation:
        """``PUT entity/guid/{guid}?name=``: one attribute."""

        def work(writes: Writes) -> Mutation:
            row = _live(writes.transaction.connection, guid)
            kind = self.types.entity_type(row.type)
            if name not in kind.attributes:
                raise AtlasError(Code.UNKNOWN_ATTRIBUTE, f"Attribute {name} not found for type {row.type}")
            attributes = kind.normalise({name: value}, is_partial=True)
            return writes.change(row, Given(kind, guid, attributes, attributes))

        return await self._write(caller, work)

    async def mark(self, caller: Caller, guid: str, body: Any, *, is_new: bool) -> None:
        """Put classifications on an entity (``is_new``), or change the attributes of those it has."""
        given = marking.read_marks(body, self.types)

        def work(writes: Writes) -> Mutation:
            row = _live(writes.transaction.connection, guid)
            kind = self.types.entity_type(row.type)
            if is_new:
                return writes.mark(row, kind, "ADD", marking.added(row, kind, given, self.types))
            return writes.mark(row, kind, "UPDATE", marking.changed(row, given))

        await self._write(caller, work)

    async def unmark(self, caller: Caller, guid: str, name: str) -> None:
        """Take a classification off an entity."""

        def work(writes: Writes) -> Mutation:
            row = _live(writes.transaction.connection, guid)
            kind = self.types.entity_type(row.type)
            return writes.mark(row, kind, "DELETE", marking.taken_off(row, name, self.types))

        await self._write(caller, work)

    async def delete(self, caller: Caller, guids: Sequence[str]) -> Mutation:
        """Soft delete; guids that don't exist are ignored, as Atlas does."""

        def work(writes: Writes) -> Mutation:
            found = (records.by_guid(writes.transaction.connection, guid) for guid in dict.fromkeys(guids))
            return writes.delete([row for row in found if row is not None])

        return await self._write(caller, work)

    async def delete_named(self, caller: Caller, type_name: str, qualified_name: str) -> Mutation:
        """Soft delete by qualified name; one that doesn't exist is ignored, as Atlas does."""
        kinds = self.types.with_subtypes(type_name)

        def work(writes: Writes) -> Mutation:
            connection = writes.transaction.connection
            found = (records.by_name(connection, kind.name, qualified_name) for kind in kinds)
            return writes.delete([row for row in found if row is not None][:1])

        return await self._write(caller, work)

    async def purge(self, caller: Caller, guids: Any) -> Mutation:
        """Remove deleted entities with their audit; all others are ignored, as Atlas does."""
        caller.must_administer("purge entities")
        if not isinstance(guids, list) or not guids or not all(isinstance(guid, str) for guid in guids):
            raise AtlasError(Code.INVALID_PARAMETERS, "invalid parameters: Guid(s) not specified")
        if len(guids) > ENTITIES_MAX:
            raise AtlasError(Code.INVALID_PARAMETERS, f"invalid parameters: a purge has at most {ENTITIES_MAX} guids")

        def work(writes: Writes) -> Mutation:
            found = (records.by_guid(writes.transaction.connection, guid) for guid in dict.fromkeys(guids))
            return writes.purge([row for row in found if row is not None])

        return await self._write(caller, work)

    async def get(self, caller: Caller, guids: Sequence[str]) -> list[dict[str, Any]]:
        """Whole entities, in the order asked for; 404 where one doesn't exist or may not be read."""

        def work(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            rows = records.by_guids(connection, guids)
            for row in rows:
                if not may_read(caller, row):
                    raise records.no_guid(row.guid)
            return [row.shown(records.meanings_of(connection, row)) for row in rows]

        return await self._database.read(work)

    async def get_named(self, caller: Caller, type_name: str, qualified_name: str) -> dict[str, Any]:
        """The live entity of that name, of the type or one that inherits from it."""
        kinds = self.types.with_subtypes(type_name)

        def work(connection: sqlite3.Connection) -> dict[str, Any]:
            row = records.by_name_of(connection, kinds, qualified_name)
            if not may_read(caller, row):
                raise records.no_name(kinds[0].name, qualified_name)
            return row.shown(records.meanings_of(connection, row))

        return await self._database.read(work)

    async def search(self, caller: Caller, body: Any) -> dict[str, Any]:
        """Basic search."""
        statement = search.plan(body, self.types, caller)
        headers = await self._database.read(lambda connection: search.run(connection, statement))
        found: dict[str, Any] = {"queryType": "BASIC", "searchParameters": body}
        return found | ({"entities": headers} if headers else {})

    async def audit(self, caller: Caller, guid: str, count: int) -> list[dict[str, Any]]:
        """An entity's changes, newest first."""

        def work(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            row = records.by_guid(connection, guid)
            if row is None or not may_read(caller, row):
                raise records.no_guid(guid)
            rows = connection.execute(
                "SELECT version, at, user, action, details FROM audit WHERE entity = ? ORDER BY version DESC LIMIT ?",
                (row.id, max(1, min(count, AUDIT_MAX))),
            )
            return [
                {"entityId": guid, "timestamp": at, "user": user, "action": action, "details": details,
                 "eventKey": f"{guid}:{at}:{version}"}
                for version, at, user, action, details in rows
            ]  # fmt: skip

        return await self._database.read(work)

    async def _write(self, caller: Caller, work: Callable[[Writes], Mutation]) -> Mutation:
        def write(transaction: Transaction) -> Mutation:
            return work(Writes(transaction, caller, self._clock.now_ms(), self._new_guid))

        return await self._database.write(write)


def _live(connection: sqlite3.Connection, guid: str) -> records.Row:
    row = records.by_guid(connection, guid)
    if row is None or row.is_deleted:
        raise records.no_guid(guid)
    return row
