"""Slows down who guesses passwords: a name from an address is refused for a while after too many wrong ones."""

from collections import OrderedDict
from typing import Final

from pipeline.core.clock import Clock
from pipeline.local.atlas.errors import AtlasError, Code

FAILURES_MAX: Final = 10
WINDOW_S: Final = 60.0
KEPT_MAX: Final = 10_000


class Guard:
    """Remembers failures of the last minute; of the oldest names first it forgets."""

    def __init__(self, clock: Clock) -> None:
        """``clock``: only its monotonic time is read."""
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], tuple[float, ...]] = OrderedDict()

    def check(self, name: str, address: str) -> None:
        """Before a password is verified.

        Raises:
            AtlasError: 429, too many wrong ones lately.
        """
        if len(self._recent(name, address)) >= FAILURES_MAX:
            raise AtlasError(Code.TOO_MANY, "Too many wrong passwords; try again in a minute.")

    def failed(self, name: str, address: str) -> None:
        """A password was wrong."""
        self._failures[name, address] = (*self._recent(name, address), self._clock.monotonic_s())
        self._failures.move_to_end((name, address))
        while len(self._failures) > KEPT_MAX:
            self._failures.popitem(last=False)

    def _recent(self, name: str, address: str) -> tuple[float, ...]:
        since = self._clock.monotonic_s() - WINDOW_S
        return tuple(at for at in self._failures.get((name, address), ()) if at > since)
