"""No document makes the reading or the validation raise; the stored form is a fixed point."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import InvalidError, Problem
from pipeline.expressions.cel import CelEvaluator
from pipeline.spec.expressions import ExpressionError
from pipeline.spec.input_schema import check_input, check_schema
from pipeline.spec.json_text import load_json
from pipeline.spec.model import digest, spec_of
from pipeline.spec.syntax import load_spec, normalise
from pipeline.spec.templates import TemplateError, parse_template, resolve
from pipeline.spec.validation import validate

EVALUATOR = CelEvaluator()
NAMES = st.sampled_from(["a", "b", "c", "d e"])


class Types:
    def types(self) -> tuple[str, ...]:
        return ("PASS", "APPROVAL")

    def expressions(self, block_type: str, /) -> dict[str, str]:
        return {}

    def is_human(self, block_type: str, /) -> bool:
        return block_type == "APPROVAL"

    def secret_arguments(self, block_type: str, /) -> tuple[str, ...]:
        return ("bad",) if block_type == "APPROVAL" else ()

    def check_arguments(
        self, block_type: str, arguments: Mapping[str, Any], is_template: Callable[[Any], bool], /
    ) -> list[Problem]:
        return [Problem(f"/{key}", "Arguments.Invalid", key) for key in arguments if key == "bad"]


def json_values(strings: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | strings
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4), max_leaves=12
    )


PIECES = st.sampled_from(
    [
        "{{",
        "}}",
        "{{{{",
        " ",
        "tasks",
        '["a"]',
        ".output",
        "run.input.x",
        "|",
        "default:",
        '"',
        "'",
        "1",
        "{",
        "}",
        "+",
        "(",
    ]
)
TEMPLATES = st.lists(PIECES, max_size=8).map("".join)
EXPRESSIONS = st.sampled_from(
    ["run.input.x == 1", "true", "1 +", 'tasks["a"].status == "SUCCESS"', "asset", "item", "secrets.A"]
)
VALUES = json_values(st.text(max_size=5) | TEMPLATES)
DEPENDS = st.sampled_from(
    ["", "a", "b.SUCCESS", "a || b", "!c.DONE", '"d e".FAILED_ANY', "c.Succeeded", "a.APPROVED", 'a."x"', "&", "nope"]
)
TASKS = st.fixed_dictionaries(
    {"name": NAMES | VALUES, "type": st.sampled_from(["PASS", "APPROVAL", "CONDITION", "HTTP", "PAS"]) | VALUES},
    optional={
        "depends": DEPENDS | VALUES,
        "when": EXPRESSIONS | VALUES,
        "arguments": st.dictionaries(st.sampled_from(["expression", "dueIn", "bad", "x/~"]), EXPRESSIONS | VALUES)
        | VALUES,
        "retry": st.lists(
            st.fixed_dictionaries(
                {"errorEquals": st.lists(st.sampled_from(["Task.ALL", "Http.5xx", "x"])) | VALUES},
                optional={"maxAttempts": st.integers() | VALUES, "backoffRate": VALUES, "jitterStrategy": VALUES},
            ),
            max_size=3,
        )
        | VALUES,
        "timeoutSeconds": st.integers() | VALUES,
        "endStatus": st.sampled_from(["APPROVED", "FAILURE"]) | VALUES,
        "finally": st.booleans() | VALUES,
        "status": VALUES,
        "engine": VALUES,
    },
)
DOCUMENTS = VALUES | st.fixed_dictionaries(
    {
        "dag": VALUES
        | st.fixed_dictionaries(
            {"entrypoint": NAMES | VALUES, "tasks": st.lists(TASKS | VALUES, max_size=5)},
            optional={"exitpoints": st.lists(NAMES | VALUES, max_size=3)},
        )
    },
    optional={"input": VALUES, "labels": VALUES, "failFast": VALUES, "run": VALUES, "x": VALUES},
)


@given(DOCUMENTS)
def test_no_document_makes_the_validation_raise(document: Any) -> None:
    report = validate(document, Types(), EVALUATOR)
    assert report.is_valid == (report.normalised is not None) == (report.spec is not None)
    for problem in (*report.errors, *report.warnings):
        assert problem.code.partition(".")[0] in {"Spec", "Arguments"}
        assert problem.detail
        assert not problem.pointer or problem.pointer.startswith("/")
    if report.normalised is not None:
        again = validate(report.normalised, Types(), EVALUATOR)
        assert again.normalised == report.normalised
        assert again.warnings == report.warnings


@given(DOCUMENTS)
def test_normalising_twice_changes_nothing(document: Any) -> None:
    try:
        normalised = normalise(document)
    except InvalidError as error:
        assert error.problems  # noqa: PT017  (either outcome is right)
        return
    text = orjson.dumps(normalised)
    assert orjson.dumps(normalise(normalised)) == text
    assert orjson.dumps(normalise(orjson.loads(text))) == text
    assert digest(normalised) == digest(orjson.loads(text))
    assert load_spec(document).source == normalised or b"null" in text  # NaN is null in the stored text
    assert list(spec_of(normalised).tasks) == [task["name"] for task in normalised["dag"]["tasks"]]


@given(st.binary(max_size=60) | VALUES.map(lambda value: repr(value).encode(errors="replace")))
def test_any_bytes_are_json_or_refused(text: bytes) -> None:
    try:
        value = load_json(text)
    except InvalidError as error:
        assert {problem.code for problem in error.problems} <= {"Json.Syntax", "Json.DuplicateKey"}  # noqa: PT017
    else:
        assert value == orjson.loads(text)


@given(json_values(st.text(max_size=6, alphabet=st.characters(exclude_categories=["Cs"]))))
def test_json_that_was_written_is_read(value: Any) -> None:
    try:
        text = orjson.dumps(value)
    except TypeError:  # integers over 64 bits
        return
    assert load_json(text) == orjson.loads(text)


@given(TEMPLATES | st.text(max_size=30))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    scope = {
        "run": {"input": {"x": 1}, "requester": {"name": "a", "email": None, "groups": []}},
        "tasks": {"a": {"status": "SUCCESS", "output": [1]}},
        "asset": None,
        "now": 0,
    }
    try:
        parts = parse_template(text)
        result = resolve(text, scope, EVALUATOR)
    except (TemplateError, ExpressionError):
        return
    if "{{" not in text:
        assert result == text
        assert parts == (text,)


@given(
    json_values(st.sampled_from(["type", "$ref", "#", "#/$defs/a", "$defs", "a", "allOf", "items", "pattern", "("])),
    VALUES,
)
def test_no_schema_and_no_input_raise(schema: Any, value: Any) -> None:
    if not check_schema(schema):
        check_input(schema, value)
        check_input(schema, {"a": value})
