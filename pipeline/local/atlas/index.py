"""One table a type with a column for each indexable attribute: what searches run over.

Real columns let SQLite's planner choose among several indexes and sort by one; expression indexes over the JSON would
parse each document once an index at each write, and a table of (attribute, value) rows can't serve two conditions and
an order at once. Each index has the creation time as its second column, so "newest first" of one value is sorted.

Two conditions of which each holds for very many entities need an index of both: the engine asks again and again for the
few open inbox items that have a decision, among all that are open and all that were ever decided.
"""

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

import orjson

from pipeline.local.atlas.type_registry import EntityType
from pipeline.store import types

TOGETHER: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    types.RUN: ((types.RUN_CREATED_BY, types.RUN_STATUS), (types.RUN_WORKFLOW_GUID, types.RUN_STATUS)),
    types.ITEM: (
        (types.ITEM_RECIPIENT, types.ITEM_STATUS, types.ITEM_OPENED_AT),
        # Else the one above is taken for the questions of one run, and looked through.
        (types.ITEM_RUN_GUID, types.ITEM_RECIPIENT, types.ITEM_STATUS, types.ITEM_OPENED_AT),
    ),
}
"""Attributes that have an index together, beside the one that each of them has."""
FEW: Final[Mapping[str, tuple[tuple[str, str, str], ...]]] = {
    types.RUN: ((types.RUN_STATUS, types.RUN_WAKE_AT, "<= 0"),),
    types.ITEM: ((types.ITEM_STATUS, types.ITEM_ACTION, "IS NOT NULL"),),
}
"""An attribute that is looked for where another one's condition holds, as a search says it: an index of those entities
alone, so that nothing is written to it while a run goes on."""
_SYSTEM: Final = "id INTEGER PRIMARY KEY, is_deleted INTEGER NOT NULL, created_at INTEGER NOT NULL"


def table_of(type_name: str) -> str:
    """The quoted name of a type's table; type names are checked when they are registered."""
    return f'"s {type_name}"'


def column_of(attribute: str) -> str:
    """The quoted name of an attribute's column."""
    return f'"a {attribute}"'


def ensure(connection: sqlite3.Connection, kind: EntityType) -> None:
    """Make the type's table fit the type; entities that are there already are indexed. Attributes never leave it."""
    table = table_of(kind.name)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({_SYSTEM})")
    connection.execute(f'CREATE INDEX IF NOT EXISTS "{kind.name}/created" ON {table} (created_at)')
    there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    added = [name for name in kind.indexed if column_of(name).strip('"') not in there]
    for name in added:
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {column_of(name)}")
        connection.execute(f'CREATE INDEX "{kind.name}/{name}" ON {table} ({column_of(name)}, created_at)')
    join(connection, kind)
    if not added:
        return
    fill = f"UPDATE {table} SET {', '.join(f'{column_of(name)} = ?' for name in added)} WHERE id = ?"  # noqa: S608
    entities = connection.execute("SELECT id, attributes FROM entity WHERE type = ?", (kind.name,))
    while part := entities.fetchmany(500):
        values = [(row_id, orjson.loads(attributes)) for row_id, attributes in part]
        connection.executemany(fill, [(*_values(kind, added, given), row_id) for row_id, given in values])


def join(connection: sqlite3.Connection, kind: EntityType) -> None:
    """Make the indexes of several attributes; those that are there stay."""
    made = [(names, "") for names in TOGETHER.get(kind.name, ())]
    made += [((name, of), f"WHERE {column_of(of)} {holds}") for name, of, holds in FEW.get(kind.name, ())]
    for names, where in made:
        if set(names) <= set(kind.indexed):
            columns = ", ".join(column_of(name) for name in (names[:1] if where else names))
            connection.execute(
                f'CREATE INDEX IF NOT EXISTS "{kind.name}/{"+".join(names)}" '
                f"ON {table_of(kind.name)} ({columns}, created_at) {where}"
            )


def insert(
    connection: sqlite3.Connection, kind: EntityType, row_id: int, created_at: int, attributes: Mapping[str, Any]
) -> None:
    """Index a new entity."""
    columns = "".join(f", {column_of(name)}" for name in kind.indexed)
    marks = ", ?" * len(kind.indexed)
    connection.execute(
        f"INSERT INTO {table_of(kind.name)} (id, is_deleted, created_at{columns}) VALUES (?, 0, ?{marks})",  # noqa: S608
        (row_id, created_at, *_values(kind, kind.indexed, attributes)),
    )


def update(connection: sqlite3.Connection, kind: EntityType, row_id: int, changed: Mapping[str, Any]) -> None:
    """Index what changed."""
    names = [name for name in kind.indexed if name in changed]
    if names:
        sets = ", ".join(f"{column_of(name)} = ?" for name in names)
        connection.execute(
            f"UPDATE {table_of(kind.name)} SET {sets} WHERE id = ?",  # noqa: S608
            (*_values(kind, names, changed), row_id),
        )


def delete(connection: sqlite3.Connection, type_name: str, row_id: int) -> None:
    """A soft-deleted entity is found only by those who ask for deleted ones."""
    connection.execute(f"UPDATE {table_of(type_name)} SET is_deleted = 1 WHERE id = ?", (row_id,))  # noqa: S608


def purge(connection: sqlite3.Connection, type_name: str, row_id: int) -> None:
    """Forget an entity."""
    connection.execute(f"DELETE FROM {table_of(type_name)} WHERE id = ?", (row_id,))  # noqa: S608


def _values(kind: EntityType, names: Any, attributes: Mapping[str, Any]) -> list[Any]:
    values = []
    for name in names:
        value = attributes.get(name)
        values.append(kind.attributes[name].empty if value is None else value)
    return values
