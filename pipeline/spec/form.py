"""The form of a question to people: the schema, and what they filled in; used wherever a decision is checked."""

from collections.abc import Mapping
from typing import Any

from pipeline.core.errors import Problem
from pipeline.core.limits import FORM_BYTES_MAX, FORM_SCHEMA_BYTES_MAX
from pipeline.spec.input_schema import check_input, check_schema
from pipeline.spec.json_text import size_bytes


def check_form(schema: Any, pointer: str = "/form") -> list[Problem]:
    """Everything that is wrong with the form itself; pointers start at ``pointer``."""
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        return [Problem(pointer, "Spec.Form", "A form is a JSON Schema of an object, with `properties`.")]
    problems = check_schema(schema, pointer, what="form")
    size = size_bytes(schema)
    if not problems and (size is None or size > FORM_SCHEMA_BYTES_MAX):
        return [Problem(pointer, "Spec.Form", f"The form's schema is larger than {FORM_SCHEMA_BYTES_MAX} bytes.")]
    return [Problem(problem.pointer, "Spec.Form", problem.detail) for problem in problems]


def check_filled(schema: Mapping[str, Any] | None, form: Any, *, is_needed: bool) -> list[Problem]:
    """What is wrong with what was filled in, ``None`` where nothing was; pointers start at ``/form``.

    ``schema`` has passed :func:`check_form`, or is None where the question has no form. ``is_needed``: the decision
    can't be made without it.
    """
    if schema is None:
        is_empty = form is None or form == {}
        return [] if is_empty else [Problem("/form", "Input.Unexpected", "This question has no form.")]
    if form is None and not is_needed:
        return []
    filled = {} if form is None else form
    problems = check_input(schema, filled, "/form", what="form")
    if problems:
        return problems
    size = size_bytes(filled)
    if size is None or size > FORM_BYTES_MAX:
        return [Problem("/form", "Input.TooLarge", f"The form is larger than {FORM_BYTES_MAX} bytes.")]
    return []
