"""Sends what a commit changed, and keeps it until whoever consumes it is done with it.

A row is written in the transaction that changes the entity and deleted after its own ack. So a killed process loses
no event: at the next start everything that isn't acked is sent again, in order. The broker may forget everything, too.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Final, Protocol

from pipeline.cdc.offsets import Position
from pipeline.cdc.producer import BrokerUnavailableError
from pipeline.core.clock import Clock
from pipeline.local.atlas.database import Database, DatabaseError, Transaction
from pipeline.local.atlas.outbox_tail import Tail

AHEAD_MAX: Final = 10_000
"""Events sent and not acked; the rest wait on disk, since the broker holds all it has in memory."""
IN_FLIGHT_MAX: Final = 1_000
"""Events the broker was handed and hasn't confirmed."""
OUTBOX: Final = "outbox"
"""The topic in places of rows that a reader on this machine has."""
ACK_WAIT_S: Final = 0.1
ACKS_MAX: Final = 500
RETRY_MIN_S: Final = 0.05
RETRY_MAX_S: Final = 2.0
STILL_MAX_S: Final = 60.0
"""Nothing was sent for that long although something waits: whoever runs this should look at the broker."""
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
        self._disk = asyncio.Lock()
        database.on_commit(self._committed)  # before the tail hears of it: it asks what waited until now
        self._tail = Tail(database, self._disk, lambda row: row in self._done)
        self._in_hand = 0
        self._moved_s = clock.monotonic_s()
        self._has_failed = False
        # What was sent: a row may have been sent more than once.
        self._rows: dict[Position, int] = {}
        self._places: dict[int, list[Position]] = {}
        self._highest = 0
        self._early: dict[Position, None] = {}
        self._done: dict[int, None] = {}
        self._in_flight: set[asyncio.Task[None]] = set()
        self._space = asyncio.Event()
        self._acks = asyncio.Event()
        # Of a reader of our own: rows it was given, and of those it is done with or that were sent, which is missing.
        self._is_read_here = False
        self._given: set[int] = set()
        self._handled: set[int] = set()
        self._sent: set[int] = set()

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
            if position.topic == OUTBOX:
                self._handle(position.offset)
            elif row is not None:
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

    def tail(self) -> Tail:
        """The rows for a reader on this machine, which needn't wait for a broker: it says :meth:`given`, and acks them
        by that place. From now on a row is kept until it was acked *and* sent. Once, before anything is sent.
        """
        self._is_read_here = True
        return Tail(self._database, self._disk, lambda row: row in self._done or row in self._handled)

    def given(self, row: int) -> Position:
        """The place of a row that a reader on this machine has now."""
        self._given.add(row)
        return Position(OUTBOX, 0, row)

    def unread(self) -> int:
        """Rows that a reader on this machine isn't done with."""
        return self._pending - len(self._handled)

    def _handle(self, row: int) -> None:
        if row not in self._given:
            return
        self._given.discard(row)
        if row in self._sent:
            self._sent.discard(row)
            self._finish(row)
        else:
            self._handled.add(row)

    def _committed(self, events: Sequence[tuple[int, bytes]]) -> None:
        if not self._has_unsent():
            self._moved_s = self._clock.monotonic_s()
        self._pending += len(events)

    def _go_back(self, row: int) -> None:
        """Everything after ``row`` is read from the disk and sent (again)."""
        if not self._has_unsent():
            self._moved_s = self._clock.monotonic_s()
        self._tail.go_back(row)
        self._space.set()  # whoever waits for acks in vain has to begin again as well

    async def _send_all(self, producer: EventProducer) -> None:
        wait_s = RETRY_MIN_S
        while True:
            await self._tail.has_more.wait()
            if self._has_failed:
                await asyncio.gather(*self._in_flight)  # so that none of them arrives after its repeat
                await self._clock.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_MAX_S)
                self._has_failed = False
            elif not self._in_flight:
                wait_s = RETRY_MIN_S
            generation = self._tail.generation
            events = await self._tail.next()
            self._in_hand = len(events)
            for row, payload in events:
                await self._room()
                if generation != self._tail.generation:
                    break
                self._tail.taken = row
                self._in_hand -= 1
                task = asyncio.create_task(self._send(producer, row, payload))
                self._in_flight.add(task)
                task.add_done_callback(self._landed)
            self._in_hand = 0

    def _has_unsent(self) -> bool:
        is_anywhere = self._tail.has_waiting or self._in_hand or self._in_flight
        return self._pending > len(self._sent) and bool(is_anywhere)

    async def _room(self) -> None:
        # A row that is sent again has its places already: it takes no further room.
        while len(self._in_flight) >= IN_FLIGHT_MAX or self._ahead() >= AHEAD_MAX:
            self._space.clear()
            await self._space.wait()

    def _finish(self, row: int) -> None:
        for place in self._places.pop(row, ()):
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
        if self._tail.taken < self._highest:
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
            if self._is_read_here:
                self._was_sent(row)
            elif row not in self._done:
                self._rows[position] = row
                self._places.setdefault(row, []).append(position)
                self._highest = max(self._highest, row)
                if position in self._early:
                    del self._early[position]
                    self._finish(row)

    def _was_sent(self, row: int) -> None:
        if row in self._handled:
            self._handled.discard(row)
            self._finish(row)
        elif row not in self._done:
            self._sent.add(row)

    def _send_again(self, row: int) -> None:
        self._has_failed = True
        self._go_back(min(row - 1, self._tail.taken))

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
