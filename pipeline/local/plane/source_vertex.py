"""A source vertex: reads ahead up to its bound, and acks each message by itself once all that came of it arrived."""

import asyncio
from collections import deque
from itertools import islice
from typing import Any, Final

import grpc
from pynumaflow.proto.common import metadata_pb2
from pynumaflow.proto.sourcer import source_pb2, source_pb2_grpc

from pipeline.local.plane.flow import Datum, Lineage
from pipeline.local.plane.serving import DIED
from pipeline.local.plane.vertex import Equipment, ended, shake_hands

ACK_GATHER_S: Final = 0.002
"""Acks of this long travel together."""
ACK_OFFSETS_MAX: Final = 1_000
READ_END_S: Final = 5.0
"""Beyond its time-out, a read under way gets this long when the server has failed otherwise."""
REPEAT_WINDOW_S: Final = 60.0
"""A repeated offset is dropped for this long after its ack: JetStream's window for duplicates."""
REPEATS_REMEMBERED_MAX: Final = 100_000

_READ_HANDSHAKE = source_pb2.ReadRequest(handshake=source_pb2.Handshake(sot=True))
_ACK_HANDSHAKE = source_pb2.AckRequest(handshake=source_pb2.Handshake(sot=True))
_NO_TAGS: Final[tuple[str, ...]] = ()

Offset = tuple[int, bytes]
"""Partition and offset: what the source calls a message."""


class SourceVertex:
    """Reads from the server, puts each message on the edges, and sends acks in the order in which they fall due.

    A message that the source gives again while the first is on its way (or within a minute after) is dropped; its
    ack is sent with or after the first one's.
    """

    def __init__(self, equipment: Equipment) -> None:
        """Nothing is started."""
        self._equipment = equipment
        self._on_way: set[Offset] = set()
        self._acked: dict[Offset, float] = {}
        self._to_ack: deque[Offset] = deque()
        self._has_acks = asyncio.Event()
        self._has_room = asyncio.Event()
        self._is_ending = False

    def in_flight(self) -> int:
        """See :class:`~pipeline.local.plane.vertex.Runnable`."""
        return len(self._on_way)

    async def run(self) -> None:
        """See :class:`~pipeline.local.plane.vertex.Runnable`."""
        server = self._equipment.server
        while True:
            channel = await server.open()
            try:
                await self._session(channel)
            except* DIED as error:
                await server.died(error)

    async def _session(self, channel: grpc.aio.Channel) -> None:
        self._is_ending = False
        tasks = (asyncio.create_task(self._read(channel)), asyncio.create_task(self._ack(channel)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # A read under way is read to its end: the source may not give again what it has given once.
            self._is_ending = True
            self._has_room.set()
            await asyncio.wait(tasks[:1], timeout=self._equipment.plan.read_timeout_s + READ_END_S)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        raise ExceptionGroup("the source's streams ended", [end for end in ends if isinstance(end, Exception)])

    async def _read(self, channel: grpc.aio.Channel) -> None:
        call = source_pb2_grpc.SourceStub(channel).ReadFn()
        plan = self._equipment.plan
        try:
            await shake_hands(call, _READ_HANDSHAKE)
            while room := await self._room():
                request = source_pb2.ReadRequest.Request(
                    num_records=min(plan.read_batch_size, room),
                    timeout_in_ms=int(plan.read_timeout_s * 1000),
                )
                await call.write(source_pb2.ReadRequest(request=request))
                await self._read_batch(call)
        finally:
            call.cancel()

    async def _read_batch(self, call: Any) -> None:
        while True:
            answer = await call.read()
            if answer is grpc.aio.EOF:
                raise await ended(call)
            if answer.status.eot:
                return
            self._take(answer.result)

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

    def _take(self, result: Any) -> None:
        offset = (result.offset.partition_id, result.offset.offset)
        if offset in self._on_way:
            self._equipment.counters.duplicates += 1
            return
        if offset in self._acked:
            self._equipment.counters.duplicates += 1
            self._owe_ack(offset)
            return
        self._on_way.add(offset)
        lineage = Lineage(lambda: self._arrived(offset))
        metadata = metadata_pb2.Metadata(
            previous_vertex=self._equipment.plan.name, user_metadata=result.metadata.user_metadata
        )
        datum = Datum(result.payload, result.keys, result.event_time, result.headers, metadata, lineage)
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

    async def _ack(self, channel: grpc.aio.Channel) -> None:
        call = source_pb2_grpc.SourceStub(channel).AckFn()
        try:
            await shake_hands(call, _ACK_HANDSHAKE)
            while True:
                await self._has_acks.wait()
                await self._equipment.clock.sleep(ACK_GATHER_S)
                await self._ack_batch(call)
                self._forget()
        finally:
            call.cancel()

    async def _ack_batch(self, call: Any) -> None:
        """One request; its offsets stay owed until the answer, so a death between the two sends them again."""
        count = min(len(self._to_ack), ACK_OFFSETS_MAX)
        offsets = [
            source_pb2.Offset(offset=offset, partition_id=partition)
            for partition, offset in (self._to_ack[at] for at in range(count))
        ]
        await call.write(source_pb2.AckRequest(request=source_pb2.AckRequest.Request(offsets=offsets)))
        if await call.read() is grpc.aio.EOF:
            raise await ended(call)
        for _ in range(count):
            self._to_ack.popleft()
        if not self._to_ack:
            self._has_acks.clear()

    def _forget(self) -> None:
        horizon_s = self._equipment.clock.monotonic_s() - REPEAT_WINDOW_S
        surplus = len(self._acked) - REPEATS_REMEMBERED_MAX
        oldest = islice(self._acked.items(), 2 * ACK_OFFSETS_MAX)
        for offset in [offset for at, (offset, at_s) in enumerate(oldest) if at_s < horizon_s or at < surplus]:
            del self._acked[offset]
