"""JSON as people send it: what a parser lets pass silently is refused here, with its place."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from pipeline.core.errors import InvalidError, Problem
from pipeline.core.limits import JSON_DEPTH_MAX
from pipeline.spec.pointers import child, shown

JSON_TEXT_BYTES_MAX: Final = 1024 * 1024
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]')


@dataclass(slots=True)
class _Open:
    """An object or a list that the scan is inside of."""

    pointer: str
    is_object: bool
    keys: set[str] = field(default_factory=set)
    key: str = ""
    index: int = 0
    is_at_key: bool = True

    @property
    def here(self) -> str:
        return child(self.pointer, self.key if self.is_object else self.index)


def load_json(text: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises:
        InvalidError: not JSON (NaN and trailing commas aren't), larger than ``JSON_TEXT_BYTES_MAX``, nested deeper
            than ``JSON_DEPTH_MAX``, or with keys given twice (all of them are reported).
    """
    if len(text) > JSON_TEXT_BYTES_MAX:
        raise _invalid("Json.TooLarge", f"The text is larger than {JSON_TEXT_BYTES_MAX} bytes.")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        detail = f"This isn't JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        raise _invalid("Json.Syntax", detail) from error
    if problems := faults(text):
        raise InvalidError(problems)
    return value


def faults(text: bytes) -> tuple[Problem, ...]:
    """What a parser lets pass in a text that it has read: keys given twice, each with its pointer; or too deep."""
    return tuple(_findings(text))


def _invalid(code: str, detail: str) -> InvalidError:
    return InvalidError((Problem("", code, detail),))


def _findings(text: bytes) -> Iterator[Problem]:
    """Walks the words of a text that is known to be JSON."""
    opened: list[_Open] = []
    for match in _TOKEN.finditer(text):
        word = match[0]
        inside = opened[-1] if opened else None
        if word in {b"{", b"["}:
            if len(opened) == JSON_DEPTH_MAX:
                yield Problem("", "Json.TooDeep", f"The text is nested more than {JSON_DEPTH_MAX} deep.")
                return
            opened.append(_Open(inside.here if inside else "", word == b"{"))
        elif word in {b"}", b"]"}:
            opened.pop()
        elif inside is None:
            continue
        elif word == b",":
            inside.index += 1
            inside.is_at_key = True
        elif word == b":":
            inside.is_at_key = False
        elif inside.is_object and inside.is_at_key:
            yield from _key(inside, orjson.loads(word))


def _key(inside: _Open, key: str) -> Iterator[Problem]:
    if key in inside.keys:
        yield Problem(child(inside.pointer, key), "Json.DuplicateKey", f"The key `{shown(key)}` is given twice.")
    inside.keys.add(key)
    inside.key = key


def size_bytes(value: Any) -> int | None:
    """The length of a value's JSON; ``None`` if it has none (numbers over 64 bits, half characters, other types)."""
    try:
        return len(orjson.dumps(value))
    except TypeError:
        return None


def is_deep(value: Any) -> bool:
    """Whether a value is nested deeper than ``JSON_DEPTH_MAX``; safe on any depth."""
    level = [value]
    for _ in range(JSON_DEPTH_MAX + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
