"""Plain writes: what pyatlan's models would send, known without importing them.

They are nearly all that is ever written, so a process beside the embedded Atlas never loads pyatlan, which takes
seconds and 135 MiB (docs/adr/0034-plain-writes-skip-the-model.md).
"""

from collections.abc import Mapping
from typing import Any, Final

from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.store.typedefs import engine_typedefs

OF_THE_MODEL: Final = frozenset(
    {"qualified_name", "meanings", "relationshipAttributes", "relationship_attributes",
     "userDefRelationshipTo", "user_def_relationship_to", "userDefRelationshipFrom", "user_def_relationship_from"}
)  # fmt: skip
"""What the model of an asset declares itself, beside its qualified name; any other attribute it lets pass as it is."""
_PLAIN: Final = {"string": str, "long": int, "int": int, "date": int}


def _kinds() -> dict[str, dict[str, type]]:
    of_all = {"name": str, "description": str}
    return {
        body["name"]: of_all | {each["name"]: _PLAIN[each["typeName"]] for each in body["attributeDefs"]}
        for body in engine_typedefs()["entityDefs"]
        if body["name"] in types.ENGINE_TYPES
    }


KINDS: Final = _kinds()
"""By type, by the names on the wire: what a value must be so that the model leaves it as it is."""


def plain_body(write: EntityWrite, guid: str) -> dict[str, Any] | None:
    """The entity as ``asset.save`` would send it; None where only its model can say."""
    kinds = KINDS.get(write.type_name)
    values = _of_an_asset(write) if kinds is None else _of_our_own(write, kinds)
    if values is None:
        return None
    attributes = {**values, "qualifiedName": write.qualified_name}  # whatever the attributes call it
    body: dict[str, Any] = {"typeName": write.type_name, "guid": guid, "attributes": attributes}
    if write.custom_attributes is not None:
        body["customAttributes"] = dict(write.custom_attributes)
    if write.terms is not None:
        terms = [{"guid": term, "typeName": types.TERM} for term in write.terms]
        body["relationshipAttributes"] = {types.MEANINGS: terms}
    return body | {"businessAttributes": None}  # pyatlan says so, too; None is what a save leaves alone


def _of_our_own(write: EntityWrite, kinds: Mapping[str, type]) -> dict[str, Any] | None:
    if write.unset or write.custom_attributes is not None or write.terms is not None:
        return None
    values = {name: value for name, value in write.attributes.items() if value is not None}
    # No subclass: True is an int, and an enum's member a str.
    return values if all(type(value) is kinds.get(name) for name, value in values.items()) else None


def _of_an_asset(write: EntityWrite) -> dict[str, Any] | None:
    values = {name: value for name, value in write.attributes.items() if value is not None}
    values |= dict.fromkeys(write.unset or ())
    return values if OF_THE_MODEL.isdisjoint(values) else None
