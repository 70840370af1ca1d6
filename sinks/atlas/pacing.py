"""How much goes into one request: what the store answers well before the write time-out, as it is now.

A bulk that outlasts the time-out costs its runs that time, has to be read back, and would come again just as large: on
an Atlas that others keep busy, a full batch would never get through.
"""

from typing import Final

from pipeline.core.limits import STORE_WRITE_TIMEOUT_S

BULK_ENTITIES_MAX: Final = 1_000
"""Entities in one request; a piece larger than that goes alone."""
BULK_ENTITIES_MIN: Final = 20
"""Below that a slow store gets slower: what a request costs before its first entity is most of it."""
WRITE_AIM_S: Final = STORE_WRITE_TIMEOUT_S / 3
"""A request that takes longer makes the next ones smaller; well below it, they grow again."""


class Pace:
    """Of one writer's requests. Told of each one, in turn."""

    def __init__(self) -> None:
        """As fast as the store allows, until it says otherwise."""
        self.entities_max = BULK_ENTITIES_MAX

    def answered(self, entities: int, took_s: float) -> None:
        """A request of so many was answered after that long."""
        fits = int(entities * WRITE_AIM_S / took_s) if took_s > 0 else BULK_ENTITIES_MAX
        if took_s > WRITE_AIM_S:
            self._limit(min(self.entities_max, fits))
        elif fits > self.entities_max:
            self._limit(min(2 * self.entities_max, fits))

    def unanswered(self, entities: int) -> None:
        """A request of so many had no answer in time."""
        self._limit(min(self.entities_max, entities) // 2)

    def _limit(self, entities: int) -> None:
        self.entities_max = max(BULK_ENTITIES_MIN, min(BULK_ENTITIES_MAX, entities))
