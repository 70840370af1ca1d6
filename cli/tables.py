"""Tables for people: as wide as their texts, cut where one would push the rest away."""

from collections.abc import Sequence
from typing import Any, Final

CELL_CHARS_MAX: Final = 60


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns aligned to the left, two spaces between, the header in capitals."""
    cells = [[name.upper() for name in header], *([cell(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def cell(value: Any) -> str:
    """One value on one line; what a terminal would obey is shown instead."""
    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = plain(" ".join(text.split()))
    return text if len(text) <= CELL_CHARS_MAX else text[: CELL_CHARS_MAX - 1] + "…"


def plain(text: str) -> str:
    """The text without control characters: a name from a store must not steer a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def instant(text: str | None) -> str:
    """``2026-03-01 12:34:56`` of an RFC 3339 instant, UTC."""
    return text[:19].replace("T", " ") if text else ""
