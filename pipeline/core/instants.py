"""Instants as texts: RFC 3339, as the language writes them in arguments."""

import datetime as dt
import re
from typing import Final

from pipeline.core.errors import BlocklineError

_INSTANT_CHARS_MAX: Final = 64
_SHAPE: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-]\d\d:\d\d))",
    re.ASCII,
)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS: Final = dt.timedelta(milliseconds=1)


class InstantError(BlocklineError):
    """A text that isn't an instant; says what one looks like."""


def parse_instant_ms(text: str) -> int:
    """Unix milliseconds of an instant such as ``2026-12-24T18:00:00Z`` or ``2026-12-24T18:00:00.5+01:00``.

    What is finer than a millisecond is cut off. Times before 1970 are negative.

    Raises:
        InstantError: not RFC 3339, without an offset from UTC, or a day or an hour that isn't there.
    """
    shape = _SHAPE.fullmatch(text) if len(text) <= _INSTANT_CHARS_MAX else None
    if shape is None:
        raise InstantError("a time looks like 2026-12-24T18:00:00Z or 2026-12-24T19:00:00+01:00")
    day, time, fraction, offset = shape.groups()
    try:
        since = dt.datetime.fromisoformat(f"{day}T{time}{offset or '+00:00'}").astimezone(dt.UTC) - _EPOCH
    except (ValueError, OverflowError):
        raise InstantError("there is no such day or time") from None
    return since // _MS + int((fraction or "0").ljust(3, "0")[:3])


def instant_text(at_ms: int) -> str:
    """The RFC 3339 text of Unix milliseconds (years 1 to 9999), in UTC, with milliseconds."""
    return (_EPOCH + at_ms * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")
