"""ISO 8601 durations: weeks, days, hours, minutes and seconds; years and months have no fixed length."""

import re
from typing import Final

from pipeline.core.errors import BlocklineError

DURATION_DAYS_MAX: Final = 3660
"""Ten years: beyond it a deadline is a slip of the pen."""
_DURATION_CHARS_MAX: Final = 64
_SHAPE: Final = re.compile(
    r"P(?!$)(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?!$)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,3})?)S)?)?",
    re.ASCII,
)
_CALENDAR: Final = re.compile(r"P\d*\.?\d*[YM]", re.ASCII)
_MS: Final = {"weeks": 604_800_000, "days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1000}


class DurationError(BlocklineError):
    """A text that isn't a duration; says what one looks like."""


def parse_duration_ms(text: str) -> int:
    """Milliseconds (1 ms to ten years) of a duration such as ``P3D``, ``PT15M`` or ``P1DT12H``.

    Raises:
        DurationError: not a duration, of no length, over the limit, or with years or months.
    """
    if _CALENDAR.match(text[:_DURATION_CHARS_MAX]):
        raise DurationError("years and months have no fixed length: give days, like P30D")
    shape = _SHAPE.fullmatch(text) if len(text) <= _DURATION_CHARS_MAX else None
    if shape is None:
        raise DurationError("a duration looks like P3D (days), PT15M (minutes) or P1DT12H")
    length_ms = sum(round(float(amount) * _MS[unit]) for unit, amount in shape.groupdict(default="0").items())
    if length_ms == 0:
        raise DurationError("the duration has no length")
    if length_ms > DURATION_DAYS_MAX * _MS["days"]:
        raise DurationError(f"a duration is at most {DURATION_DAYS_MAX} days")
    return length_ms
