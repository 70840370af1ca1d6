"""Writes of entities: what one request does inside its transaction. Pure but for the connection it is handed."""

import re
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from pipeline.local.atlas import index, marking, notifications, records
from pipeline.local.atlas.database import Transaction
from pipeline.local.atlas.errors import AtlasError, Code
from pipeline.local.atlas.records import Row
from pipeline.local.atlas.rights import Caller
from pipeline.local.atlas.sight import may_read
from pipeline.local.atlas.type_registry import EntityType, TypeRegistry
from pipeline.store import types

AUDIT_VALUE_CHARS_MAX: Final = 256
"""Longer values (documents, requests) are named in the audit, not repeated: they would make up most of the file."""
CUSTOM_NAME_CHARS_MAX: Final = 50
TERMS_MAX: Final = 1_000
"""On one asset."""
_CUSTOM_NAME: Final = re.compile(r"[a-zA-Z0-9_-]*")
_INSERT: Final = (
    "INSERT INTO entity (guid, type, qualified_name, is_deleted, version, created_by, updated_by, created_at, "
    "updated_at, classifications, attributes, custom, terms) VALUES (?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE: Final = (
    "UPDATE entity SET qualified_name = ?, version = ?, updated_by = ?, updated_at = ?, attributes = ?, custom = ?, "
    "terms = ? WHERE id = ?"
)


def random_guid() -> str:
    """A guid nobody can guess."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


@dataclass(frozen=True, slots=True)
class Given:
    """An entity as a request gave it, checked against its type.

    ``guid`` is a real one, or what the request called a new entity (a negative number), or empty. ``named`` holds all
    names the request gave, known to the type or not.
    """

    kind: EntityType
    guid: str
    attributes: Mapping[str, Any]
    named: Mapping[str, Any]
    classifications: tuple[Mapping[str, Any], ...] = ()
    custom: Mapping[str, str] | None = None
    """All custom attributes; None keeps those that are there."""
    terms: tuple[str, ...] | None = None
    """Guids of all its glossary terms; None keeps those that are there."""

    @property
    def has_guid(self) -> bool:
        """Whether it names an entity that must exist."""
        return bool(self.guid) and not self.guid.startswith("-")


@dataclass(slots=True)
class Mutation:
    """What a request changed, as Atlas answers it."""

    created: dict[str, dict[str, Any]] = field(default_factory=dict)
    updated: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: list[dict[str, Any]] = field(default_factory=list)
    purged: list[dict[str, Any]] = field(default_factory=list)
    guids: dict[str, str] | None = None
    """None of a deletion."""
    is_partial: bool = False

    def shown(self) -> dict[str, Any]:
        """The answer; an entity that was created and changed in one request counts as created."""
        updated = "PARTIAL_UPDATE" if self.is_partial else "UPDATE"
        kinds = {
            "CREATE": list(self.created.values()),
            updated: list(self.updated.values()),
            "DELETE": self.deleted,
            "PURGE": self.purged,
        }
        mutated = {kind: headers for kind, headers in kinds.items() if headers}
        shown: dict[str, Any] = {"mutatedEntities": mutated} if mutated else {}
        if self.guids is not None:
            shown["guidAssignments"] = self.guids
        return shown


@dataclass(slots=True)
class Writes:
    """The changes of one request, in one transaction."""

    transaction: Transaction
    caller: Caller
    at: int
    new_guid: Callable[[], str]
    mutation: Mutation = field(default_factory=Mutation)
    _told: list[bytes] = field(default_factory=list)
    _audit: list[tuple[int, int, int, str, str, str]] = field(default_factory=list)

    def upsert(self, entities: Iterable[Given]) -> Mutation:
        """Create or update all of them.

        Raises:
            AtlasError: one can't be; the transaction must be rolled back.
        """
        self.mutation.guids = guids = {}
        for given in entities:
            row = self._existing(given)
            if row is None:
                guid = self._create(given)
            else:
                guid = row.guid
                self._update(row, given)
            if given.guid and given.guid != guid:
                guids[given.guid] = guid
        return self._finish()

    def change(self, row: Row, given: Given) -> Mutation:
        """A partial update of one entity."""
        self.mutation.guids, self.mutation.is_partial = {}, True
        self._update(row, given)
        return self._finish()

    def delete(self, rows: Iterable[Row]) -> Mutation:
        """Soft delete; those that are deleted stay as they are."""
        connection = self.transaction.connection
        for row in rows:
            if row.is_deleted:
                continue
            self.caller.may_delete(row.type)
            attributes = orjson.loads(row.attributes)
            connection.execute(
                "UPDATE entity SET is_deleted = 1, version = version + 1, updated_by = ?, updated_at = ? WHERE id = ?",
                (self.caller.name, self.at, row.id),
            )
            index.delete(connection, row.type, row.id)
            self._note(row.id, row.version + 1, "ENTITY_DELETE", f"Deleted: {row.qualified_name}")
            self._told.extend(notifications.deleted(row.type, row.guid, attributes, self.at))
            shown = {name: attributes[name] for name in ("qualifiedName", "name") if name in attributes}
            # The status is the one it had, as Atlas' own answer says.
            self.mutation.deleted.append(records.header(row.type, row.guid, "ACTIVE", shown, row.classifications))
        return self._finish()

    def purge(self, rows: Iterable[Row]) -> Mutation:
        """Remove what is deleted, and its audit; nobody is told."""
        connection = self.transaction.connection
        for row in rows:
            if not row.is_deleted:
                continue
            connection.execute("DELETE FROM audit WHERE entity = ?", (row.id,))
            index.purge(connection, row.type, row.id)
            connection.execute("DELETE FROM entity WHERE id = ?", (row.id,))
            attributes = orjson.loads(row.attributes)
            header = records.header(row.type, row.guid, row.status, _shown(attributes), row.classifications)
            self.mutation.purged.append(header)
        return self.mutation

    def _existing(self, given: Given) -> Row | None:
        connection = self.transaction.connection
        if not given.has_guid:
            return records.by_name(connection, given.kind.name, given.attributes["qualifiedName"])
        row = records.by_guid(connection, given.guid)
        if row is None or row.is_deleted:
            raise AtlasError(Code.REFERENCE_NOT_FOUND, f"Referenced entity {given.guid} is not found")
        if row.type != given.kind.name:
            raise AtlasError(Code.INVALID_PARAMETERS, f"invalid parameters: {given.guid} isn't a {given.kind.name}")
        return row

    def _create(self, given: Given) -> str:
        kind, guid, by = given.kind, self.new_guid(), self.caller.name
        self.caller.may_create(kind.name, given.named)
        attributes = {name: value for name, value in given.attributes.items() if value is not None}
        classifications = [
            {"typeName": each["typeName"], "attributes": each.get("attributes") or {}, "entityGuid": guid}
            | {"entityStatus": "ACTIVE", "propagate": True, "removePropagationsOnEntityDelete": False}
            for each in given.classifications
        ]
        kept = orjson.dumps(classifications).decode() if classifications else None
        name = attributes["qualifiedName"]
        connection = self.transaction.connection
        row_id = connection.execute(
            _INSERT,
            (
                guid,
                kind.name,
                name,
                by,
                by,
                self.at,
                self.at,
                kept,
                orjson.dumps(attributes).decode(),
                _text(given.custom),
                self._terms(given.terms),
            ),
        ).lastrowid
        assert row_id is not None  # noqa: S101  (an INSERT has one)
        index.insert(connection, kind, row_id, self.at, attributes)
        self._note(row_id, 0, "ENTITY_CREATE", f"Created: {_summary(kind.name, guid, attributes)}")
        told = {name: value for name, value in attributes.items() if kind.attributes[name].is_told}
        self._told.extend(notifications.created(kind.name, guid, told, classifications, self.at))
        self.mutation.created[guid] = records.header(kind.name, guid, "ACTIVE", _shown(attributes), None)
        return guid

    def _update(self, row: Row, given: Given) -> None:
        kind, before = given.kind, orjson.loads(row.attributes)
        changed = {name: value for name, value in given.attributes.items() if before.get(name) != value}
        # What they may not read they don't learn by asking whether a write would change it.
        custom = row.custom if given.custom is None else _text(given.custom)
        terms = row.terms if given.terms is None else self._terms(given.terms)
        asked = {*(changed if may_read(self.caller, row) else given.attributes)}
        asked |= {"customAttributes"} if custom != row.custom else set()
        asked |= {types.MEANINGS} if terms != row.terms else set()
        self.caller.may_update(kind.name, before, asked)
        if not changed and (custom, terms) == (row.custom, row.terms):
            return
        after = {name: value for name, value in (before | changed).items() if value is not None}
        name, version = after["qualifiedName"], row.version + 1
        connection = self.transaction.connection
        if name != row.qualified_name and records.by_name(connection, kind.name, name) is not None:
            raise AtlasError(Code.INVALID_PARAMETERS, f"invalid parameters: another {kind.name} is called {name}")
        kept = orjson.dumps(after).decode()
        connection.execute(_UPDATE, (name, version, self.caller.name, self.at, kept, custom, terms, row.id))
        index.update(connection, kind, row.id, changed)
        self._note(row.id, version, "ENTITY_UPDATE", f"Updated: {_summary(kind.name, row.guid, changed)}")
        # As Atlas: all that the request carried, once anything has changed.
        told = {name: value for name, value in given.attributes.items() if kind.attributes[name].is_told}
        self._told.extend(notifications.updated(kind.name, row.guid, told, self.at))
        if row.guid not in self.mutation.created:
            shown = records.header(kind.name, row.guid, "ACTIVE", _shown(after), row.classifications)
            self.mutation.updated[row.guid] = shown

    def _terms(self, guids: tuple[str, ...] | None) -> str | None:
        """As they are kept; the same terms are always the same text."""
        for guid in guids or ():
            term = records.by_guid(self.transaction.connection, guid)
            if term is None or term.is_deleted or term.type != types.TERM:
                raise AtlasError(Code.REFERENCE_NOT_FOUND, f"Referenced entity {guid} is not found")
        return orjson.dumps(sorted(set(guids))).decode() if guids else None

    def mark(self, row: Row, kind: EntityType, operation: str, tags: marking.Tags) -> Mutation:
        """Give an entity these classifications; ``operation`` (ADD, UPDATE, DELETE) is what is told of it."""
        self.caller.may_update(kind.name, orjson.loads(row.attributes), {"classifications"})
        kept = orjson.dumps(tags).decode() if tags else None
        self.transaction.connection.execute(
            "UPDATE entity SET classifications = ?, version = version + 1, updated_by = ?, updated_at = ? WHERE id = ?",
            (kept, self.caller.name, self.at, row.id),
        )
        names = ", ".join(tag["typeName"] for tag in tags)
        self._note(row.id, row.version + 1, f"CLASSIFICATION_{operation}", f"Classifications now: {names}")
        self._told.extend(marking.told(kind, row, operation, tags, self.at))
        return self._finish()

    def _note(self, row_id: int, version: int, action: str, details: str) -> None:
        self._audit.append((row_id, version, self.at, self.caller.name, action, details))

    def _finish(self) -> Mutation:
        if self._audit:
            self.transaction.connection.executemany(
                "INSERT INTO audit (entity, version, at, user, action, details) VALUES (?, ?, ?, ?, ?, ?)", self._audit
            )
            self.transaction.tell(self._told)
        return self.mutation


def read_entity(body: Any, registry: TypeRegistry, *, is_partial: bool = False) -> Given:
    """An entity of a request.

    Raises:
        AtlasError: it isn't one, or its type refuses what is in it.
    """
    if not isinstance(body, dict) or not isinstance(body.get("attributes", {}), dict):
        raise AtlasError(Code.INVALID_PARAMETERS, "invalid parameters: an entity is an object with attributes")
    kind = registry.entity_type(body.get("typeName"))
    named = body.get("attributes") or {}
    return Given(
        kind=kind,
        guid=str(body.get("guid") or ""),
        attributes=kind.normalise(named, is_partial=is_partial),
        named=named,
        classifications=_classifications(body.get("classifications") or (), registry),
        custom=_custom(body.get("customAttributes")),
        terms=_term_guids(body.get("relationshipAttributes")),
    )


def read_entities(body: Any, registry: TypeRegistry) -> list[Given]:
    """The entities of a bulk request, in its order.

    Raises:
        AtlasError: as :func:`read_entity`, or there are none.
    """
    entities: Sequence[Any] | None = body.get("entities") if isinstance(body, dict) else None
    if not isinstance(entities, list) or not entities:
        raise AtlasError(Code.INVALID_PARAMETERS, "invalid parameters: no entities to create/update.")
    return [read_entity(each, registry) for each in entities]


def _classifications(given: Any, registry: TypeRegistry) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(each, dict) for each in given):
        raise AtlasError(Code.INVALID_PARAMETERS, "invalid parameters: classifications are a list of objects")
    for each in given:
        if not registry.knows_classification(each.get("typeName")):
            raise AtlasError(Code.UNKNOWN_CLASSIFICATION, f"{each.get('typeName')}: Unknown/invalid classification")
    return tuple(given)


def _custom(given: Any) -> dict[str, str] | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        raise AtlasError(Code.INVALID_PARAMETERS, "invalid parameters: customAttributes are an object of texts")
    for name in given:
        if len(name) > CUSTOM_NAME_CHARS_MAX:
            raise AtlasError(
                Code.CUSTOM_NAME_LENGTH,
                f"Invalid key: {name} in custom attribute, key size should not be greater than {CUSTOM_NAME_CHARS_MAX}",
            )
        if not _CUSTOM_NAME.fullmatch(name):
            raise AtlasError(
                Code.CUSTOM_NAME_CHARACTERS,
                f"Invalid key: {name} in custom attribute, key should only contain alphanumeric characters, _ or -",
            )
    return {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in given.items()}


def _term_guids(given: Any) -> tuple[str, ...] | None:
    if not given:
        return None
    terms = given.get(types.MEANINGS) if isinstance(given, dict) else None
    if not isinstance(given, dict) or given.keys() - {types.MEANINGS}:
        raise AtlasError(Code.NOT_HERE, "The embedded Atlas has no relationship but meanings: terms of an asset.")
    if terms is None:
        return None
    if not isinstance(terms, list) or len(terms) > TERMS_MAX:
        raise AtlasError(
            Code.INVALID_PARAMETERS, f"invalid parameters: meanings are a list of {TERMS_MAX} terms at most"
        )
    guids = [term.get("guid") if isinstance(term, dict) else None for term in terms]
    if not all(isinstance(guid, str) for guid in guids):
        raise AtlasError(Code.INVALID_PARAMETERS, "invalid parameters: each of the meanings has the guid of a term")
    return tuple(str(guid) for guid in guids)


def _text(custom: Mapping[str, str] | None) -> str | None:
    return None if custom is None else orjson.dumps(custom, option=orjson.OPT_SORT_KEYS).decode()


def _shown(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: attributes[name] for name in ("qualifiedName", "name") if name in attributes}


def _summary(type_name: str, guid: str, attributes: Mapping[str, Any]) -> str:
    short = {
        name: value
        for name, value in attributes.items()
        if not isinstance(value, str | list | dict) or len(value) <= AUDIT_VALUE_CHARS_MAX
    }
    left_out = sorted(attributes.keys() - short.keys())
    body: dict[str, Any] = {"typeName": type_name, "guid": guid, "attributes": short}
    if left_out:
        body["leftOut"] = left_out
    return orjson.dumps(body).decode()
