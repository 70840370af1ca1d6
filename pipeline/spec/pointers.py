"""JSON Pointers (RFC 6901) and the nearest of some names."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_NAME_CHARS_MAX: Final = 128
"""Longer names aren't compared: the comparison is quadratic."""


def child(pointer: str, key: str | int) -> str:
    """The pointer of a member or an element."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like this one, if any does."""
    if len(name) > _NAME_CHARS_MAX:
        return None
    by_lower = {candidate.lower(): candidate for candidate in sorted(known, reverse=True)}
    matches = get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean `x`?`` with the blank before it, or nothing."""
    found = nearest(name, known)
    return f" Did you mean `{found}`?" if found else ""


def shown(text: str, chars_max: int = 60) -> str:
    """A text of the user's inside a sentence: printable, cut where it is long."""
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return printable if len(printable) <= chars_max else printable[: chars_max - 1] + "…"
