"""A task's arguments, from what the author wrote to what a block gets: the same wherever it is done.

The orchestrator does it at dispatch; a runner's vertex does it where an argument names an output that is too large for
the run's document.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.spec.expressions import Evaluator
from pipeline.spec.lexemes import tasks_read
from pipeline.spec.secret_templates import secret_named
from pipeline.spec.templates import references, resolve

CONDITION: Final = "condition"
OWNERS: Final = "owners"


def resolved(
    arguments: Mapping[str, Any], expressions: Mapping[str, str], scope: Mapping[str, Any], evaluator: Evaluator
) -> dict[str, Any]:
    """The arguments with the values of their templates, and of those that are expressions themselves: of the author's
    text, never of one that a template has made. ``expressions`` names these by their path, with the kind of each.

    Raises:
        ExpressionError: one of them can't be evaluated.
    """
    made: dict[str, Any] = resolve(arguments, scope, evaluator)
    for path, kind in expressions.items():
        parts = path.split(".")
        text = _at(arguments, parts)
        if kind == OWNERS and text is True:
            made = _with(made, parts, _owners(scope["asset"]))
        elif isinstance(text, str):
            value = evaluator.is_true(text, scope) if kind == CONDITION else evaluator.evaluate(text, scope)
            made = _with(made, parts, value)
    return made


def reads_of(arguments: Mapping[str, Any], expressions: Mapping[str, str]) -> frozenset[str] | None:
    """The tasks that the arguments' expressions may read; ``None`` where it may be any."""
    found: frozenset[str] = frozenset()
    for text in _texts_of(arguments, expressions):
        read = tasks_read(text)
        if read is None:
            return None
        found |= read
    return found


def secret_places(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """JSON Pointers of the strings whose templates name a secret, in order. They hold once the arguments are resolved
    too, since that keeps keys and places.
    """
    found = references(arguments, on_error=lambda _, __: None)
    return tuple(dict.fromkeys(at.pointer for at in found if secret_named(at.placeholder.expression)))


def _texts_of(arguments: Mapping[str, Any], expressions: Mapping[str, str]) -> Iterator[str]:
    for found in references(arguments, on_error=lambda _, __: None):
        yield found.placeholder.expression
    for path in expressions:
        text = _at(arguments, path.split("."))
        if isinstance(text, str):
            yield text


def _owners(asset: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """Who owns the asset, by the snapshot of it."""
    attributes = (asset or {}).get("attributes") or {}
    return {"users": _texts(attributes.get("ownerUsers")), "groups": _texts(attributes.get("ownerGroups"))}


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str) and text] if isinstance(value, list) else []


def _at(value: Any, parts: list[str]) -> Any:
    for part in parts:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _with(value: Mapping[str, Any], parts: list[str], new: Any) -> dict[str, Any]:
    first, *rest = parts
    return {**value, first: _with(value[first], rest, new) if rest else new}
