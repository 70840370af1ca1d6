"""The store in memory: the reference of what the port means, and what the simulator's worlds are made of.

It has Atlas' semantics and nothing better: create-or-update without compare-and-set, all-or-nothing bulk writes, an
update that changes nothing makes no event, unset numbers read as 0 in filters. It never fails by itself; faults are
the business of whoever wraps it.
"""

import operator
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.messages.changes import Tag
from pipeline.messages.envelopes import EntityWrite, Operation
from pipeline.store import types
from pipeline.store.kinds import Kind
from pipeline.store.port import Entity, Filter, Query, StoreRefusedError
from pipeline.store.typedefs import is_classification, shipped_kind

LIMIT_MAX: Final = 1000
_NAMESPACE: Final = uuid.UUID("6b6f0a52-3b0e-4d0c-9f57-2a3f5f4e8a11")
NOTIFIED: Final = frozenset(
    {
        types.RUN_REQUEST,
        types.RUN_CONFIG,
        types.RUN_STATUS,
        types.RUN_WAKE_AT,
        types.ITEM_ACTION,
        types.COMMAND_REQUEST,
        types.COMMAND_STATUS,
    }
)
"""Attributes with ``includeInNotification``; what stands with a star in :mod:`pipeline.store.types`."""


_OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "contains": operator.contains,
    "startsWith": lambda actual, wanted: str(actual).startswith(str(wanted)),
}


@dataclass(frozen=True, slots=True)
class Change:
    """What the store tells of one changed entity, as Atlas' notification does.

    ``attributes`` holds the notified attributes that the request carried, whether or not they changed (of a create: all
    notified ones that are set); there are no old values. ``qualified_name`` is None after a partial update.
    """

    operation: Operation
    type_name: str
    guid: str
    qualified_name: str | None
    attributes: Mapping[str, Any]
    at: int


@dataclass(slots=True)
class _Record:
    type_name: str
    guid: str
    qualified_name: str
    attributes: dict[str, Any]
    created_by: str
    updated_by: str
    created_at: int
    updated_at: int
    is_deleted: bool = False
    custom: dict[str, str] = field(default_factory=dict)
    terms: tuple[str, ...] = ()
    tags: dict[str, Tag] = field(default_factory=dict)

    def value_of(self, name: str) -> Any:
        system = {
            "__guid": self.guid,
            "__createdBy": self.created_by,
            "__modifiedBy": self.updated_by,
            "__timestamp": self.created_at,
            "__modificationTimestamp": self.updated_at,
        }
        return system[name] if name.startswith("__") else self.attributes.get(name)

    def entity(self, wanted: tuple[str, ...] | None = None) -> Entity:
        names = self.attributes if wanted is None else {"qualifiedName", "name", *wanted} & self.attributes.keys()
        return Entity(
            type_name=self.type_name,
            guid=self.guid,
            qualified_name=self.qualified_name,
            attributes={name: self.attributes[name] for name in names},
            created_by=self.created_by,
            updated_by=self.updated_by,
            created_at=self.created_at,
            updated_at=self.updated_at,
            is_deleted=self.is_deleted,
            classifications=tuple(self.tags),
            tags=tuple(self.tags.values()),
            custom_attributes=dict(self.custom),
            terms=self.terms,
        )


@dataclass(slots=True)
class _State:
    """What all views of one store share."""

    by_guid: dict[str, _Record] = field(default_factory=dict)
    live: dict[tuple[str, str], _Record] = field(default_factory=dict)
    by_type: dict[str, dict[str, _Record]] = field(default_factory=dict)
    created: int = 0


class MemoryEntityStore:
    """One user's view of the entities; :meth:`as_user` gives another user's of the same ones."""

    def __init__(
        self,
        now_ms: Callable[[], int],
        on_change: Callable[[Change], None] | None = None,
        *,
        user: str = "blockline",
        state: _State | None = None,
    ) -> None:
        """``on_change`` is called after each write, once an entity that changed, in the order of the request."""
        self._now_ms = now_ms
        self._on_change = on_change
        self._user = user
        self._state = _State() if state is None else state

    def as_user(self, name: str) -> "MemoryEntityStore":
        """The same entities, written by somebody else (``created_by``, ``updated_by``)."""
        return MemoryEntityStore(self._now_ms, self._on_change, user=name, state=self._state)

    async def get(self, guids: Sequence[str], *, has_terms: bool = False) -> dict[str, Entity]:
        """See :class:`pipeline.store.port.EntityStore`."""
        del has_terms  # they are at hand
        known = self._state.by_guid
        return {guid: known[guid].entity() for guid in guids if guid in known}

    async def get_by_name(self, type_name: str, qualified_name: str) -> Entity | None:
        """See :class:`pipeline.store.port.EntityStore`."""
        record = self._state.live.get((type_name, qualified_name))
        return None if record is None else record.entity()

    async def upsert(self, entities: Sequence[EntityWrite]) -> dict[str, str]:
        """See :class:`pipeline.store.port.EntityStore`; refused where a mandatory ``name`` or type is missing."""
        for write in entities:
            self._check(write)
        changes: list[Change] = []
        guids = {write.qualified_name: self._write(write, changes) for write in entities}
        self._tell(changes)
        return guids

    async def find(self, query: Query) -> list[Entity]:
        """See :class:`pipeline.store.port.EntityStore`."""
        if not 1 <= query.limit <= LIMIT_MAX or query.offset < 0:
            raise StoreRefusedError(f"a search gives 1 to {LIMIT_MAX} entities at a time")
        found = [
            record
            for record in self._state.by_type.get(query.type_name, {}).values()
            if not record.is_deleted and all(_holds(condition, record) for condition in query.filters)
        ]
        if query.sort_by is not None:
            by = query.sort_by
            found.sort(key=lambda record: _sort_key(record.value_of(by)), reverse=query.is_descending)
        page = found[query.offset : query.offset + query.limit]
        return [record.entity(query.attributes) for record in page]

    async def delete(self, guids: Sequence[str]) -> None:
        """See :class:`pipeline.store.port.EntityStore`."""
        changes: list[Change] = []
        for guid in guids:
            record = self._state.by_guid.get(guid)
            if record is None or record.is_deleted:
                continue
            record.is_deleted = True
            record.updated_at, record.updated_by = self._now_ms(), self._user
            del self._state.live[record.type_name, record.qualified_name]
            changes.append(
                Change(Operation.DELETE, record.type_name, guid, record.qualified_name, {}, record.updated_at)
            )
        self._tell(changes)

    async def purge(self, guids: Sequence[str]) -> None:
        """See :class:`pipeline.store.port.EntityStore`."""
        for guid in guids:
            record = self._state.by_guid.get(guid)
            if record is not None and record.is_deleted:
                del self._state.by_guid[guid]
                del self._state.by_type[record.type_name][guid]

    def _write(self, write: EntityWrite, changes: list[Change]) -> str:
        record = self._record(write)
        given = {name: value for name, value in write.attributes.items() if value is not None}
        now = self._now_ms()
        if record is None:
            record = self._create(write, given, now)
            told = {name: value for name, value in given.items() if name in NOTIFIED}
            changes.append(Change(Operation.CREATE, write.type_name, record.guid, write.qualified_name, told, now))
            return record.guid
        changed = {name: value for name, value in given.items() if record.attributes.get(name) != value}
        gone = [name for name in write.unset or () if name in record.attributes]
        is_extended = _extend(record, write)
        if changed or gone or is_extended:
            record.attributes.update(changed)
            for name in gone:
                del record.attributes[name]
            record.updated_at, record.updated_by = now, self._user
            told = {name: value for name, value in given.items() if name in NOTIFIED}
            changes.append(Change(Operation.UPDATE, write.type_name, record.guid, write.qualified_name, told, now))
        return record.guid

    async def classify(self, guid: str, tags: Sequence[Tag], untag: Sequence[str]) -> None:
        """See :class:`pipeline.store.port.EntityStore`; a classification that no typedef names is refused."""
        record = self._state.by_guid.get(guid)
        if record is None or record.is_deleted:
            raise StoreRefusedError(f"there is no entity {guid}")
        for tag in tags:
            if not is_classification(tag.type_name):
                raise StoreRefusedError(f"there is no classification {tag.type_name}")
        for tag in tags:
            before = record.tags.get(tag.type_name)
            attributes = {**(before.attributes if before else {}), **tag.attributes}
            propagate = tag.propagate if tag.propagate is not None else (before.propagate if before else True)
            record.tags[tag.type_name] = tag.model_copy(update={"attributes": attributes, "propagate": propagate})
        for name in untag:
            record.tags.pop(name, None)

    async def kind(self, type_name: str, *, is_fresh: bool = False) -> Kind | None:
        """See :class:`pipeline.store.port.EntityStore`; the types are those that the project ships."""
        del is_fresh  # they never change
        return shipped_kind(type_name)

    def _record(self, write: EntityWrite) -> _Record | None:
        if write.guid is not None:
            return self._state.by_guid.get(write.guid)
        return self._state.live.get((write.type_name, write.qualified_name))

    def _check(self, write: EntityWrite) -> None:
        if not write.type_name or not write.qualified_name:
            raise StoreRefusedError("an entity needs a type and a qualified name")
        if not write.attributes.get("name"):
            raise StoreRefusedError(
                f"{write.type_name} {write.qualified_name}: the mandatory attribute name is missing"
            )
        record = self._record(write)
        if write.guid is not None and (record is None or record.is_deleted):
            raise StoreRefusedError(f"Referenced entity {write.guid} is not found")
        missing = [guid for guid in write.terms or () if guid not in self._state.by_guid]
        if missing:
            raise StoreRefusedError(f"Referenced entity {missing[0]} is not found")

    def _create(self, write: EntityWrite, given: dict[str, Any], now: int) -> _Record:
        # A deleted entity keeps its guid and its name stays free, so the count of all that ever were is part of it.
        count = self._state.created
        self._state.created += 1
        guid = str(uuid.uuid5(_NAMESPACE, f"{write.type_name}\0{write.qualified_name}\0{count}"))
        record = _Record(
            type_name=write.type_name,
            guid=guid,
            qualified_name=write.qualified_name,
            attributes={**given, "qualifiedName": write.qualified_name},
            created_by=self._user,
            updated_by=self._user,
            created_at=now,
            updated_at=now,
            custom=dict(write.custom_attributes or {}),
            terms=write.terms or (),
        )
        self._state.by_guid[guid] = record
        self._state.live[write.type_name, write.qualified_name] = record
        self._state.by_type.setdefault(write.type_name, {})[guid] = record
        return record

    def _tell(self, changes: list[Change]) -> None:
        if self._on_change is not None:
            for change in changes:
                self._on_change(change)


def _extend(record: _Record, write: EntityWrite) -> bool:
    """Custom attributes and terms; whether they changed."""
    before = (record.custom, set(record.terms))
    if write.custom_attributes is not None:
        record.custom = dict(write.custom_attributes)
    if write.terms is not None:
        record.terms = write.terms
    return before != (record.custom, set(record.terms))


def _holds(condition: Filter, record: _Record) -> bool:
    actual = record.value_of(condition.attribute)
    wanted = condition.value
    if condition.operator == "is_null":
        return actual is None
    if condition.operator == "not_null":
        return actual is not None
    if actual is None and isinstance(wanted, int) and not isinstance(wanted, bool):
        actual = 0  # Atlas' index has no "unset" for numbers and dates
    if actual is None:
        return condition.operator == "neq"
    return bool(_OPERATORS[condition.operator](actual, wanted))


def _sort_key(value: Any) -> tuple[int, Any]:
    """Unset first, as 0 would stand."""
    return (0, 0) if value is None else (1, value)
