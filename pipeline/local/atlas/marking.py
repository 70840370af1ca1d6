"""Classifications of an entity that exists, as Atlas' own calls for them: its checks, codes and events."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from pipeline.local.atlas import notifications
from pipeline.local.atlas.errors import AtlasError, Code
from pipeline.local.atlas.records import Row
from pipeline.local.atlas.type_registry import EntityType, TypeRegistry

Tags = list[dict[str, Any]]
"""The classifications of an entity as they are kept: with attributes, ``propagate`` and whose they are."""
_OPERATIONS: Final = {
    "ADD": b"CLASSIFICATION_ADD",
    "UPDATE": b"CLASSIFICATION_UPDATE",
    "DELETE": b"CLASSIFICATION_DELETE",
}


def tags_of(row: Row) -> Tags:
    """What the row has."""
    return orjson.loads(row.classifications) if row.classifications else []


def read_marks(body: Any, types: TypeRegistry) -> list[dict[str, Any]]:
    """The classifications of a request, their attributes in their own kinds; attributes nobody knows are left out.

    Raises:
        AtlasError: they aren't classifications, or a value isn't of its attribute's type.
    """
    if not isinstance(body, list) or not body or not all(isinstance(each, dict) for each in body):
        raise AtlasError(Code.INVALID_PARAMETERS, "invalid parameters: classification(s) not specified")
    found = []
    for each in body:
        name = each.get("typeName")
        if not types.knows_classification(name):
            raise AtlasError(Code.CLASSIFICATION_NOT_FOUND, f"Given classification {name} was invalid")
        given = each.get("attributes") or {}
        found.append({**each, "attributes": types.classification_values(name, given)})
    return found


def added(row: Row, kind: EntityType, given: Sequence[Mapping[str, Any]], types: TypeRegistry) -> Tags:
    """The entity's classifications with these, which it hasn't yet."""
    tags = tags_of(row)
    for each in given:
        name = each["typeName"]
        only = types.bodies[name].get("entityTypes") or ()
        if only and not {kind.name, *kind.super_types} & set(only):
            raise AtlasError(
                Code.CLASSIFICATION_RESTRICTED,
                f"Entity (guid='{row.guid}',typename='{kind.name}') cannot be classified by Classification '{name}', "
                f"because '{kind.name}' is not in the ClassificationDefs restrictions.",
            )
        if any(tag["typeName"] == name for tag in tags):
            raise AtlasError(
                Code.INVALID_PARAMETERS,
                f"invalid parameters: entity: {row.guid}, already associated with classification: {name}",
            )
        propagate = each.get("propagate")
        tags.append(
            {
                "typeName": name,
                "attributes": each["attributes"],
                "entityGuid": row.guid,
                "entityStatus": "ACTIVE",
                "propagate": True if propagate is None else bool(propagate),
                "removePropagationsOnEntityDelete": False,
            }
        )
    return tags


def changed(row: Row, given: Sequence[Mapping[str, Any]]) -> Tags:
    """The entity's classifications with these attributes; what isn't named keeps its value."""
    tags = {tag["typeName"]: tag for tag in tags_of(row)}
    for each in given:
        tag = tags.get(each["typeName"])
        if tag is None:
            raise _not_on(each["typeName"])
        tag["attributes"] = {**(tag.get("attributes") or {}), **each["attributes"]}
        if each.get("propagate") is not None:
            tag["propagate"] = bool(each["propagate"])
    return list(tags.values())


def taken_off(row: Row, name: str, types: TypeRegistry) -> Tags:
    """The entity's classifications without that one."""
    if not types.knows_classification(name):
        raise AtlasError(Code.TYPE_NAME_INVALID, f"Type CLASSIFICATION with name {name} does not exist")
    tags = tags_of(row)
    if not tags:
        raise AtlasError(Code.CLASSIFICATIONS_NONE, f"No classifications associated with entity with guid: {row.guid}")
    if all(tag["typeName"] != name for tag in tags):
        raise _not_on(name)
    return [tag for tag in tags if tag["typeName"] != name]


def told(kind: EntityType, row: Row, operation: str, tags: Tags, at: int) -> list[bytes]:
    """The notification: all notified attributes, and the classifications as they are now."""
    attributes: dict[str, Any] = orjson.loads(row.attributes)
    notified = {name: value for name, value in attributes.items() if kind.attributes[name].is_told}
    return notifications.marked(_OPERATIONS[operation], kind.name, row.guid, notified, tags, at)


def _not_on(name: str) -> AtlasError:
    return AtlasError(Code.CLASSIFICATION_NOT_ON, f"Classification {name} is not associated with entity")
