"""YAML with comments: a manifest says why each setting is what it is, and PyYAML can't write that."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.messages.canonical import encode

_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_AMBIGUOUS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_COMMENT_CHARS_MAX: Final = 116


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with the reason for it, written above its key."""

    value: Any
    why: str


def write_yaml(document: Mapping[str, Any]) -> str:
    """YAML of a non-empty mapping of JSON values and :class:`Noted` ones, block style, keys in their order."""
    return "\n".join(_mapping(document, 0)) + "\n"


def _mapping(mapping: Mapping[str, Any], depth: int) -> Iterator[str]:
    for key, noted in mapping.items():
        value, comment = _split(noted, depth)
        yield from comment
        yield from _entry(f"{' ' * depth}{_scalar(key)}:", value, depth)


def _entry(head: str, value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        yield head
        yield from _mapping(value, depth + 2)
    elif _is_list(value) and value:
        yield head
        yield from _sequence(value, depth + 2)
    else:
        yield f"{head} {_scalar(value)}"


def _sequence(items: Sequence[Any], depth: int) -> Iterator[str]:
    for noted in items:
        value, comment = _split(noted, depth)
        yield from comment
        if isinstance(value, Mapping) and value:
            first, *rest = _mapping(value, depth + 2)
            while first.lstrip().startswith("#"):
                yield first[2:]
                first, *rest = rest
            yield f"{' ' * depth}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{' ' * depth}- {_scalar(value)}"


def _split(noted: Any, depth: int) -> tuple[Any, list[str]]:
    if not isinstance(noted, Noted):
        return noted, []
    if not noted.why:
        return noted.value, []
    prefix = f"{' ' * depth}# "
    lines = textwrap.wrap(noted.why, _COMMENT_CHARS_MAX, initial_indent=prefix, subsequent_indent=prefix)
    return noted.value, lines


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _AMBIGUOUS:
        return value
    return encode(value).decode()  # JSON is YAML
