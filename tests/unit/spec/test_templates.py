"""Templates: what is one, what it becomes, what absence does."""

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.core.limits import RESOLVED_BYTES_MAX
from pipeline.spec.expressions import ExpressionAbsentError, ExpressionError, ExpressionProblem
from pipeline.spec.templates import Placeholder, TemplateError, has_template, parse_template, references, resolve


class DictEvaluator:
    """Looks the whole expression up in ``scope``; ``boom`` fails otherwise than by absence."""

    def check(self, text: str, *, is_condition: bool = False) -> tuple[ExpressionProblem, ...]:
        return ()

    def evaluate(self, text: str, scope: Mapping[str, Any]) -> Any:
        if text == "boom":
            raise ExpressionError("boom")
        if text not in scope:
            raise ExpressionAbsentError(text)
        return scope[text]

    def is_true(self, text: str, scope: Mapping[str, Any]) -> bool:
        return bool(self.evaluate(text, scope))


SCOPE: dict[str, Any] = {"n": 7, "s": "x", "o": {"b": 1, "a": [None]}, "nul": None, "t": "{{ n }}", "e": "", "f": 1.5}


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{{ n }}", 7),
        ("{{n}}", 7),
        ("{{ o }}", {"b": 1, "a": [None]}),
        ("{{ nul }}", None),
        ("{{ e }}", ""),
        (" {{ n }}", " 7"),
        ("{{ n }}{{ s }}", "7x"),
        ("a {{ o }} b", 'a {"a":[null],"b":1} b'),
        ("{{ nul }}!", "null!"),
        ("{{ f }}.", "1.5."),
        ("{{ t }}", "{{ n }}"),
        ("{{{{ n }}", "{{ n }}"),
        ("{{{{{{ n }}", "{{7"),
        ("}} {{ n }}", "}} 7"),
        ("{ {n} }", "{ {n} }"),
        (
            {"k": ["{{ n }}", {"{{ n }}": "{{ s }}"}], "x": 1, "y": None},
            {"k": [7, {"{{ n }}": "x"}], "x": 1, "y": None},
        ),
        ("{{ absent | default: 3 }}", 3),
        ("{{ absent|default:[1, {}] }}", [1, {}]),
        ('{{ absent | default: "a }} b" }}', "a }} b"),
        ("{{ absent | default: null }}", None),
        ("-{{ absent | default: {} }}-", "-{}-"),
        ("{{ n | default: 3 }}", 7),
        ("{{ e | default: 3 }}", ""),
        ("{{ nul | default: 3 }}", None),
    ],
)
def test_resolve(value: Any, resolved: Any) -> None:
    result = resolve(value, SCOPE, DictEvaluator())
    assert result == resolved
    assert type(result) is type(resolved)


def test_absence_without_a_default_stays_an_error() -> None:
    with pytest.raises(ExpressionAbsentError):
        resolve({"a": "{{ absent }}"}, SCOPE, DictEvaluator())


def test_a_default_catches_nothing_but_absence() -> None:
    with pytest.raises(ExpressionError, match="boom") as caught:
        resolve("{{ boom | default: 1 }}", SCOPE, DictEvaluator())
    assert not isinstance(caught.value, ExpressionAbsentError)


def test_a_small_template_cannot_make_a_huge_value() -> None:
    scope = {"big": "x" * 60_000}
    with pytest.raises(ExpressionError, match=f"larger than {RESOLVED_BYTES_MAX} bytes"):
        resolve(["{{ big }}"] * 10, scope, DictEvaluator())


@pytest.mark.parametrize(
    ("text", "expression", "default"),
    [
        ('{{ {"a": {"b": 1}}["a"] }}', '{"a": {"b": 1}}["a"]', None),
        ('{{ "}}" }}', '"}}"', None),
        ("{{ '{{' }}", "'{{'", None),
        ('{{ r"\\" + "x" }}', 'r"\\" + "x"', None),
        ('{{ """a"}}b""" }}', '"""a"}}b"""', None),
        ('{{ "a | default: 1" }}', '"a | default: 1"', None),
        ("{{ f(a | default: 1) }}", "f(a | default: 1)", None),
        ("{{ a | default: 1 | default: 2 }}", "a | default: 1", b"2"),
        ("{{ a || b }}", "a || b", None),
    ],
)
def test_where_a_template_ends(text: str, expression: str, default: bytes | None) -> None:
    (placeholder,) = parse_template(text)
    assert isinstance(placeholder, Placeholder)
    assert (placeholder.expression, placeholder.default) == (expression, default)


@pytest.mark.parametrize(
    ("text", "position", "sentence"),
    [
        ("a {{ b", 2, "The template that opens here is never closed with `}}`."),
        ("a {{ b }", 2, "The template that opens here is never closed with `}}`."),
        ("{{ [1 }}", 0, "The template that opens here is never closed with `}}`."),
        ('{{ "b }}', 3, "A quote inside this template is never closed."),
        ("x{{ }}", 3, "The template is empty."),
        ("{{ a | default: }}", 15, 'After `default:` one JSON value must stand, such as "none", 0 or null.'),
        ("{{ a | default: none }}", 15, 'After `default:` one JSON value must stand, such as "none", 0 or null.'),
        ("{{ a | default: 1 2 }}", 15, 'After `default:` one JSON value must stand, such as "none", 0 or null.'),
    ],
)
def test_broken_templates_say_where(text: str, position: int, sentence: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template(text)
    assert (caught.value.position, str(caught.value)) == (position, sentence)
    with pytest.raises(ExpressionError):
        resolve(text, SCOPE, DictEvaluator())


def test_references_have_pointers() -> None:
    found = list(references({"a/b": ["x", "{{ n }} {{ s }}"], "c": {"d": "{{ e }}"}}, "/arguments"))
    assert [(one.pointer, one.placeholder.expression) for one in found] == [
        ("/arguments/a~1b/1", "n"),
        ("/arguments/a~1b/1", "s"),
        ("/arguments/c/d", "e"),
    ]


def test_has_template() -> None:
    assert has_template(["a", {"b": "{{ x }}"}])
    assert has_template("{{ broken")
    assert not has_template({"a": "{{{{ x }}", "b": 1})
