"""Whether a failed attempt is tried again, and when (the names and defaults are ASL's)."""

import hashlib
from collections.abc import Sequence
from typing import Final

from pipeline.core.errors import ErrorName
from pipeline.core.ids import EffectKey
from pipeline.core.limits import RETRY_DELAY_MAX_S
from pipeline.spec.model import Retrier

ANY_ERROR: Final = "Task.ALL"

NEVER_RETRIED: Final = frozenset({ErrorName.CONDITION_FALSE, ErrorName.EXPRESSION_ABSENT_OUTPUT})
"""Stored values decide these: another attempt would see the same."""

ONLY_BY_NAME: Final = frozenset(
    {ErrorName.VALIDATION_INPUT, ErrorName.VALIDATION_OUTPUT, ErrorName.EXPRESSION_ERROR, *NEVER_RETRIED}
)
"""``Task.ALL`` doesn't mean these: another attempt would most likely see the same."""


def matching(retriers: Sequence[Retrier], error_name: str) -> int | None:
    """The index of the first retrier for this error."""
    if error_name in NEVER_RETRIED:
        return None
    for index, retrier in enumerate(retriers):
        if error_name in retrier.error_equals:
            return index
        if ANY_ERROR in retrier.error_equals and error_name not in ONLY_BY_NAME:
            return index
    return None


def delay_ms(retrier: Retrier, count: int, key: EffectKey, attempt: int, *, at_least_s: float | None = None) -> int:
    """How long to wait before the ``count``-th retry (from 1) that this retrier gives, after ``attempt`` failed.

    ``at_least_s`` is what the service asked for. Chance is derived from the effect key and the attempt: a repeat waits
    as long.
    """
    longest_s = RETRY_DELAY_MAX_S if retrier.max_delay_s is None else min(retrier.max_delay_s, RETRY_DELAY_MAX_S)
    try:
        delay_s = min(retrier.interval_s * retrier.backoff_rate ** (count - 1), longest_s)
    except OverflowError:
        delay_s = longest_s
    if retrier.jitter == "FULL":
        delay_s *= _uniform(key, attempt)
    return round(max(delay_s, min(at_least_s or 0, RETRY_DELAY_MAX_S)) * 1000)


def _uniform(key: EffectKey, attempt: int) -> float:
    """A number of [0, 1) that looks random and is the same each time."""
    hashed = hashlib.sha256(f"{key}/{attempt}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(hashed[:6], "big") / 2**48
