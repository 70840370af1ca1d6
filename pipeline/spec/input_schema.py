"""The schema of a workflow's input (JSON Schema 2020-12) and the check of an input against it.

Nothing is fetched, patterns take linear time (Rust's engine, through pydantic), and the work is bounded.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as Violation
from jsonschema.validators import extend
from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError
from referencing.exceptions import Unresolvable

from pipeline.core.errors import BlocklineError, Problem
from pipeline.core.limits import INPUT_BYTES_MAX, INPUT_SCHEMA_BYTES_MAX, SCHEMA_STEPS_MAX
from pipeline.spec.json_text import is_deep, size_bytes
from pipeline.spec.pointers import child, shown

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REFERENCES: Final = ("$ref", "$dynamicRef")
_REFUSED: Final = ("patternProperties", "$id", "$vocabulary")
_PATTERNS_KEPT_MAX: Final = 256
_BOUNDS: Final = {
    "minLength": "is shorter than {} characters",
    "maxLength": "is longer than {} characters",
    "minimum": "is less than {}",
    "maximum": "is more than {}",
    "exclusiveMinimum": "isn't more than {}",
    "exclusiveMaximum": "isn't less than {}",
    "multipleOf": "isn't a multiple of {}",
    "minItems": "has fewer than {} elements",
    "maxItems": "has more than {} elements",
    "minProperties": "has fewer than {} members",
    "maxProperties": "has more than {} members",
}
_OTHERS: Final = {
    "uniqueItems": "has an element twice",
    "anyOf": "fits none of what is allowed here",
    "oneOf": "must fit exactly one of what is allowed here",
    "not": "is what isn't allowed here",
    "contains": "lacks an element that is needed",
    "if": "doesn't fit",
}


class _TooMuchError(BlocklineError):
    """The check of one input takes more steps than allowed."""


def check_schema(schema: Any, pointer: str = "/input", *, what: str = "input") -> list[Problem]:
    """Everything that is wrong with the schema itself; pointers start at ``pointer``, sentences speak of ``what``."""
    if not isinstance(schema, dict | bool):
        return [Problem(pointer, "Spec.InputSchema", f"The {what}'s schema must be an object.")]
    size = None if is_deep(schema) else size_bytes(schema)
    if size is None or size > INPUT_SCHEMA_BYTES_MAX:
        detail = f"The {what}'s schema is larger than {INPUT_SCHEMA_BYTES_MAX} bytes."
        return [Problem(pointer, "Spec.InputSchema", detail)]
    problems = [
        Problem(_pointer(pointer, error), "Spec.InputSchema", f"This isn't JSON Schema: {shown(error.message, 160)}.")
        for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema)
    ]
    return problems or [
        Problem(where, "Spec.InputSchema", detail) for where, detail in _refused(schema, pointer, schema)
    ]


def _refused(schema: object, pointer: str, root: Any) -> Iterator[tuple[str, str]]:
    """What is valid JSON Schema but not taken here; also looks into examples and the like, which costs nothing."""
    if isinstance(schema, list):
        for index, inner in enumerate(schema):
            yield from _refused(inner, child(pointer, index), root)
    if not isinstance(schema, dict):
        return
    for key, inner in schema.items():
        where = child(pointer, key)
        if key in _REFERENCES and isinstance(inner, str):
            if not _resolves(inner, root):
                yield where, "A schema may refer to its own parts only, such as `#/$defs/name`."
        elif key in _REFUSED and not pointer.endswith(("/properties", "/$defs")):
            yield where, f"`{key}` isn't available in this version."
        elif key == "$schema" and inner != DIALECT:
            yield where, f"The schema must be of JSON Schema 2020-12 (`{DIALECT}`)."
        elif key == "pattern" and isinstance(inner, str) and _pattern(inner) is None:
            yield where, "The pattern isn't a regular expression, or one that looks ahead or back."
        else:
            yield from _refused(inner, where, root)


def _resolves(reference: str, root: Any) -> bool:
    if reference == "#":
        return True
    target = root
    for part in reference.removeprefix("#/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, dict) or name not in target:
            return False
        target = target[name]
    return reference.startswith("#/")


@lru_cache(maxsize=_PATTERNS_KEPT_MAX)
def _pattern(pattern: str) -> TypeAdapter[str] | None:
    try:
        return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
    except SchemaError:
        return None


def check_input(schema: Any, value: Any, pointer: str = "/input", *, what: str = "input") -> list[Problem]:
    """What is wrong with an input; pointers start at ``pointer``, sentences speak of ``what``.

    ``schema`` has passed :func:`check_schema`; without one (``None``) any object is right.
    """
    if unfit := _unfit(value, what):
        return [Problem(pointer, *unfit)]
    if schema is None:
        return []
    try:
        violations = list(_validator_type()(schema).iter_errors(value))
    except (_TooMuchError, RecursionError):
        return [Problem(pointer, "Input.TooComplex", f"Checking the {what} against its schema takes too long.")]
    except Unresolvable:
        return [Problem(pointer, "Input.Schema", f"The {what}'s schema refers to a part that isn't there.")]
    return [problem for violation in violations for problem in _problems(pointer, violation, what)]


def _unfit(value: object, what: str) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return "Input.Type", f"The {what} must be an object."
    size = None if is_deep(value) else size_bytes(value)
    if size is None:
        return "Input.Json", f"The {what} isn't JSON, has too large numbers, or is nested too deep."
    if size > INPUT_BYTES_MAX:
        return "Input.TooLarge", f"The {what} is larger than {INPUT_BYTES_MAX} bytes."
    return None


def _validator_type() -> Callable[[Any], Any]:
    """A validator whose keywords count their steps together; one for each check."""
    steps = 0

    def counted(keyword: Any) -> Any:
        def apply(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Violation]:
            nonlocal steps
            steps += 1
            if steps > SCHEMA_STEPS_MAX:
                raise _TooMuchError("The check takes too long.")
            yield from keyword(validator, value, instance, schema) or ()

        return apply

    own = {"pattern": _match, "uniqueItems": _unique}
    keywords = {name: counted(own.get(name, keyword)) for name, keyword in Draft202012Validator.VALIDATORS.items()}
    validator_type: Callable[[Any], Any] = extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]  # untyped there
    return validator_type


def _match(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Violation]:
    adapter = _pattern(pattern)
    if not isinstance(instance, str) or adapter is None:
        return
    try:
        adapter.validate_python(instance)
    except ValidationError:
        yield Violation(f"doesn't match the pattern {pattern}")


def _unique(_validator: Any, is_unique: Any, instance: Any, _schema: Any) -> Iterator[Violation]:
    if not is_unique or not isinstance(instance, list):
        return
    if len({orjson.dumps(_numbers_alike(item), option=orjson.OPT_SORT_KEYS) for item in instance}) < len(instance):
        yield Violation("has an element twice")


def _numbers_alike(value: Any) -> Any:
    """1.0 is 1 in JSON Schema."""
    if isinstance(value, float) and value.is_integer():
        return int(value) if abs(value) < 2**53 else value
    if isinstance(value, dict):
        return {key: _numbers_alike(inner) for key, inner in value.items()}
    return [_numbers_alike(inner) for inner in value] if isinstance(value, list) else value


def _pointer(start: str, violation: Violation) -> str:
    pointer = start
    for part in violation.absolute_path:
        pointer = child(pointer, part)
    return pointer


def _problems(start: str, violation: Violation, what: str) -> Iterator[Problem]:
    pointer = _pointer(start, violation)
    name = f"`{shown(pointer.rpartition('/')[2])}`" if pointer != start else f"The {what}"
    keyword = str(violation.validator)
    expected: Any = violation.validator_value
    code = f"Input.{keyword[:1].upper()}{keyword[1:]}"
    if keyword == "required":
        instance: Any = violation.instance
        missing = [key for key in expected if key not in instance and f"{key!r} is" in violation.message]
        for key in missing:
            yield Problem(child(pointer, key), "Input.Required", f"`{shown(key)}` is missing.")
        return
    yield Problem(pointer, code, f"{name} {_clause(keyword, expected, violation)}.")


def _clause(keyword: str, expected: Any, violation: Violation) -> str:
    if sentence := _BOUNDS.get(keyword) or _OTHERS.get(keyword):
        return sentence.format(shown(str(expected)))
    if keyword == "type":
        return f"must be of type {' or '.join([expected] if isinstance(expected, str) else expected)}"
    if keyword in {"enum", "const"}:
        allowed = expected if keyword == "enum" else [expected]
        return f"must be {shown(' or '.join(orjson.dumps(value).decode() for value in allowed), 160)}"
    if keyword == "pattern":
        return f"doesn't match the pattern `{shown(str(expected))}`"
    if keyword in {"additionalProperties", "unevaluatedProperties"}:
        instance: Any = violation.instance
        known = violation.schema.get("properties", {}) if isinstance(violation.schema, Mapping) else {}
        return f"has members that aren't known: {shown(', '.join(key for key in instance if key not in known), 160)}"
    return "isn't what the workflow's schema asks for"
