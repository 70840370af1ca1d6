"""Sends what a commit changed, and keeps it until whoever consumes it is done with it.

A row is written in the transaction that changes the entity and deleted after its own ack. So a killed process loses
no event: at the next start everything that isn't acked is sent again, in order. The broker may forget everything, too.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Final, Protocol

from pipeline.cdc.offsets import Position
from pipeline.cdc.producer import BrokerUnavailableError
from pipeline.core.clock import Clock
from pipeline.local.atlas.database import Database, DatabaseError, Transaction

AHEAD_MAX: Final = 10_000
"""Events sent and not acked; the rest wait on disk, since the broker holds all it has in memory."""
IN_FLIGHT_MAX: Final = 1_000
"""Events the broker was handed and hasn't confirmed."""
FRESH_BYTES_MAX: Final = 16 * 1024 * 1024
"""Committed events kept in memory until they are sent; beyond that they are read from the disk again."""
ACK_WAIT_S: Final = 0.1
ACKS_MAX: Final = 500
RETRY_MIN_S: Final = 0.05
RETRY_MAX_S: Final = 2.0
STILL_MAX_S: Final = 60.0
"""Nothing was sent for that long although something waits: whoever runs this should look at the broker."""
_PAGE: Final = 500
_LOG: Final = logging.getLogger(__name__)


class EventProducer(Protocol):
    """The broker's side."""

    async def send(self, payload: bytes) -> Position:
        """Its place once the broker has it. Many calls may be under way; their order is the order on the topic.

        Raises:
            BrokerUnavailableError: it may or may not be there; send it again.
        """
        ...


class Outbox:
    """Belongs to the event loop of its database. Rows are sent in the order of their commits; again after a failure,
    from the first that failed on, so that a consumer may see repeats but no later event of an entity before an
    earlier one for the first time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        """Nothing is sent before :meth:`relay`. To be made before the first write of an entity."""
        self._database = database
        self._clock = clock
        self._pending = database.events_at_start
        self._last_committed = 0
        # What is to be sent next: from memory, or, while behind, from the disk after the row last taken.
        self._fresh: deque[tuple[int, bytes]] = deque()
        self._fresh_bytes = 0
        self._taken = 0
        self._is_behind = True
        self._in_hand = 0
        self._generation = 0
        self._moved_s = clock.monotonic_s()
        self._has_failed = False
        # What was sent: a row may have been sent more than once.
        self._rows: dict[Position, int] = {}
        self._places: dict[int, list[Position]] = {}
        self._highest = 0
        self._early: dict[Position, None] = {}
        self._done: dict[int, None] = {}
        self._in_flight: set[asyncio.Task[None]] = set()
        self._work = asyncio.Event()
        self._space = asyncio.Event()
        self._acks = asyncio.Event()
        self._disk = asyncio.Lock()
        database.on_commit(self._committed)

    def pending(self) -> int:
        """Events that aren't acked, sent or not."""
        return self._pending

    @property
    def waits_s(self) -> float:
        """For how many seconds the oldest event that waits to be sent has been that; 0 when none waits. A long backlog
        that is being sent keeps this small.
        """
        return self._clock.monotonic_s() - self._moved_s if self._has_unsent() else 0.0

    @property
    def is_moving(self) -> bool:
        """False when the oldest event that isn't sent has waited for its turn for more than :data:`STILL_MAX_S`."""
        return self.waits_s <= STILL_MAX_S

    def ack(self, positions: Iterable[Position]) -> None:
        """These are done for good; unknown ones and repeats are no error. They leave the disk within a moment."""
        for position in positions:
            row = self._rows.get(position)
            if row is not None:
                self._finish(row)
            elif self._in_flight:
                # A consumer may be done before the broker has told us where the event went.
                self._early[position] = None
                if len(self._early) > AHEAD_MAX:
                    del self._early[next(iter(self._early))]

    def resend(self) -> None:
        """The broker has lost everything: all that isn't acked is sent again, in order."""
        self._go_back(0)

    async def relay(self, producer: EventProducer) -> None:
        """Send until cancelled; then what was acked is deleted. One at a time; everything unacked is sent again."""
        self._go_back(0)
        deleting = asyncio.create_task(self._delete_acked())
        try:
            await self._send_all(producer)
        finally:
            deleting.cancel()
            for task in self._in_flight:
                task.cancel()
            await asyncio.gather(deleting, *self._in_flight, return_exceptions=True)
            await self.flush()

    async def flush(self) -> None:
        """Delete from the disk what is acked.

        Raises:
            DatabaseError: it can't be now; what isn't deleted would be sent again at the next start.
        """
        while self._done:
            async with self._disk:
                rows = list(islice(self._done, ACKS_MAX))
                await self._database.write(partial(_delete, rows))
                for row in rows:
                    del self._done[row]

    def _committed(self, events: Sequence[tuple[int, bytes]]) -> None:
        if not self._has_unsent():
            self._moved_s = self._clock.monotonic_s()
        self._pending += len(events)
        self._last_committed = events[-1][0]
        if not self._is_behind:
            self._fresh.extend(events)
            self._fresh_bytes += sum(len(payload) for _, payload in events)
            if self._fresh_bytes > FRESH_BYTES_MAX:
                self._drop_fresh()
        self._work.set()

    def _drop_fresh(self) -> None:
        self._fresh.clear()
        self._fresh_bytes = 0
        self._is_behind = True

    def _go_back(self, row: int) -> None:
        """Everything after ``row`` is read from the disk and sent (again)."""
        if not self._has_unsent():
            self._moved_s = self._clock.monotonic_s()
        self._drop_fresh()
        self._taken = row
        self._generation += 1
        self._work.set()
        self._space.set()  # whoever waits for acks in vain has to begin again as well

    async def _send_all(self, producer: EventProducer) -> None:
        wait_s = RETRY_MIN_S
        while True:
            await self._work.wait()
            self._work.clear()
            if self._has_failed:
                await asyncio.gather(*self._in_flight)  # so that none of them arrives after its repeat
                await self._clock.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_MAX_S)
                self._has_failed = False
            elif not self._in_flight:
                wait_s = RETRY_MIN_S
            generation = self._generation
            events = await self._next()
            self._in_hand = len(events)
            for row, payload in events:
                await self._room()
                if generation != self._generation:
                    break
                self._taken = row
                self._in_hand -= 1
                task = asyncio.create_task(self._send(producer, row, payload))
                self._in_flight.add(task)
                task.add_done_callback(self._landed)
            self._in_hand = 0

    def _has_unsent(self) -> bool:
        is_anywhere = self._is_behind or self._fresh or self._in_hand or self._in_flight
        return self._pending > 0 and bool(is_anywhere)

    async def _next(self) -> Sequence[tuple[int, bytes]]:
        if not self._is_behind:
            events = tuple(self._fresh)
            self._fresh.clear()
            self._fresh_bytes = 0
            return events
        generation, after, committed = self._generation, self._taken, self._last_committed
        async with self._disk:
            rows: list[tuple[int, bytes]] = await self._database.read(
                lambda connection: connection.execute(
                    "SELECT id, payload FROM outbox WHERE id > ? ORDER BY id LIMIT ?", (after, _PAGE)
                ).fetchall()
            )
            unacked = [row for row in rows if row[0] not in self._done]
        if generation == self._generation and len(rows) < _PAGE and committed == self._last_committed:
            self._is_behind = False
        else:
            self._work.set()
        return unacked

    async def _room(self) -> None:
        # A row that is sent again has its places already: it takes no further room.
        while len(self._in_flight) >= IN_FLIGHT_MAX or self._ahead() >= AHEAD_MAX:
            self._space.clear()
            await self._space.wait()

    def _finish(self, row: int) -> None:
        for place in self._places.pop(row):
            self._rows.pop(place, None)
        self._done[row] = None
        self._pending -= 1
        self._acks.set()
        self._space.set()

    def _landed(self, task: "asyncio.Task[None]") -> None:
        self._in_flight.discard(task)
        if not self._in_flight:
            self._early.clear()
        self._space.set()

    def _ahead(self) -> int:
        if self._taken < self._highest:
            return 0
        return len(self._places) + len(self._in_flight)

    async def _send(self, producer: EventProducer, row: int, payload: bytes) -> None:
        try:
            position = await producer.send(payload)
        except BrokerUnavailableError as error:
            _LOG.warning("an event wasn't sent and will be again: %s", error)
            self._send_again(row)
        except Exception:  # noqa: BLE001  (logged; whatever went wrong, no event may be forgotten)
            _LOG.exception("an event wasn't sent and will be again")
            self._send_again(row)
        else:
            self._moved_s = self._clock.monotonic_s()
            if row not in self._done:
                self._rows[position] = row
                self._places.setdefault(row, []).append(position)
                self._highest = max(self._highest, row)
                if position in self._early:
                    del self._early[position]
                    self._finish(row)

    def _send_again(self, row: int) -> None:
        self._has_failed = True
        self._go_back(min(row - 1, self._taken))

    async def _delete_acked(self) -> None:
        while True:
            await self._acks.wait()
            if len(self._done) < ACKS_MAX:
                await self._clock.sleep(ACK_WAIT_S)
            self._acks.clear()
            try:
                await self.flush()
            except DatabaseError as error:
                _LOG.warning("acked events can't be deleted now: %s", error)
                await self._clock.sleep(RETRY_MAX_S)
                self._acks.set()


def _delete(rows: Sequence[int], transaction: Transaction) -> None:
    transaction.connection.executemany("DELETE FROM outbox WHERE id = ?", [(row,) for row in rows])
