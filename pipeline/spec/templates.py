"""Templates ``{{ expression | default: literal }}`` inside the strings of a JSON value.

Substitution walks parsed JSON; what comes out of a template is never parsed as one again. Keys of objects aren't
templates.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from pipeline.core.errors import BlocklineError
from pipeline.core.limits import RESOLVED_BYTES_MAX
from pipeline.spec.expressions import Evaluator, ExpressionAbsentError, ExpressionError
from pipeline.spec.lexemes import CLOSING, OPENING, Lexeme, LexemeError, lexemes
from pipeline.spec.pointers import child
from pipeline.spec.secret_templates import parted, reference, secret_named

OPEN: Final = "{{"
CLOSE: Final = "}}"
ESCAPED: Final = "{{{{"
PARSED_KEPT_MAX: Final = 4096


class TemplateError(BlocklineError):
    """A template that can't be read; ``position`` is an offset in the string, from 0."""

    def __init__(self, detail: str, position: int) -> None:
        """``detail`` is a sentence."""
        super().__init__(detail)
        self.position = position


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One template: its expression, where that starts, and the JSON text of its default if it has one."""

    expression: str
    position: int
    default: bytes | None = None


Part = str | Placeholder


class Found(NamedTuple):
    """A placeholder, and the JSON Pointer of the string that holds it."""

    pointer: str
    placeholder: Placeholder


@lru_cache(maxsize=PARSED_KEPT_MAX)
def parse_template(text: str) -> tuple[Part, ...]:
    """The literal parts and placeholders of a string, in order; ``{{{{`` is a literal ``{{``.

    Raises:
        TemplateError: a template or a quote in it is never closed, it is empty, or its default isn't JSON.
    """
    parts: list[Part] = []
    literal: list[str] = []
    position = 0
    while (at := text.find(OPEN, position)) >= 0:
        literal.append(text[position:at])
        if text.startswith(ESCAPED, at):
            literal.append(OPEN)
            position = at + len(ESCAPED)
            continue
        placeholder, position = _placeholder(text, at)
        if joined := "".join(literal):
            parts.append(joined)
        literal.clear()
        parts.append(placeholder)
    literal.append(text[position:])
    if (joined := "".join(literal)) or not parts:
        parts.append(joined)
    return tuple(parts)


def _placeholder(text: str, at: int) -> tuple[Placeholder, int]:
    start = at + len(OPEN)
    closers: list[str] = []
    default: tuple[int, int] | None = None
    words: list[Lexeme] = []
    try:
        for word in lexemes(text, start):
            if word.kind == "symbol" and not closers and text.startswith(CLOSE, word.start):
                return _built(text, start, word.start, default), word.start + len(CLOSE)
            _track(word, closers)
            words.append(word)
            if not closers and (marker := _default_marker(words)):
                default = marker
    except LexemeError as error:
        raise TemplateError("A quote inside this template is never closed.", error.position) from error
    raise TemplateError("The template that opens here is never closed with `}}`.", at)


def _track(word: Lexeme, closers: list[str]) -> None:
    """Follow the brackets; the expression's own check says what is wrong with unbalanced ones."""
    if word.kind != "symbol":
        return
    if word.text in OPENING:
        closers.append(OPENING[word.text])
    elif word.text in CLOSING and closers and closers[-1] == word.text:
        closers.pop()


def _default_marker(words: list[Lexeme]) -> tuple[int, int] | None:
    """Start and end of ``| default:`` if the words end with it."""
    if [word.text for word in words[-3:]] != ["|", "default", ":"]:
        return None
    return words[-3].start, words[-1].end


def _built(text: str, start: int, end: int, default: tuple[int, int] | None) -> Placeholder:
    literal: bytes | None = None
    expression_end = end
    if default is not None:
        expression_end = default[0]
        try:
            literal = orjson.dumps(orjson.loads(text[default[1] : end].strip()))
        except (orjson.JSONDecodeError, TypeError) as error:
            detail = 'After `default:` one JSON value must stand, such as "none", 0 or null.'
            raise TemplateError(detail, default[1]) from error
    expression = text[start:expression_end].lstrip()
    if not expression:
        raise TemplateError("The template is empty.", start)
    return Placeholder(expression.rstrip(), expression_end - len(expression), literal)


def has_template(value: Any) -> bool:
    """Whether a template stands anywhere in the value (a broken one counts): its type isn't known yet then."""
    broken: list[str] = []
    return any(True for _ in references(value, on_error=lambda pointer, _: broken.append(pointer))) or bool(broken)


def references(
    value: Any, pointer: str = "", on_error: Callable[[str, TemplateError], None] | None = None
) -> Iterator[Found]:
    """Every placeholder of the value, in document order.

    Raises:
        TemplateError: one can't be read, unless ``on_error(pointer, error)`` takes it.
    """
    for where, text in _strings(value, pointer):
        try:
            parts = parse_template(text)
        except TemplateError as error:
            if on_error is None:
                raise
            on_error(where, error)
            continue
        yield from (Found(where, part) for part in parts if isinstance(part, Placeholder))


def _strings(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if OPEN in value:
            yield pointer, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(inner, child(pointer, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _strings(inner, child(pointer, index))


def resolve(value: Any, scope: Mapping[str, Any], evaluator: Evaluator) -> Any:
    """The value with every template replaced; a new value, the argument isn't changed.

    A string that is one template keeps the JSON type of what it stands for; else it becomes text: a string as it is,
    anything else as its JSON. A string with a secret is left in parts, see
    :mod:`pipeline.spec.secret_templates`. Pure as the evaluator is.

    Raises:
        ExpressionAbsentError: a reference to what isn't there, without a default.
        ExpressionError: an expression or a template can't be evaluated, or the result exceeds
            ``RESOLVED_BYTES_MAX``.
    """
    return _Resolution(scope, evaluator).value(value)


class _Resolution:
    """One walk; counts the bytes that came out of templates, so that a small spec can't make a huge message."""

    def __init__(self, scope: Mapping[str, Any], evaluator: Evaluator) -> None:
        self._scope = scope
        self._evaluator = evaluator
        self._bytes = 0

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._string(value) if OPEN in value else value
        if isinstance(value, Mapping):
            return {key: self.value(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        return value

    def _string(self, text: str) -> Any:
        try:
            parts = parse_template(text)
        except TemplateError as error:
            raise ExpressionError(str(error)) from error
        if any(isinstance(part, Placeholder) and secret_named(part.expression) for part in parts):
            return parted([self._part(part) for part in parts])
        if len(parts) == 1 and isinstance(parts[0], Placeholder):
            return self._placeholder(parts[0])
        return "".join(part if isinstance(part, str) else _text(self._placeholder(part)) for part in parts)

    def _part(self, part: Part) -> str | dict[str, str]:
        if isinstance(part, str):
            return part
        name = secret_named(part.expression)
        return reference(name) if name else _text(self._placeholder(part))

    def _placeholder(self, placeholder: Placeholder) -> Any:
        try:
            result = self._evaluator.evaluate(placeholder.expression, self._scope)
        except ExpressionAbsentError:
            if placeholder.default is None:
                raise
            result = orjson.loads(placeholder.default)
        self._bytes += len(result.encode()) if isinstance(result, str) else len(orjson.dumps(result))
        if self._bytes > RESOLVED_BYTES_MAX:
            detail = f"What the templates stand for is larger than {RESOLVED_BYTES_MAX} bytes."
            raise ExpressionError(detail)
        return result


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
