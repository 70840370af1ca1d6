"""Basic search: Atlas' request in, one SQL statement over the type's index out."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from pipeline.local.atlas import sight
from pipeline.local.atlas.errors import AtlasError, Code
from pipeline.local.atlas.index import column_of, table_of
from pipeline.local.atlas.records import SYSTEM, Row, header
from pipeline.local.atlas.rights import Caller
from pipeline.local.atlas.type_registry import EntityType, TypeRegistry

LIMIT_MAX: Final = 10_000
LIMIT_DEFAULT: Final = 100
NUMBER_MAX: Final = 2**63 - 1
"""SQLite's; of limits and offsets."""
DEPTH_MAX: Final = 8
CRITERIA_MAX: Final = 200
_HERE: Final = frozenset(
    {"typeName", "entityFilters", "attributes", "limit", "offset", "sortBy", "sortOrder", "excludeDeletedEntities",
     "includeSubTypes", "includeClassificationAttributes", "includeSubClassifications", "includeHeaderAttributes"}
)  # fmt: skip
_OPERATORS: Final = {
    "=": "=", "eq": "=", "!=": "IS NOT", "neq": "IS NOT", "<": "<", "lt": "<", ">": ">", "gt": ">",
    "<=": "<=", "lte": "<=", ">=": ">=", "gte": ">=", "contains": "contains", "CONTAINS": "contains",
    "startsWith": "startsWith", "STARTSWITH": "startsWith", "begins_with": "startsWith", "BEGINS_WITH": "startsWith",
    "endsWith": "endsWith", "ENDSWITH": "endsWith", "ends_with": "endsWith", "ENDS_WITH": "endsWith",
    "isNull": "isNull", "is_null": "isNull", "notNull": "notNull", "not_null": "notNull",
}  # fmt: skip
"""Atlas' spellings. What is unset is unequal to everything, hence ``IS NOT``."""
_LAST: Final = "\U0010ffff"
_SYSTEM_NUMBERS: Final = frozenset({"__timestamp", "__modificationTimestamp"})
_ENTITY: Final = (
    "e.id, e.guid, e.type, e.qualified_name, e.is_deleted, e.version, e.created_by, e.updated_by, e.created_at, "
    "e.updated_at, e.classifications"
)


@dataclass(frozen=True, slots=True)
class Statement:
    """What is asked of SQLite, and which attributes each row carries after the entity's own columns."""

    sql: str
    values: tuple[Any, ...]
    attributes: tuple[str, ...]
    """In the order of the columns; empty when the last column is the whole JSON."""
    wanted: frozenset[str]


def plan(body: Any, types: TypeRegistry, caller: Caller) -> Statement:
    """The statement of a search request; it finds what the caller may read.

    Raises:
        AtlasError: it can't be read, or asks for what isn't there (501).
    """
    if not isinstance(body, dict):
        raise _bad("a search is an object")
    unknown = sorted(name for name, value in body.items() if name not in _HERE and value not in (None, "", [], {}))
    if unknown:
        raise AtlasError(Code.NOT_HERE, f"The embedded Atlas has no search by {unknown[0]}.")
    kinds = _kinds(body, types)
    limit, offset = min(_number(body, "limit") or LIMIT_DEFAULT, LIMIT_MAX), _number(body, "offset")
    asked = {"qualifiedName", "name", *_strings(body, "attributes")}
    is_narrow = all(asked <= {*SYSTEM, *kind.indexed} for kind in kinds)
    # Narrow: nothing but index columns, so no document is touched, however long. Else as Atlas' headers are.
    wanted = frozenset(asked if is_narrow else asked | {"description", "owner"})
    parts, values = [], list[Any]()
    for kind in kinds:
        sql, given = _of_type(kind, body, wanted if is_narrow else None, caller)
        parts.append(sql)
        values += given
    sql = " UNION ALL ".join(parts)
    if body.get("sortBy"):
        # The rest of the order is the index's own, so that pages neither repeat nor skip.
        by = ["sorted", "9", "1"]  # of a union, columns of its result: created_at and id
        if len(parts) == 1:
            by = list(dict.fromkeys((_column(kinds[0], str(body["sortBy"])), "s.created_at", "s.id")))
        way = "DESC" if body.get("sortOrder") == "DESCENDING" else "ASC"
        sql += " ORDER BY " + ", ".join(f"{column} {way}" for column in by)
    sql += " LIMIT ? OFFSET ?"
    carried = tuple(sorted(wanted - set(SYSTEM))) if is_narrow else ()
    return Statement(sql, (*values, limit, offset), carried, wanted)


def run(connection: sqlite3.Connection, statement: Statement) -> list[dict[str, Any]]:
    """The headers that were found, in order."""
    return [_header(statement, found) for found in connection.execute(statement.sql, statement.values)]


def _header(statement: Statement, found: Sequence[Any]) -> dict[str, Any]:
    row = Row._make((*found[:11], "", None, None))
    if statement.attributes:
        given = dict(zip(statement.attributes, found[11:], strict=False))
        given["qualifiedName"] = row.qualified_name
    else:
        given = orjson.loads(found[11])
    attributes = {name: given[name] for name in statement.wanted if given.get(name) is not None}
    for name in statement.wanted & SYSTEM.keys():
        attributes[name] = getattr(row, SYSTEM[name])
    return header(row.type, row.guid, row.status, attributes, row.classifications)


def _kinds(body: Mapping[str, Any], types: TypeRegistry) -> list[EntityType]:
    name = body.get("typeName")
    if not name:
        raise AtlasError(Code.NOT_HERE, "The embedded Atlas searches by typeName.")
    if name not in types.entity_types:
        raise AtlasError(Code.UNKNOWN_TYPENAME, f"{name}: Unknown/invalid typename")
    kinds = types.with_subtypes(name)
    return kinds if body.get("includeSubTypes", True) else kinds[:1]


def _of_type(
    kind: EntityType, body: Mapping[str, Any], wanted: frozenset[str] | None, caller: Caller
) -> tuple[str, list[Any]]:
    conditions, values = [], list[Any]()
    if body.get("excludeDeletedEntities"):
        conditions.append("s.is_deleted = 0")
    if body.get("entityFilters"):
        count = [0]
        sql, values = _filter(kind, body["entityFilters"], 0, count)
        conditions.append(sql)
    readable, names = sight.condition(caller, kind)
    if readable:
        conditions.append(readable)
        values = [*values, *names]
    if wanted is None:
        columns = ", e.attributes"
    else:
        columns = "".join(f", s.{column_of(name)}" for name in sorted(wanted - set(SYSTEM)))
    if body.get("sortBy"):
        columns += f", {_column(kind, str(body['sortBy']))} AS sorted"
    # CROSS JOIN keeps the index outside: it decides which entities are looked at.
    sql = f"SELECT {_ENTITY}{columns} FROM {table_of(kind.name)} s CROSS JOIN entity e ON e.id = s.id"  # noqa: S608
    return sql + (f" WHERE {' AND '.join(conditions)}" if conditions else ""), values


def _filter(kind: EntityType, body: Any, depth: int, count: list[int]) -> tuple[str, list[Any]]:
    count[0] += 1
    if not isinstance(body, dict) or depth > DEPTH_MAX or count[0] > CRITERIA_MAX:
        raise _bad(f"entityFilters are objects, at most {DEPTH_MAX} deep and {CRITERIA_MAX} of them")
    criteria = body.get("criterion")
    if not criteria:
        return _condition(kind, body)
    joint = str(body.get("condition", "AND")).upper()
    if joint not in {"AND", "OR"} or not isinstance(criteria, list):
        raise _bad("a filter's condition is AND or OR, its criterion a list")
    parts = [_filter(kind, each, depth + 1, count) for each in criteria]
    return f"({f' {joint} '.join(sql for sql, _ in parts)})", [value for _, values in parts for value in values]


def _condition(kind: EntityType, body: Mapping[str, Any]) -> tuple[str, list[Any]]:
    name, given = str(body.get("attributeName", "")), str(body.get("operator", ""))
    operator = _OPERATORS.get(given)
    if operator is None:
        raise AtlasError(Code.NOT_HERE, f"The embedded Atlas has no operator {given or '(none)'}.")
    if operator in {"isNull", "notNull"}:
        return f"{_column(kind, name)} IS {'NOT ' if operator == 'notNull' else ''}NULL", []
    column, value = _column(kind, name), _value(kind, name, body.get("attributeValue"))
    text = _TEXT_OPERATORS.get(operator)
    if text is not None:
        return text(column, str(value))
    # Said, not handed in: SQLite takes an index of a part (index.FEW) only where it sees that nothing else is asked.
    return (f"{column} {operator} 0", []) if value == 0 else (f"{column} {operator} ?", [value])


_TEXT_OPERATORS: Final[Mapping[str, Callable[[str, str], tuple[str, list[Any]]]]] = {
    "contains": lambda column, text: (f"instr({column}, ?) > 0", [text]),
    # A range, so that the index serves it.
    "startsWith": lambda column, text: (f"({column} >= ? AND {column} < ?)", [text, text + _LAST]),
    "endsWith": lambda column, text: (f"substr({column}, -length(?)) = ?", [text, text]),
}


def _column(kind: EntityType, name: str) -> str:
    """Where an attribute stands; an unset number is 0 there, an unset boolean false."""
    if name in SYSTEM:
        return "s.created_at" if name == "__timestamp" else f"e.{SYSTEM[name]}"
    attribute = kind.attributes.get(name)
    if attribute is None:
        raise AtlasError(Code.UNKNOWN_ATTRIBUTE, f"Attribute {name} not found for type {kind.name}")
    if attribute.is_indexed:
        return f"s.{column_of(name)}"
    column = f"json_extract(e.attributes, '$.\"{name}\"')"
    return column if attribute.empty is None else f"coalesce({column}, {int(attribute.empty)})"


def _value(kind: EntityType, name: str, value: Any) -> Any:
    try:
        if name in SYSTEM:
            return _instant(value) if name in _SYSTEM_NUMBERS else str(value)
        checked = kind.attributes[name].check(value)
    except (TypeError, ValueError, OverflowError):
        raise _bad(f"{value!r} isn't a value of {name}") from None
    return checked if isinstance(checked, str | int | float) else str(checked)


def _instant(value: Any) -> int:
    instant = int(value)
    if abs(instant) > NUMBER_MAX:
        raise OverflowError
    return instant


def _strings(body: Mapping[str, Any], name: str) -> list[str]:
    value = body.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _bad(f"{name} is a list of names")
    return value


def _number(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise _bad(f"{name} is a number")
    if value < 0:
        raise AtlasError(Code.BAD_REQUEST, "Limit/offset should be non-negative")
    if value > NUMBER_MAX:
        raise _bad(f"{name} is at most {NUMBER_MAX}")
    return value


def _bad(what: str) -> AtlasError:
    return AtlasError(Code.INVALID_PARAMETERS, f"invalid parameters: {what}")
