"""Inputs against schemas, and schemas themselves."""

from typing import Any

import pytest

from pipeline.spec.input_schema import check_input, check_schema

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "minLength": 3},
        "days": {"type": "integer", "minimum": 1, "maximum": 30},
        "level": {"enum": ["read", "write"]},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}, "uniqueItems": True},
        "owner": {"$ref": "#/$defs/person"},
    },
    "required": ["reason"],
    "additionalProperties": False,
    "$defs": {"person": {"type": "object", "required": ["name", "mail"]}},
}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"reason": "because", "days": 3, "level": "read", "tags": ["a"], "owner": {"name": 1, "mail": 2}}, []),
        ({}, [("/input/reason", "Input.Required", "`reason` is missing.")]),
        ({"reason": "x"}, [("/input/reason", "Input.MinLength", "`reason` is shorter than 3 characters.")]),
        ({"reason": 5}, [("/input/reason", "Input.Type", "`reason` must be of type string.")]),
        (
            {"reason": "why", "days": 0.5},
            [
                ("/input/days", "Input.Minimum", "`days` is less than 1."),
                ("/input/days", "Input.Type", "`days` must be of type integer."),
            ],
        ),
        ({"reason": "why", "level": "own"}, [("/input/level", "Input.Enum", '`level` must be "read" or "write".')]),
        (
            {"reason": "why", "tags": ["a", "B"]},
            [("/input/tags/1", "Input.Pattern", "`1` doesn't match the pattern `^[a-z]+$`.")],
        ),
        ({"reason": "why", "tags": ["a", "a"]}, [("/input/tags", "Input.UniqueItems", "`tags` has an element twice.")]),
        (
            {"reason": "why", "owner": {}},
            [
                ("/input/owner/mail", "Input.Required", "`mail` is missing."),
                ("/input/owner/name", "Input.Required", "`name` is missing."),
            ],
        ),
        (
            {"reason": "why", "more": 1},
            [("/input", "Input.AdditionalProperties", "The input has members that aren't known: more.")],
        ),
        ([], [("/input", "Input.Type", "The input must be an object.")]),
        (
            {"reason": 2**70},
            [("/input", "Input.Json", "The input isn't JSON, has too large numbers, or is nested too deep.")],
        ),
        ({"reason": "x" * 70_000}, [("/input", "Input.TooLarge", "The input is larger than 65536 bytes.")]),
    ],
)
def test_check_input(value: Any, found: list[tuple[str, str, str]]) -> None:
    assert sorted((p.pointer, p.code, p.detail) for p in check_input(SCHEMA, value)) == found


def test_without_a_schema_any_object_is_right() -> None:
    assert check_input(None, {"a": 1}) == []
    assert check_input(None, "a")[0].code == "Input.Type"


@pytest.mark.parametrize(
    ("schema", "pointer", "sentence"),
    [
        ("string", "/input", "The input's schema must be an object."),
        ({"type": "strin"}, "/input/type", "This isn't JSON Schema"),
        ({"properties": {"a": {"minLength": -1}}}, "/input/properties/a/minLength", "This isn't JSON Schema"),
        ({"$ref": "https://example.org/x.json"}, "/input/$ref", "refer to its own parts only"),
        ({"$ref": "#/$defs/nope"}, "/input/$ref", "refer to its own parts only"),
        ({"properties": {"a": {"$ref": "other.json#"}}}, "/input/properties/a/$ref", "refer to its own parts only"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/input/$schema", "must be of JSON Schema 2020-12"),
        ({"patternProperties": {"a": True}}, "/input/patternProperties", "isn't available in this version"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "/input/properties/a/pattern", "isn't a regular expression"),
        ({"description": "x" * 40_000}, "/input", "larger than 32768 bytes"),
    ],
)
def test_check_schema(schema: Any, pointer: str, sentence: str) -> None:
    (problem, *_) = check_schema(schema)
    assert (problem.pointer, problem.code) == (pointer, "Spec.InputSchema")
    assert sentence in problem.detail


def test_right_schemas() -> None:
    assert check_schema(SCHEMA) == []
    assert check_schema(True) == []
    assert check_schema({"properties": {"pattern": {"type": "string"}, "$id": {"type": "string"}}}) == []


def test_hostile_schemas_end() -> None:
    fan: dict[str, Any] = {
        "$ref": "#/$defs/d0",
        "$defs": {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)} | {"d40": True},
    }
    loop = {"$ref": "#"}
    for schema in (fan, loop):
        assert check_schema(schema) == []
        assert [problem.code for problem in check_input(schema, {})] == ["Input.TooComplex"]
    slow = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    assert check_schema(slow) == []
    assert [problem.code for problem in check_input(slow, {"a": "a" * 50_000 + "b"})] == ["Input.Pattern"]
