"""What a type says of its entities, put together from its typedef and those it inherits from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.store import types

_LIST: Final = "array<"


@dataclass(frozen=True, slots=True)
class Kind:
    """An entity type: its attributes with the names of their types, which of them are mandatory, what it inherits."""

    name: str
    attributes: Mapping[str, str]
    mandatory: frozenset[str]
    super_types: frozenset[str]

    @property
    def is_engines(self) -> bool:
        """Whether it is one of the engine's own types, or inherits from one: blocks neither read nor change these."""
        return not types.ENGINE_TYPES.isdisjoint({self.name, *self.super_types})

    def is_list(self, attribute: str) -> bool:
        """Whether the attribute holds many values."""
        return self.attributes.get(attribute, "").startswith(_LIST)


def kind_of(name: str, bodies: Mapping[str, Mapping[str, Any]]) -> Kind | None:
    """The type of that name; ``bodies`` are typedefs by name. None where it, or one it inherits from, isn't there."""
    line = [name]
    attributes: dict[str, str] = {}
    mandatory: set[str] = set()
    for each in line:  # grows while it is walked
        body = bodies.get(each)
        if body is None:
            return None
        for definition in body.get("attributeDefs") or ():
            attributes.setdefault(definition["name"], str(definition["typeName"]))
            if not definition.get("isOptional", True):
                mandatory.add(definition["name"])
        line += [above for above in body.get("superTypes") or () if above not in line]
    return Kind(name, attributes, frozenset(mandatory), frozenset(line[1:]))
