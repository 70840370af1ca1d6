"""Typedefs: checked, kept, changed as Atlas allows it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson

from pipeline.local.atlas import index
from pipeline.local.atlas.database import Database, Transaction
from pipeline.local.atlas.errors import AtlasError, Code
from pipeline.local.atlas.type_registry import CATEGORIES, KEPT, TypeRegistry, check_name

TYPES_MAX: Final = 2_000
ATTRIBUTES_MAX: Final = 500


def shown(registry: TypeRegistry) -> dict[str, list[Mapping[str, Any]]]:
    """All of them, by category as Atlas lists them."""
    return {
        key: [body for body in registry.bodies.values() if body["category"] == category]
        for key, category in CATEGORIES.items()
    }


def read_all(body: Any) -> list[dict[str, Any]]:
    """The typedefs of a request, each with its category.

    Raises:
        AtlasError: it can't be read, or holds a category that isn't here (501).
    """
    if not isinstance(body, dict):
        raise AtlasError(Code.INVALID_PARAMETERS, "invalid parameters: typedefs are an object of lists")
    found: list[dict[str, Any]] = []
    for key, category in CATEGORIES.items():
        given = body.get(key) or []
        if given and key not in KEPT:
            raise AtlasError(Code.NOT_HERE, f"The embedded Atlas has no {key}.")
        if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
            raise AtlasError(Code.INVALID_PARAMETERS, f"invalid parameters: {key} is a list of objects")
        for each in given:
            check_name(each.get("name"))
            if len(each.get("attributeDefs") or ()) > ATTRIBUTES_MAX:
                raise AtlasError(Code.INVALID_TYPE_DEFINITION, f"{each['name']} has too many attributes.")
            found.append({**each, "category": category})
    return found


async def load(database: Database) -> TypeRegistry:
    """What is kept. Data of an earlier version gets the indexes that came since."""
    rows = await database.read(lambda connection: connection.execute("SELECT body FROM typedef").fetchall())
    registry = TypeRegistry.of(orjson.loads(body) for (body,) in rows)

    def work(transaction: Transaction) -> None:
        for kind in registry.entity_types.values():
            index.join(transaction.connection, kind)

    await database.write(work)
    return registry


async def keep(
    database: Database,
    registry: TypeRegistry,
    given: Iterable[dict[str, Any]],
    *,
    stamp: Mapping[str, Any],
    new_guid: Callable[[], str],
) -> tuple[TypeRegistry, list[dict[str, Any]]]:
    """Create or replace these types; the new registry, and the types as they are now.

    ``stamp``: who and when. One at a time.

    Raises:
        AtlasError: they don't fit together, or a type in use would lose or change an attribute.
    """
    changed = []
    for body in given:
        before = registry.bodies.get(body["name"])
        first = {"guid": new_guid(), "createdBy": stamp["updatedBy"], "createTime": stamp["updateTime"], "version": 1}
        kept = {key: before[key] for key in ("guid", "createdBy", "createTime", "version")} if before else first
        changed.append({**body, **kept, **stamp, "version": kept["version"] + 1 if before else 1})
    bodies = {**registry.bodies, **{body["name"]: body for body in changed}}
    if len(bodies) > TYPES_MAX or len({name.lower() for name in bodies}) != len(bodies):
        raise AtlasError(
            Code.INVALID_TYPE_DEFINITION, f"There can be {TYPES_MAX} types, and their names differ in more than case."
        )
    after = TypeRegistry.of(bodies.values())
    _check_compatible(registry, after)

    def work(transaction: Transaction) -> None:
        rows = [(body["name"], body["category"], orjson.dumps(body).decode()) for body in changed]
        transaction.connection.executemany(
            "INSERT OR REPLACE INTO typedef (name, category, body) VALUES (?, ?, ?)", rows
        )
        for kind in after.entity_types.values():
            before = registry.entity_types.get(kind.name)
            if before is None or before.indexed != kind.indexed:
                index.ensure(transaction.connection, kind)

    await database.write(work)
    return after, changed


def _check_compatible(before: TypeRegistry, after: TypeRegistry) -> None:
    for name, old in before.entity_types.items():
        new = after.entity_types[name]
        for attribute in old.attributes.values():
            there = new.attributes.get(attribute.name)
            if there is None:
                raise AtlasError(Code.ATTRIBUTE_DELETION, f"{name}.{attribute.name} : attribute delete not supported")
            if there.type_name != attribute.type_name:
                raise AtlasError(Code.ATTRIBUTE_UPDATE, f"{name}.{attribute.name} : attribute update not supported")
        for attribute in new.attributes.values():
            if attribute.name not in old.attributes and not attribute.is_optional:
                raise AtlasError(
                    Code.MANDATORY_ATTRIBUTE_ADDED, f"{name}.{attribute.name} : can not add mandatory attribute"
                )
