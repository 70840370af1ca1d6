"""Lists: ``{items, next_cursor}``, with cursors that only this API reads."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import Field

from api.bodies import Body
from api.problems import ApiError, invalid
from pipeline.core.errors import Problem
from pipeline.messages.canonical import MalformedError, decode, encode

LIMIT: Final = 25
LIMIT_MAX: Final = 200
NUMBER_MAX: Final = 2**53 - 1
"""Of the numbers in a cursor: instants in ms."""
OFFSET_MAX: Final = 2**31 - 1
"""What every store takes."""


class Page(Body):
    """Query of every list."""

    limit: int = Field(default=LIMIT, ge=1, le=LIMIT_MAX)
    cursor: str | None = Field(default=None, max_length=500)


def cursor_of(position: dict[str, Any]) -> str:
    """The text of a position."""
    return base64.urlsafe_b64encode(encode(position)).decode().rstrip("=")


def position_of(cursor: str | None, **kinds: type) -> dict[str, Any] | None:
    """The position in a cursor, which must have exactly the members of ``kinds``; None for the beginning.

    Raises:
        ApiError: 400, it isn't one of ours.
    """
    if not cursor:
        return None
    try:
        value = decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, MalformedError):
        value = None
    if not isinstance(value, dict) or {name: type(inner) for name, inner in value.items()} != kinds:
        raise _not_ours()
    if not all(0 <= inner <= NUMBER_MAX for inner in value.values() if isinstance(inner, int)):
        raise _not_ours()
    return value


def offset_of(cursor: str | None) -> int:
    """The offset in a cursor of a list that is paged by offset."""
    position = position_of(cursor, offset=int)
    offset: int = 0 if position is None else position["offset"]
    if offset > OFFSET_MAX:
        raise _not_ours()
    return offset


def _not_ours() -> ApiError:
    return invalid([Problem("/cursor", "Request.Invalid", "This cursor isn't one that a list has given.")])


def paged(found: list[Any], limit: int, offset: int) -> tuple[list[Any], str | None]:
    """A page out of ``limit + 1`` things found from ``offset`` on, and the cursor of the next one."""
    return found[:limit], cursor_of({"offset": offset + limit}) if len(found) > limit else None


def rfc3339(ms: int | None) -> str | None:
    """An instant for people and programs, UTC, with milliseconds; None and 0 are none."""
    if not ms:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(text: str, pointer: str) -> int:
    """Unix ms of an RFC 3339 instant.

    Raises:
        ApiError: 400, it isn't one.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        detail = "An instant is written like 2026-03-01T12:00:00Z."
        raise invalid([Problem(pointer, "Request.Invalid", detail)])
    return int(instant.timestamp() * 1000)
