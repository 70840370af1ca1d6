"""A map vertex: requests over one long stream, up to ``concurrency`` at a time, answered in any order."""

import asyncio
from typing import Any

import grpc
from pynumaflow.proto.common import metadata_pb2
from pynumaflow.proto.mapper import map_pb2, map_pb2_grpc

from pipeline.local.plane.flow import Datum
from pipeline.local.plane.serving import DIED
from pipeline.local.plane.vertex import Equipment, ended, shake_hands

_HANDSHAKE = map_pb2.MapRequest(handshake=map_pb2.Handshake(sot=True))


class MapVertex:
    """Sends what is in its buffer to the server and its results along the edges.

    What hasn't been answered when the server dies is sent again to the next one.
    """

    def __init__(self, equipment: Equipment) -> None:
        """Nothing is started."""
        self._equipment = equipment
        self._in_work: dict[str, Datum] = {}
        self._slots = asyncio.Semaphore(equipment.plan.concurrency)

    def in_flight(self) -> int:
        """See :class:`~pipeline.local.plane.vertex.Runnable`."""
        return len(self._in_work) + self._equipment.outlet.waiting()

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
        call = map_pb2_grpc.MapStub(channel).MapFn()
        try:
            await shake_hands(call, _HANDSHAKE)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send(call))
                group.create_task(self._receive(call))
        finally:
            call.cancel()

    async def _send(self, call: Any) -> None:
        for datum in list(self._in_work.values()):
            self._equipment.counters.retries += 1
            await call.write(_request(datum))
        outlet, buffer = self._equipment.outlet, self._equipment.buffer
        while True:
            await self._slots.acquire()
            try:
                if outlet.is_blocked:
                    await outlet.cleared()
                datum = await buffer.get()
            except asyncio.CancelledError:
                self._slots.release()
                raise
            self._in_work[datum.id] = datum
            await call.write(_request(datum))

    async def _receive(self, call: Any) -> None:
        while True:
            answer = await call.read()
            if answer is grpc.aio.EOF:
                raise await ended(call)
            datum = self._in_work.pop(answer.id, None)
            if datum is not None:
                self._answered(datum, answer.results)
                self._slots.release()

    def _answered(self, datum: Datum, results: Any) -> None:
        for result in results:
            metadata = metadata_pb2.Metadata(
                previous_vertex=self._equipment.plan.name,
                sys_metadata=datum.metadata.sys_metadata,
                user_metadata=result.metadata.user_metadata,
            )
            self._equipment.outlet.emit(
                Datum(result.value, result.keys, datum.event_time, datum.headers, metadata, datum.lineage),
                tuple(result.tags),
            )
        self._equipment.counters.processed += 1
        datum.lineage.release()


def _request(datum: Datum) -> map_pb2.MapRequest:
    return map_pb2.MapRequest(
        request=map_pb2.MapRequest.Request(
            keys=datum.keys,
            value=datum.value,
            event_time=datum.event_time,
            watermark=datum.event_time,
            headers=datum.headers,
            metadata=datum.metadata,
        ),
        id=datum.id,
    )
