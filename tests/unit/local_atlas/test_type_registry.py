"""Types: what they inherit, and what they say of values."""

from typing import Any

import pytest

from pipeline.local.atlas.errors import AtlasError
from pipeline.local.atlas.type_registry import TypeRegistry
from pipeline.store.typedefs import catalog_typedefs, engine_typedefs


def entity(name: str, attributes: list[dict[str, Any]], supers: list[str]) -> dict[str, Any]:
    return {"category": "ENTITY", "name": name, "superTypes": supers, "attributeDefs": attributes}


def attribute(name: str, type_name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "typeName": type_name, "isOptional": True, **more}


ROOT = entity("Root", [attribute("qualifiedName", "string", isOptional=False, isUnique=True)], [])
COLOURS = {"category": "ENUM", "name": "colour", "elementDefs": [{"value": "RED"}, {"value": "BLUE"}]}


def registry(*attributes: dict[str, Any]) -> TypeRegistry:
    return TypeRegistry.of([ROOT, COLOURS, entity("T", list(attributes), ["Root"])])


def test_attributes_are_inherited() -> None:
    types = TypeRegistry.of([ROOT, entity("Mid", [attribute("a", "int")], ["Root"]), entity("T", [], ["Mid"])])
    assert list(types.entity_type("T").attributes) == ["qualifiedName", "a"]
    assert [kind.name for kind in types.with_subtypes("Root")] == ["Root", "Mid", "T"]
    assert types.entity_type("T").indexed == ("qualifiedName",)


@pytest.mark.parametrize(
    ("type_name", "given", "expected"),
    [
        ("string", "x", "x"),
        ("string", 7, "7"),
        ("string", True, "true"),
        ("int", "7", 7),
        ("int", 7.0, 7),
        ("long", 2**62, 2**62),
        ("date", 1795440642654, 1795440642654),
        ("date", "2026-11-23T12:50:42.654Z", 1795438242654),
        ("boolean", "TRUE", True),
        ("double", 1, 1.0),
        ("array<string>", ["a", 1], ["a", "1"]),
        ("array<int>", ["1"], [1]),
        ("map<string,long>", {"a": "1"}, {"a": 1}),
        ("colour", "RED", "RED"),
        ("string", None, None),
    ],
)
def test_values_are_normalised(type_name: str, given: Any, expected: Any) -> None:
    kind = registry(attribute("a", type_name)).entity_type("T")
    assert kind.normalise({"qualifiedName": "q", "a": given}) == {"qualifiedName": "q", "a": expected}


@pytest.mark.parametrize(
    ("type_name", "given"),
    [
        ("string", {}),
        ("string", ["a"]),
        ("int", 2**31),
        ("int", 1.5),
        ("int", True),
        ("int", "x"),
        ("int", float("inf")),
        ("long", 2**63),
        ("date", "yesterday"),
        ("date", "2026-13-45T00:00:00Z"),
        ("boolean", 1),
        ("array<string>", "a"),
        ("array<int>", ["x"]),
        ("map<string,string>", ["a"]),
        ("colour", "GREEN"),
        ("colour", ["RED"]),
    ],
)
def test_values_of_another_type_are_refused(type_name: str, given: Any) -> None:
    kind = registry(attribute("a", type_name)).entity_type("T")
    with pytest.raises(AtlasError, match=r"T\.a: invalid value"):
        kind.normalise({"qualifiedName": "q", "a": given})


def test_what_is_mandatory_must_be_there_unless_the_update_is_partial() -> None:
    kind = registry(attribute("a", "int")).entity_type("T")
    for given in ({"a": 1}, {"qualifiedName": None}):
        with pytest.raises(AtlasError, match=r"T\.qualifiedName: mandatory"):
            kind.normalise(given)
    assert kind.normalise({"a": 1}, is_partial=True) == {"a": 1}
    with pytest.raises(AtlasError, match="mandatory"):
        kind.normalise({"qualifiedName": None}, is_partial=True)


@pytest.mark.parametrize(
    ("bodies", "status"),
    [
        ([entity("T", [], [])], 400),
        ([entity("T", [], ["Nobody"])], 400),
        ([ROOT, entity("A", [], ["B"]), entity("B", [], ["A"])], 400),
        ([ROOT, entity("T", [attribute("a", "Root")], ["Root"])], 501),
        ([ROOT, entity("T", [attribute("a", "array<Root>")], ["Root"])], 501),
        ([ROOT, entity("T", [attribute("a", "string", isUnique=True)], ["Root"])], 501),
        ([ROOT, entity("T", [attribute('a" TEXT); DROP TABLE entity; --', "string")], ["Root"])], 400),
    ],
)
def test_types_that_do_not_fit_are_refused(bodies: list[dict[str, Any]], status: int) -> None:
    with pytest.raises(AtlasError) as refused:
        TypeRegistry.of(bodies)
    assert refused.value.status == status


def test_our_own_types_fit() -> None:
    shipped = [*engine_typedefs()["entityDefs"], *catalog_typedefs()["entityDefs"]]
    types = TypeRegistry.of(shipped)
    run = types.entity_type("WorkflowRun")
    assert not run.attributes["workflowRunConfig"].is_indexed, "a real Atlas may shorten indexed texts"
    assert {name for name, each in run.attributes.items() if each.is_told} >= {"workflowRunConfig", "workflowRunWakeAt"}
