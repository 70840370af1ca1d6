"""Entities as rows, and as Atlas shows them. Stored attributes go into answers as they are, without being parsed."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from pipeline.local.atlas.errors import AtlasError, Code
from pipeline.local.atlas.type_registry import EntityType
from pipeline.store import types

COLUMNS: Final = (
    "id, guid, type, qualified_name, is_deleted, version, created_by, updated_by, created_at, updated_at, "
    "classifications, attributes, custom, terms"
)
SYSTEM: Final = {
    "__guid": "guid",
    "__typeName": "type",
    "__createdBy": "created_by",
    "__modifiedBy": "updated_by",
    "__timestamp": "created_at",
    "__modificationTimestamp": "updated_at",
}
"""Atlas' own attributes of every entity, and their columns."""
_SELECT: Final = f"SELECT {COLUMNS} FROM entity"  # noqa: S608  (a constant)
_GUIDS_AT_ONCE: Final = 200
MEANINGS_TYPE: Final = types.ASSIGNMENT
"""Atlas' name of the relationship between an entity and its glossary terms; the only one here."""
MEANINGS_DEF: Final[Mapping[str, Any]] = {
    "category": "RELATIONSHIP",
    "name": MEANINGS_TYPE,
    "relationshipCategory": "ASSOCIATION",
    "endDef1": {"type": types.TERM, "name": "assignedEntities", "isContainer": False, "cardinality": "SET"},
    "endDef2": {"type": "Referenceable", "name": types.MEANINGS, "isContainer": False, "cardinality": "SET"},
}
"""As in Atlas' own glossary model, without its attributes."""


class Row(NamedTuple):
    """A row of the table of entities."""

    id: int
    guid: str
    type: str
    qualified_name: str
    is_deleted: int
    version: int
    created_by: str
    updated_by: str
    created_at: int
    updated_at: int
    classifications: str | None
    attributes: str
    custom: str | None = None
    terms: str | None = None
    """A list of guids; None where it never had any."""

    @property
    def status(self) -> str:
        """Atlas' word for it."""
        return "DELETED" if self.is_deleted else "ACTIVE"

    def shown(self, meanings: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """The whole entity; ``meanings``: see :func:`meanings_of`."""
        classifications = orjson.Fragment(self.classifications) if self.classifications else []
        custom = {"customAttributes": orjson.Fragment(self.custom)} if self.custom else {}
        return {
            "typeName": self.type,
            "attributes": orjson.Fragment(self.attributes),
            "guid": self.guid,
            "isIncomplete": False,
            "status": self.status,
            "createdBy": self.created_by,
            "updatedBy": self.updated_by,
            "createTime": self.created_at,
            "updateTime": self.updated_at,
            "version": 0,
            "relationshipAttributes": {"meanings": meanings} if meanings else {},
            "classifications": classifications,
            "labels": [],
            **custom,
        }

    def header(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """A short form with these attributes."""
        return header(self.type, self.guid, self.status, attributes, self.classifications)


def header(
    type_name: str, guid: str, status: str, attributes: Mapping[str, Any], classifications: str | None
) -> dict[str, Any]:
    """An entity's header as it stands in answers to writes and searches."""
    given = orjson.loads(classifications) if classifications else []
    return {
        "typeName": type_name,
        "attributes": attributes,
        "guid": guid,
        "status": status,
        "displayText": attributes.get("name") or attributes.get("qualifiedName"),
        "classificationNames": [each["typeName"] for each in given],
        "isIncomplete": False,
        "meaningNames": [],
        "meanings": [],
        "labels": [],
    }


def by_name(connection: sqlite3.Connection, type_name: str, qualified_name: str) -> Row | None:
    """The live entity of exactly that type."""
    found = connection.execute(
        f"{_SELECT} WHERE type = ? AND qualified_name = ? AND is_deleted = 0", (type_name, qualified_name)
    ).fetchone()
    return None if found is None else Row._make(found)


def by_name_of(connection: sqlite3.Connection, kinds: Sequence[EntityType], qualified_name: str) -> Row:
    """The live entity of the first of these types that has one of that name.

    Raises:
        AtlasError: 404, there is none.
    """
    for kind in kinds:
        row = by_name(connection, kind.name, qualified_name)
        if row is not None:
            return row
    raise no_name(kinds[0].name, qualified_name)


def by_guid(connection: sqlite3.Connection, guid: str) -> Row | None:
    """The entity, deleted ones too."""
    found = connection.execute(f"{_SELECT} WHERE guid = ?", (guid,)).fetchone()
    return None if found is None else Row._make(found)


def by_guids(connection: sqlite3.Connection, guids: Iterable[str]) -> list[Row]:
    """The entities in the order asked for, each once.

    Raises:
        AtlasError: 404, one of them doesn't exist.
    """
    asked = list(dict.fromkeys(guids))
    found: dict[str, Row] = {}
    for first in range(0, len(asked), _GUIDS_AT_ONCE):
        part = asked[first : first + _GUIDS_AT_ONCE]
        marks = ", ".join("?" * len(part))
        found |= {row[1]: Row._make(row) for row in connection.execute(f"{_SELECT} WHERE guid IN ({marks})", part)}
    for guid in asked:
        if guid not in found:
            raise no_guid(guid)
    return [found[guid] for guid in asked]


def meanings_of(connection: sqlite3.Connection, row: Row) -> list[dict[str, Any]]:
    """The glossary terms of an entity, as its relationship to them shows them; one may have been deleted since."""
    found = []
    for guid in orjson.loads(row.terms) if row.terms else ():
        term = by_guid(connection, guid)
        if term is not None:
            found.append(
                {
                    "guid": guid,
                    "typeName": term.type,
                    "entityStatus": term.status,
                    "displayText": orjson.loads(term.attributes).get("name") or term.qualified_name,
                    "relationshipType": MEANINGS_TYPE,
                    "relationshipStatus": term.status,
                    "relationshipAttributes": {"typeName": MEANINGS_TYPE},
                }
            )
    return found


def no_name(type_name: str, qualified_name: str) -> AtlasError:
    """What is answered for a name that doesn't exist."""
    return AtlasError(
        Code.NAME_NOT_FOUND,
        f"Instance {type_name} with unique attribute {{qualifiedName={qualified_name}}} does not exist",
    )


def no_guid(guid: str) -> AtlasError:
    """What is answered for a guid that doesn't exist."""
    return AtlasError(Code.GUID_NOT_FOUND, f"Given instance guid {guid} is invalid/not found")
