"""Reads the outbox itself, on the machine that writes it: an event is there once it is committed, and needn't wait for
the broker to have it, nor for a fetch. What Kafka gets is the same, for whoever else reads.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from pipeline.cdc.buffer import Received
from pipeline.cdc.codec import Notification
from pipeline.cdc.following import told_by
from pipeline.cdc.offsets import Position
from pipeline.cdc.parts import Assembler
from pipeline.core.clock import Clock
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.outbox import OUTBOX, Outbox


class OutboxReader:
    """See :class:`pipeline.cdc.consumer.EventReader`. Gives everything that isn't acked, the oldest first. It is
    acked at the outbox, by the places it gives.
    """

    def __init__(self, outbox: Outbox) -> None:
        """The one reader of this outbox, made before anything is sent."""
        self._outbox = outbox
        self._tail = outbox.tail()
        self._ready: deque[tuple[int, bytes]] = deque()
        self.is_alive = True

    async def start(self) -> None:
        """See the port; there is nothing to start."""

    async def started(self) -> None:
        """It misses nothing from the beginning on."""

    async def read(self, limit: int, timeout_s: float) -> list[Received]:
        """See the port."""
        if not self._ready:
            await self._fill(timeout_s)
        rows = [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
        return [Received(self._outbox.given(row), payload, 0) for row, payload in rows]

    async def _fill(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not self._ready:
                    await self._tail.has_more.wait()
                    rows = await self._tail.next()
                    if rows:
                        self._tail.taken = rows[-1][0]
                        self._ready.extend(rows)
        except TimeoutError:
            return

    def done(self, positions: Iterable[Position]) -> None:
        """See the port; the outbox has been told."""

    async def pending(self) -> int:
        """See the port."""
        return self._outbox.unread()

    def partitions(self) -> list[int]:
        """See the port."""
        return [0]

    async def close(self) -> None:
        """See the port."""
        self.is_alive = False


class OutboxFollower:
    """Tells of each notification of our types as it is committed, live: what a
    :class:`~pipeline.cdc.assigned.TopicFollower` reads from the topic.
    """

    is_alive = True

    def __init__(self, database: Database, clock: Clock, tell: Callable[[Notification], None]) -> None:
        """``tell`` is called on the event loop, before whoever wrote gets the answer."""
        self._parts = Assembler(clock)
        self._tell = tell
        database.on_commit(self._committed)

    def _committed(self, events: Iterable[tuple[int, bytes]]) -> None:
        for row, payload in events:
            told = told_by(self._parts, Received(Position(OUTBOX, 0, row), payload, 0))
            if told is not None:
                self._tell(told)
        self._parts.given_up(())
