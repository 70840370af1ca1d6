"""The one module that reads the real clock."""

import asyncio
import time


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """See :class:`pipeline.core.clock.Clock`."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """See :class:`pipeline.core.clock.Clock`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See :class:`pipeline.core.clock.Clock`."""
        await asyncio.sleep(seconds)
