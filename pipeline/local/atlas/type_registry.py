"""The types as the server knows them: a value made from typedefs, and what it says about an entity's attributes.

What isn't here (typedefs of relationships, structs, references between entities) is refused when a type is registered.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.local.atlas.errors import AtlasError, Code

CATEGORIES: Final = {
    "enumDefs": "ENUM",
    "structDefs": "STRUCT",
    "classificationDefs": "CLASSIFICATION",
    "entityDefs": "ENTITY",
    "relationshipDefs": "RELATIONSHIP",
    "businessMetadataDefs": "BUSINESS_METADATA",
}
KEPT: Final = ("enumDefs", "classificationDefs", "entityDefs")
TOLD_ALWAYS: Final = frozenset({"qualifiedName", "name", "description", "owner", "createTime"})
"""Attributes that a notification carries without ``includeInNotification``."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_ ]{0,199}")
_INTEGERS: Final = {"byte": 8, "short": 16, "int": 32, "long": 64, "biginteger": 64, "date": 64}
_FLOATS: Final = frozenset({"float", "double", "bigdecimal"})
_COLLECTION: Final = re.compile(r"(array|map)<(.+)>")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a type. ``empty`` is what an unset one reads as in comparisons."""

    name: str
    type_name: str
    is_optional: bool
    is_indexed: bool
    is_told: bool
    check: Callable[[Any], Any]

    @property
    def empty(self) -> Any:
        """What stands in the index for an unset value: 0 of numbers and dates, false of booleans."""
        if self.type_name == "boolean":
            return False
        return 0 if self.is_number else None

    @property
    def is_number(self) -> bool:
        """Integers, decimals and dates."""
        return self.type_name in _INTEGERS or self.type_name in _FLOATS


@dataclass(frozen=True, slots=True)
class EntityType:
    """A type with all it inherits."""

    name: str
    attributes: Mapping[str, Attribute]
    super_types: frozenset[str]
    """All of them, itself not among them."""
    indexed: tuple[str, ...]

    def normalise(self, given: Mapping[str, Any], *, is_partial: bool = False) -> dict[str, Any]:
        """The attributes that the type has, in its own kinds; others are left out, as Atlas does.

        Raises:
            AtlasError: a mandatory one is missing (unless ``is_partial``), or a value isn't of its attribute's type.
        """
        known = self.attributes
        values = {name: self._value(known[name], value) for name, value in given.items() if name in known}
        for attribute in known.values():
            is_missing = values.get(attribute.name, "" if is_partial else None) is None
            if not attribute.is_optional and is_missing:
                raise AtlasError(
                    Code.INVALID_ENTITY,
                    "Invalid instance creation/updation parameters passed : "
                    f"{self.name}.{attribute.name}: mandatory attribute value missing in type {self.name}",
                )
        return values

    def _value(self, attribute: Attribute, value: Any) -> Any:
        if value is None:
            return None
        try:
            return attribute.check(value)
        except (TypeError, ValueError, OverflowError):
            raise AtlasError(
                Code.INVALID_ENTITY,
                "Invalid instance creation/updation parameters passed : "
                f"{self.name}.{attribute.name}: invalid value for type {attribute.type_name}",
            ) from None


@dataclass(frozen=True, slots=True)
class TypeRegistry:
    """All types; a value, a changed registry is another one."""

    bodies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Typedefs as they were registered, by name; each with its ``category``."""
    entity_types: Mapping[str, EntityType] = field(default_factory=dict)

    @classmethod
    def of(cls, bodies: Iterable[Mapping[str, Any]]) -> "TypeRegistry":
        """The registry of these typedefs.

        Raises:
            AtlasError: they don't fit together.
        """
        by_name = {body["name"]: body for body in bodies}
        enums = enums_of(by_name)
        entities = {name: body for name, body in by_name.items() if body["category"] == "ENTITY"}
        types = {name: _entity_type(name, entities, enums) for name in entities}
        return cls(by_name, types)

    def entity_type(self, name: Any) -> EntityType:
        """The entity type of that name.

        Raises:
            AtlasError: 400, there is none.
        """
        found = self.entity_types.get(name) if isinstance(name, str) else None
        if found is None:
            raise AtlasError(Code.TYPE_NAME_INVALID, f"Type ENTITY with name {name} does not exist")
        return found

    def with_subtypes(self, name: Any) -> list[EntityType]:
        """The type first, then those that inherit from it, by name.

        Raises:
            AtlasError: 400, there is none.
        """
        wanted = self.entity_type(name)
        return [wanted, *(kind for _, kind in sorted(self.entity_types.items()) if wanted.name in kind.super_types)]

    def classification_values(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What was given of a classification's attributes, in their own kinds; others are left out, as Atlas does.

        Raises:
            AtlasError: 400, a value isn't of its attribute's type.
        """
        enums = enums_of(self.bodies)
        values = {}
        for kind in _ancestry(name, self.bodies, ()):
            for body in self.bodies[kind].get("attributeDefs") or ():
                attribute = _attribute(kind, body, enums)
                if given.get(attribute.name) is None or attribute.name in values:
                    continue
                try:
                    values[attribute.name] = attribute.check(given[attribute.name])
                except (TypeError, ValueError, OverflowError):
                    raise AtlasError(
                        Code.INVALID_PARAMETERS,
                        f"invalid parameters: {name}.{attribute.name}={given[attribute.name]}: invalid value for type "
                        f"{attribute.type_name}",
                    ) from None
        return values

    def knows_classification(self, name: Any) -> bool:
        """Whether a classification of that name is registered."""
        return isinstance(name, str) and self.bodies.get(name, {}).get("category") == "CLASSIFICATION"


def enums_of(bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    """The members of each enum."""
    return {
        name: frozenset(str(element["value"]) for element in body.get("elementDefs") or ())
        for name, body in bodies.items()
        if body["category"] == "ENUM"
    }


def check_name(name: Any) -> str:
    """A type's or attribute's name; letters, digits, ``_`` and spaces only.

    Raises:
        AtlasError: it isn't one.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise AtlasError(Code.INVALID_TYPE_DEFINITION, f"Invalid type definition: {name!r} can't be a name here.")
    return name


def _entity_type(
    name: str, entities: Mapping[str, Mapping[str, Any]], enums: Mapping[str, frozenset[str]]
) -> EntityType:
    line = _ancestry(name, entities, ())
    attributes: dict[str, Attribute] = {}
    for kind in reversed(line):
        for body in entities[kind].get("attributeDefs") or ():
            attribute = _attribute(kind, body, enums)
            attributes[attribute.name] = attribute
    if "qualifiedName" not in attributes:
        raise AtlasError(
            Code.INVALID_TYPE_DEFINITION,
            f"Invalid type definition: {name} has no qualifiedName; give it a super type that has one (Referenceable).",
        )
    indexed = tuple(sorted(each.name for each in attributes.values() if each.is_indexed))
    return EntityType(name, attributes, frozenset(line[1:]), indexed)


def _ancestry(name: str, entities: Mapping[str, Mapping[str, Any]], seen: tuple[str, ...]) -> list[str]:
    """The type, then its super types, nearest first, each once."""
    if name in seen:
        raise AtlasError(Code.INVALID_TYPE_DEFINITION, f"Invalid type definition: {name} is its own super type.")
    if name not in entities:
        raise AtlasError(Code.INVALID_TYPE_DEFINITION, f"Invalid type definition: there is no super type {name}.")
    line = [name]
    for above in entities[name].get("superTypes") or ():
        line += _ancestry(above, entities, (*seen, name))
    return list(dict.fromkeys(line))


def _attribute(kind: str, body: Mapping[str, Any], enums: Mapping[str, frozenset[str]]) -> Attribute:
    name, type_name = check_name(body.get("name")), str(body.get("typeName"))
    is_plain = not type_name.startswith(("array<", "map<"))
    if body.get("isUnique") and name != "qualifiedName":
        raise AtlasError(
            Code.NOT_HERE, f"{kind}.{name}: the embedded Atlas knows no unique attribute but qualifiedName."
        )
    return Attribute(
        name=name,
        type_name=type_name,
        is_optional=bool(body.get("isOptional", True)),
        # A boolean's index would select nothing, and SQLite would give a number back.
        is_indexed=is_plain and type_name != "boolean" and (bool(body.get("isIndexable")) or name == "qualifiedName"),
        is_told=bool(body.get("includeInNotification")) or name in TOLD_ALWAYS,
        check=_check(f"{kind}.{name}", type_name, enums),
    )


def _check(where: str, type_name: str, enums: Mapping[str, frozenset[str]]) -> Callable[[Any], Any]:
    collection = _COLLECTION.fullmatch(type_name)
    if collection is not None:
        return _collection(where, collection[1], collection[2], enums)
    if type_name == "date":
        return _date
    if type_name in _INTEGERS:
        return _integer(_INTEGERS[type_name])
    if type_name in _FLOATS:
        return _decimal
    if type_name in enums:
        return _member(enums[type_name])
    checks: dict[str, Callable[[Any], Any]] = {"string": _text, "boolean": _boolean}
    if type_name not in checks:
        raise AtlasError(
            Code.NOT_HERE,
            f"{where}: the embedded Atlas has no attributes of type {type_name}; numbers, texts, dates, enums, and "
            "arrays and maps of them it has.",
        )
    return checks[type_name]


def _collection(where: str, kind: str, inner: str, enums: Mapping[str, frozenset[str]]) -> Callable[[Any], Any]:
    if kind == "array":
        of_element = _check(where, inner.strip(), enums)

        def array(value: Any) -> Any:
            if not isinstance(value, list):
                raise TypeError
            return [of_element(element) for element in value]

        return array
    of_value = _check(where, inner.partition(",")[2].strip(), enums)

    def mapping(value: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError
        return {str(key): of_value(element) for key, element in value.items()}

    return mapping


def _integer(bits: int) -> Callable[[Any], Any]:
    bound = 1 << (bits - 1)

    def check(value: Any) -> int:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise TypeError
        number = int(value)
        if not -bound <= number < bound:
            raise OverflowError
        return number

    return check


def _decimal(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _date(value: Any) -> int:
    """Milliseconds; Atlas also takes ISO 8601 in UTC."""
    if isinstance(value, str) and "T" in value:
        return round(dt.datetime.fromisoformat(value).timestamp() * 1000)
    return _integer(64)(value)  # type: ignore[no-any-return]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise TypeError


def _boolean(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise TypeError
    return value


def _member(members: frozenset[str]) -> Callable[[Any], Any]:
    def check(value: Any) -> str:
        if value not in members:
            raise ValueError
        return str(value)

    return check
