"""Static validation of arguments that hold templates: no false alarm, and nothing missed that is certain."""

from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from pipeline.blocks.contract import Arguments, NotYet
from pipeline.blocks.sentences import Finding, findings


class Inner(Arguments):
    title: str = Field(min_length=1)
    size: int = 1
    later: NotYet = None


class Left(Arguments):
    side: Literal["left"]
    width: int


class Right(Arguments):
    side: Literal["right"]
    height: int


class Sample(Arguments):
    to: str | list[str]
    inner: Inner
    many: dict[str, int] = Field(default_factory=dict)
    shape: Left | Right | None = None
    due_in: str = Field(default="x", alias="dueIn", pattern="^x")
    count: int | None = Field(default=None, le=5)

    @model_validator(mode="after")
    def _together(self) -> "Sample":
        if self.count == 4:
            raise ValueError("count can't be 4")
        return self


GOOD: dict[str, Any] = {"to": "a", "inner": {"title": "t"}}


def is_template(text: str) -> bool:
    return "{{" in text


def found(value: dict[str, Any], *, with_templates: bool = True) -> list[Finding]:
    try:
        Sample.model_validate(value)
    except ValidationError as error:
        return findings(error, Sample, value, is_template if with_templates else None)
    return []


@pytest.mark.parametrize(
    ("change", "pointer", "sentence"),
    [
        ({"to": 5}, "/to", "to must be text, or must be a list"),
        ({"to": ["a", 5]}, "/to/1", "to.1 must be text"),
        ({"inner": {}}, "/inner/title", "inner.title is missing"),
        ({"inner": {"title": "t", "titel": 1}}, "/inner/titel", "inner.titel isn't known here; did you mean title?"),
        ({"inner": {"title": "t", "zz": 1}}, "/inner/zz", "inner.zz isn't known here; it takes title, size"),
        ({"inner": {"title": "t", "later": {}}}, "/inner/later", "inner.later isn't available in this version"),
        ({"inner": "t"}, "/inner", "inner must be an object"),
        ({"inner": {"title": "t", "size": "big"}}, "/inner/size", "inner.size must be a whole number"),
        ({"many": {"a/b~c": "x"}}, "/many/a~1b~0c", "many.a/b~c must be a whole number"),
        ({"dueIn": "y"}, "/dueIn", "dueIn should match pattern '^x'"),
        ({"count": 6}, "/count", "count should be less than or equal to 5"),
        ({"count": 4}, "", "the value: count can't be 4"),
    ],
)
def test_a_finding_names_the_place_and_says_a_sentence(change: dict[str, Any], pointer: str, sentence: str) -> None:
    assert [(f.pointer, f.sentence) for f in found({**GOOD, **change})] == [(pointer, sentence)]


@pytest.mark.parametrize(
    "change",
    [
        {"to": "{{ x }}"},
        {"to": ["a", "{{ x }}"]},
        {"inner": "{{ x }}"},
        {"inner": {"title": "{{ x }}", "size": "{{ y }}"}},
        {"many": "{{ x }}"},
        {"many": {"a": "{{ x }}"}},
        {"shape": "{{ x }}"},
        {"shape": {"side": "{{ x }}", "height": 3}},
        {"shape": {"side": "right", "height": "{{ x }}"}},
        {"dueIn": "{{ x }}"},
        {"count": "{{ x }}"},
    ],
)
def test_what_a_template_may_yet_become_is_no_finding(change: dict[str, Any]) -> None:
    assert found({**GOOD, **change}) == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"inner": {"title": "{{ x }}", "size": "big"}}, "/inner/size"),
        ({"inner": {"size": "{{ x }}"}}, "/inner/title"),
        ({"inner": {"title": "t", "titel": "{{ x }}"}}, "/inner/titel"),
        ({"inner": {"title": "t", "later": "{{ x }}"}}, "/inner/later"),
        ({"to": ["{{ x }}"], "count": 9}, "/count"),
    ],
)
def test_what_is_wrong_beside_a_template_is_found(change: dict[str, Any], pointer: str) -> None:
    assert [f.pointer for f in found({**GOOD, **change})] == [pointer]


def test_a_value_never_stands_in_a_sentence() -> None:
    wrong = {"to": {"s3cret": "s3cret"}, "inner": {"title": ["s3cret"], "size": "s3cret"}, "dueIn": "s3cret"}
    assert "s3cret" not in " ".join(f.sentence for f in found(wrong, with_templates=False))
    assert len(found(wrong, with_templates=False)) >= 4


def test_all_findings_come_at_once() -> None:
    assert [f.code for f in found({"inner": {"size": "x", "zz": 1}})] == ["Missing", "Missing", "Invalid", "UnknownKey"]
