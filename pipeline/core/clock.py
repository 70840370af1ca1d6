"""The port to time; the adapter for the real clock is in ``pipeline.process.clock``."""

from typing import Protocol


class Clock(Protocol):
    """Reads and waits; handed in wherever time matters, so that the simulator can own it."""

    def now_ms(self) -> int:
        """Unix time in milliseconds; may jump in either direction."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that only grow, for durations and leases within one process."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; cancellable."""
        ...
