"""A source vertex: reads ahead up to its bound, and acks each message by itself once all that came of it arrived."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Coroutine, Sequence
from itertools import islice
from typing import Any, Final

from pipeline.local.plane.flow import Datum, Lineage
from pipeline.local.plane.links import Given, Offset, SourceLink
from pipeline.local.plane.server import end
from pipeline.local.plane.vertex import Equipment

ACK_GATHER_S: Final = 0.002
"""Acks of this long travel together."""
ACK_OFFSETS_MAX: Final = 1_000
READ_END_S: Final = 5.0
"""Beyond its time-out, a read under way gets this long when the server has failed otherwise."""
REPEAT_WINDOW_S: Final = 60.0
"""A repeated offset is dropped for this long after its ack: JetStream's window for duplicates."""
REPEATS_REMEMBERED_MAX: Final = 100_000

_NO_TAGS: Final[tuple[str, ...]] = ()


class SourceVertex:
    """Reads from the server, puts each message on the edges, and sends acks in the order in which they fall due.

    A message that the source gives again while the first is on its way (or within a minute after) is dropped; its
    ack is sent with or after the first one's.
    """

    def __init__(self, equipment: Equipment) -> None:
        """Nothing is started."""
        self._equipment = equipment
        self._on_way: set[Offset] = set()
        self._acked: OrderedDict[Offset, float] = OrderedDict()  # a dict's first key is slow to find after deletions
        self._to_ack: deque[Offset] = deque()
        self._has_acks = asyncio.Event()
        self._has_room = asyncio.Event()
        self._is_ending = False

    def in_flight(self) -> int:
        """See :class:`~pipeline.local.plane.vertex.Runnable`."""
        return len(self._on_way)

    def work(self) -> Sequence[Coroutine[Any, Any, None]]:
        """See :class:`~pipeline.local.plane.vertex.Runnable`."""
        return (self._equipment.server.keep(self._session),)

    async def _session(self, link: SourceLink) -> None:
        self._is_ending = False
        name = self._equipment.server.name
        tasks = [
            asyncio.create_task(self._read(link), name=f"vertex {name}"),
            asyncio.create_task(self._ack(link), name=f"vertex {name}"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # A read under way is read to its end: the source may not give again what it has given once.
            self._is_ending = True
            self._has_room.set()
            await asyncio.wait(tasks[:1], timeout=self._equipment.plan.read_timeout_s + READ_END_S)
        finally:
            await end(tasks, name)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _read(self, link: SourceLink) -> None:
        plan, pace, counters = self._equipment.plan, self._equipment.pace, self._equipment.counters
        while room := await self._room():
            before = counters.processed
            await link.read(min(plan.read_batch_size, room), plan.read_timeout_s, self._take)
            if pace:
                await pace.take(counters.processed - before)

    async def _room(self) -> int:
        """Messages that may be read: up to ``concurrency`` when reading ahead, else one batch after another.

        0 when the session is to end.
        """
        plan, outlet = self._equipment.plan, self._equipment.outlet
        while True:
            await outlet.cleared()
            if self._is_ending:
                return 0
            room = plan.concurrency - len(self._on_way)
            if room > 0 and (plan.is_reading_ahead or not self._on_way):
                return room
            self._has_room.clear()
            await self._has_room.wait()

    def _take(self, given: Given) -> None:
        offset = given.offset
        if offset in self._on_way:
            self._equipment.counters.duplicates += 1
            return
        if offset in self._acked:
            self._equipment.counters.duplicates += 1
            self._owe_ack(offset)
            return
        self._on_way.add(offset)
        lineage = Lineage(lambda: self._arrived(offset), self._equipment.traffic)
        datum = Datum(given.value, given.keys, given.event_time, given.headers, given.metadata, lineage)
        self._equipment.outlet.emit(datum, _NO_TAGS)
        self._equipment.counters.processed += 1
        lineage.release()

    def _arrived(self, offset: Offset) -> None:
        self._on_way.discard(offset)
        self._acked[offset] = self._equipment.clock.monotonic_s()
        self._has_room.set()
        self._owe_ack(offset)

    def _owe_ack(self, offset: Offset) -> None:
        self._to_ack.append(offset)
        self._has_acks.set()

    async def _ack(self, link: SourceLink) -> None:
        while True:
            await self._has_acks.wait()
            if self._equipment.plan.is_reading_ahead:  # else the next read waits for it
                await self._equipment.clock.sleep(ACK_GATHER_S)
            await self._ack_batch(link)
            self._forget()

    async def _ack_batch(self, link: SourceLink) -> None:
        """One request; its offsets stay owed until the answer, so a death between the two sends them again."""
        offsets = list(islice(self._to_ack, ACK_OFFSETS_MAX))
        await link.ack(offsets)
        for _ in offsets:
            self._to_ack.popleft()
        if not self._to_ack:
            self._has_acks.clear()

    def _forget(self) -> None:
        # In the order of their acks, so that nothing is looked at but what goes and the one after it.
        horizon_s = self._equipment.clock.monotonic_s() - REPEAT_WINDOW_S
        while self._acked:
            if next(iter(self._acked.values())) >= horizon_s and len(self._acked) <= REPEATS_REMEMBERED_MAX:
                return
            self._acked.popitem(last=False)
