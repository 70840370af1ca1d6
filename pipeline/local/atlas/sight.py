"""Who may read what: the catalog and the workflows everybody; of the engine's other entities, those they are in.

The API shows more (an author the runs of their workflows, whoever is asked the run they are asked about), since it
knows what belongs together.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from pipeline.local.atlas.index import column_of
from pipeline.local.atlas.records import Row
from pipeline.local.atlas.rights import Caller
from pipeline.local.atlas.type_registry import EntityType
from pipeline.store import types

OPEN_TYPES: Final = frozenset({types.WORKFLOW})
"""Of the engine's types, those that everybody may read."""
_NAMED_IN: Final[Mapping[str, tuple[str, ...]]] = {
    types.RUN: (types.RUN_CREATED_BY,),
    types.ITEM: (types.ITEM_RECIPIENT, types.ITEM_REQUESTER),
}
"""Whoever one of these attributes names may read it, and whoever created it."""


def may_read(caller: Caller, row: Row) -> bool:
    """Whether they may; of the engine and of administrators nothing is asked."""
    if caller.is_admin or not _is_closed(row.type) or row.created_by == caller.name:
        return True
    names = _NAMED_IN.get(row.type, ())
    attributes: dict[str, Any] = orjson.loads(row.attributes) if names else {}
    return any(attributes.get(name) in _as(caller, name) for name in names)


def condition(caller: Caller, kind: EntityType) -> tuple[str, list[str]]:
    """The same in SQL, over the tables ``s`` and ``e`` of a search; empty where everything may be read."""
    if caller.is_admin or not _is_closed(kind.name):
        return "", []
    named: list[tuple[str, tuple[str, ...]]] = [("e.created_by", (caller.name,))]
    named += [(_column(kind, name), _as(caller, name)) for name in _NAMED_IN.get(kind.name, ())]
    pairs = [(column, value) for column, values in named for value in values]
    return f"({' OR '.join(f'{column} = ?' for column, _ in pairs)})", [value for _, value in pairs]


def _as(caller: Caller, attribute: str) -> tuple[str, ...]:
    """Whom that attribute names where it names the caller: a recipient may be a group they are in."""
    return caller.asked_as if attribute == types.ITEM_RECIPIENT else (caller.name,)


def _column(kind: EntityType, name: str) -> str:
    return f"s.{column_of(name)}" if name in kind.indexed else f"json_extract(e.attributes, '$.\"{name}\"')"


def _is_closed(type_name: str) -> bool:
    return type_name in types.ENGINE_TYPES and type_name not in OPEN_TYPES
