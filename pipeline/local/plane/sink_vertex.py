"""A sink vertex: one batch at a time; what fails is tried for ever, what the sink gives up goes to its fallback."""

import asyncio
import zlib
from collections.abc import Mapping
from typing import Any, Final

import grpc
from pynumaflow.proto.sinker import sink_pb2, sink_pb2_grpc

from pipeline.local.plane.flow import Counters, Datum
from pipeline.local.plane.manifest import BackoffPlan
from pipeline.local.plane.serving import DIED, ServerEndedError, VertexServer
from pipeline.local.plane.vertex import Equipment, ended, shake_hands

_HANDSHAKE = sink_pb2.SinkRequest(handshake=sink_pb2.Handshake(sot=True))
_END = sink_pb2.SinkRequest(status=sink_pb2.TransmissionStatus(eot=True))
_ANSWERS: Final = frozenset({sink_pb2.SUCCESS, sink_pb2.FAILURE})


class SinkVertex:
    """Gathers batches from its buffer and delivers each until all of it has arrived."""

    def __init__(self, equipment: Equipment) -> None:
        """Nothing is started."""
        self._equipment = equipment
        known = _ANSWERS | {sink_pb2.FALLBACK} if equipment.fallback else _ANSWERS
        self._sink = SinkClient(equipment.server, equipment.counters, known)
        self._fallback = SinkClient(equipment.fallback, equipment.counters, _ANSWERS) if equipment.fallback else None
        self._batch: dict[str, Datum] = {}

    def in_flight(self) -> int:
        """See :class:`~pipeline.local.plane.vertex.Runnable`."""
        return len(self._batch)

    async def run(self) -> None:
        """See :class:`~pipeline.local.plane.vertex.Runnable`."""
        await self._sink.open()
        if self._fallback:
            await self._fallback.open()
        while True:
            await self._gather()
            given_up = await self._deliver(self._sink, self._batch)
            if given_up and self._fallback:
                self._equipment.counters.fallbacks += len(given_up)
                await self._deliver(self._fallback, given_up)

    async def _gather(self) -> None:
        plan, buffer = self._equipment.plan, self._equipment.buffer
        first = await buffer.get()
        self._batch[first.id] = first
        try:
            async with asyncio.timeout(plan.read_timeout_s):
                while len(self._batch) < plan.read_batch_size:
                    datum = await buffer.get()
                    self._batch[datum.id] = datum
        except TimeoutError:
            return  # a batch needn't be full

    async def _deliver(self, client: "SinkClient", batch: Mapping[str, Datum]) -> dict[str, Datum]:
        """Until nothing of the batch fails any more; what was given up."""
        left = dict(batch)
        given_up: dict[str, Datum] = {}
        tries = 0
        while left:
            for datum_id, status in (await client.deliver(left)).items():
                if status == sink_pb2.FAILURE:
                    continue
                datum = left.pop(datum_id)
                if status == sink_pb2.FALLBACK:
                    given_up[datum_id] = datum
                else:
                    self._arrived(datum)
            if left:
                self._equipment.counters.retries += len(left)
                await self._equipment.clock.sleep(
                    backoff_s(self._equipment.plan.backoff, self._equipment.plan.name, tries)
                )
                tries += 1
        return given_up

    def _arrived(self, datum: Datum) -> None:
        del self._batch[datum.id]
        self._equipment.counters.processed += 1
        datum.lineage.release()


def backoff_s(plan: BackoffPlan, vertex: str, tries: int) -> float:
    """The wait before the next try, after ``tries`` waits before it (from 0).

    Jitter takes up to that share off; it is derived from vertex and try, so vertices part and a test repeats.
    """
    whole_s = min(plan.cap_s, plan.interval_s * plan.factor ** min(tries, 64))
    return whole_s * (1 - plan.jitter * zlib.crc32(f"{vertex}/{tries}".encode()) / 2**32)


class SinkClient:
    """The stream to one sink server; a batch outlives the server's death."""

    def __init__(self, server: VertexServer, counters: Counters, known: frozenset[int]) -> None:
        """Nothing is started; ``known`` are the statuses that the server may answer with."""
        self._server = server
        self._known = known
        self._counters = counters
        self._call: Any = None

    async def open(self) -> None:
        """Start the server ahead of the first batch."""
        while self._call is None:
            channel = await self._server.open()
            call = sink_pb2_grpc.SinkStub(channel).SinkFn()
            try:
                await shake_hands(call, _HANDSHAKE)
                self._call = call
            except DIED as error:
                await self._server.died(error)

    async def deliver(self, batch: Mapping[str, Datum]) -> dict[str, int]:
        """A status for each message of the batch; sent again to a new server whenever one dies over it."""
        while True:
            await self.open()
            try:
                return await self._exchange(batch)
            except DIED as error:
                self._call.cancel()
                self._call = None
                self._counters.retries += len(batch)
                await self._server.died(error)

    async def _exchange(self, batch: Mapping[str, Datum]) -> dict[str, int]:
        for datum in batch.values():
            await self._call.write(_request(datum))
        await self._call.write(_END)
        statuses: dict[str, int] = {}
        while True:
            answer = await self._call.read()
            if answer is grpc.aio.EOF:
                raise await ended(self._call)
            if answer.status.eot:
                break
            statuses.update((result.id, result.status) for result in answer.results)
        return self._checked(statuses, batch)

    def _checked(self, statuses: dict[str, int], batch: Mapping[str, Datum]) -> dict[str, int]:
        if statuses.keys() != batch.keys():
            raise ServerEndedError(f"{len(statuses)} answers to a batch of {len(batch)}")
        odd = sorted({sink_pb2.Status.Name(status) for status in set(statuses.values()) - self._known})
        if odd:
            raise ServerEndedError(f"the manifest has no sink for answers of {', '.join(odd)}")
        return statuses


def _request(datum: Datum) -> sink_pb2.SinkRequest:
    return sink_pb2.SinkRequest(
        request=sink_pb2.SinkRequest.Request(
            keys=datum.keys,
            value=datum.value,
            event_time=datum.event_time,
            watermark=datum.event_time,
            id=datum.id,
            headers=datum.headers,
            metadata=datum.metadata,
        )
    )
