"""Links over a gRPC channel: a client of pynumaflow's servers that speaks Numaflow's protocol.

One long stream (two for a source), opened by a handshake; whoever listens at the other end is the host's business.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any, Final, Self

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from pynumaflow.proto.common import metadata_pb2
from pynumaflow.proto.mapper import map_pb2, map_pb2_grpc
from pynumaflow.proto.sinker import sink_pb2, sink_pb2_grpc
from pynumaflow.proto.sourcer import source_pb2, source_pb2_grpc

from pipeline.local.plane.flow import NO_METADATA, Datum, Metadata
from pipeline.local.plane.links import Answer, Given, Offset, ServerEndedError, Status, Taker
from pipeline.local.plane.manifest import Kind

_MAP_HANDSHAKE = map_pb2.MapRequest(handshake=map_pb2.Handshake(sot=True))
_SINK_HANDSHAKE = sink_pb2.SinkRequest(handshake=sink_pb2.Handshake(sot=True))
_SINK_END = sink_pb2.SinkRequest(status=sink_pb2.TransmissionStatus(eot=True))
_READ_HANDSHAKE = source_pb2.ReadRequest(handshake=source_pb2.Handshake(sot=True))
_ACK_HANDSHAKE = source_pb2.AckRequest(handshake=source_pb2.Handshake(sot=True))
_DIED: Final = (grpc.RpcError, asyncio.InvalidStateError)
"""What a stream to a dying server raises; InvalidStateError is a write after its end."""
_STATUSES: Final[Mapping[int, Status]] = {
    sink_pb2.SUCCESS: Status.SUCCESS,
    sink_pb2.FAILURE: Status.FAILURE,
    sink_pb2.FALLBACK: Status.FALLBACK,
    sink_pb2.ON_SUCCESS: Status.ON_SUCCESS,
}


async def connect(kind: Kind, channel: grpc.aio.Channel) -> "MapStream | SinkStream | SourceStreams":
    """The link of this kind over a channel to a server that listens.

    Raises:
        ServerEndedError: it doesn't, or answers something else than a handshake.
    """
    match kind:
        case Kind.MAP:
            return await MapStream(map_pb2_grpc.MapStub(channel).MapFn()).opened()
        case Kind.SINK:
            return await SinkStream(sink_pb2_grpc.SinkStub(channel).SinkFn()).opened()
        case Kind.SOURCE:
            stub = source_pb2_grpc.SourceStub(channel)
            return await SourceStreams(stub.ReadFn(), stub.AckFn()).opened()


class _Streams:
    """What the links share: streams that are opened together, and whose end is the link's."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[ServerEndedError] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []

    def _lose(self, error: ServerEndedError) -> None:
        if not self.lost.done():
            self.lost.set_result(error)

    async def _follow(self, receiving: Awaitable[None]) -> None:
        try:
            with _ending():
                await receiving
        except ServerEndedError as error:
            self._lose(error)

    async def _close(self, *calls: Any) -> None:
        for call in calls:
            call.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._lose(ServerEndedError("closed"))


class MapStream(_Streams):
    """See :class:`~pipeline.local.plane.links.MapLink`: requests over one stream, answered in any order."""

    def __init__(self, call: Any) -> None:
        """``call`` is new; see :meth:`opened`."""
        super().__init__()
        self._call = call
        self._requests: asyncio.Queue[Datum] = asyncio.Queue()
        self._waiting: dict[str, asyncio.Future[Any]] = {}

    async def opened(self) -> Self:
        """Itself, once the server has shaken hands."""
        await _shake_hands(self._call, _MAP_HANDSHAKE)
        self._tasks += [asyncio.create_task(self._follow(part)) for part in (self._send(), self._receive())]
        return self

    async def close(self) -> None:
        """End the stream; may be called twice."""
        await self._close(self._call)

    async def answer(self, datum: Datum) -> Sequence[tuple[Datum, tuple[str, ...]]]:
        """See the port."""
        answered = self._waiting[datum.id] = asyncio.get_running_loop().create_future()
        self._requests.put_nowait(datum)
        try:
            results = await answered
        finally:
            del self._waiting[datum.id]
        return [
            (datum.follow(result.value, tuple(result.keys), _metadata(result.metadata)), tuple(result.tags))
            for result in results
        ]

    async def _send(self) -> None:
        while True:
            await self._call.write(_map_request(await self._requests.get()))

    async def _receive(self) -> None:
        while True:
            answer = await _next(self._call)
            waiting = self._waiting.get(answer.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer.results)


class SinkStream(_Streams):
    """See :class:`~pipeline.local.plane.links.SinkLink`: a batch, its end, the answers, their end."""

    def __init__(self, call: Any) -> None:
        """``call`` is new; see :meth:`opened`."""
        super().__init__()
        self._call = call
        self._answers: dict[str, Answer] = {}
        self._answered: asyncio.Future[None] | None = None

    async def opened(self) -> Self:
        """Itself, once the server has shaken hands."""
        await _shake_hands(self._call, _SINK_HANDSHAKE)
        self._tasks.append(asyncio.create_task(self._follow(self._receive())))
        return self

    async def close(self) -> None:
        """End the stream; may be called twice."""
        await self._close(self._call)

    async def deliver(self, batch: Mapping[str, Datum]) -> dict[str, Answer]:
        """See the port."""
        self._answers = {}
        self._answered = asyncio.get_running_loop().create_future()
        with _ending():
            for datum in batch.values():
                await self._call.write(_sink_request(datum))
            await self._call.write(_SINK_END)
        await self._answered
        return self._answers

    async def _receive(self) -> None:
        while True:
            answer = await _next(self._call)
            for result in answer.results:
                self._answers[result.id] = _answer(result)
            if answer.status.eot and self._answered is not None and not self._answered.done():
                self._answered.set_result(None)


class SourceStreams(_Streams):
    """See :class:`~pipeline.local.plane.links.SourceLink`: a stream of reads, another of acks."""

    def __init__(self, reads: Any, acks: Any) -> None:
        """Both calls are new; see :meth:`opened`."""
        super().__init__()
        self._reads = reads
        self._acks = acks

    async def opened(self) -> Self:
        """Itself, once the server has shaken hands twice."""
        await _shake_hands(self._reads, _READ_HANDSHAKE)
        await _shake_hands(self._acks, _ACK_HANDSHAKE)
        return self

    async def close(self) -> None:
        """End the streams; may be called twice."""
        await self._close(self._reads, self._acks)

    async def read(self, count: int, timeout_s: float, take: Taker) -> None:
        """See the port."""
        request = source_pb2.ReadRequest.Request(num_records=count, timeout_in_ms=int(timeout_s * 1000))
        with _ending():
            await self._reads.write(source_pb2.ReadRequest(request=request))
            while not (answer := await _next(self._reads)).status.eot:
                take(_given(answer.result))

    async def ack(self, offsets: Sequence[Offset]) -> None:
        """See the port."""
        wire = [source_pb2.Offset(offset=offset.offset, partition_id=offset.partition) for offset in offsets]
        with _ending():
            await self._acks.write(source_pb2.AckRequest(request=source_pb2.AckRequest.Request(offsets=wire)))
            await _next(self._acks)


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    try:
        yield
    except _DIED as error:
        reason = error.details() if isinstance(error, grpc.aio.AioRpcError) else None
        raise ServerEndedError(str(reason or error or type(error).__name__)) from None


async def _next(call: Any) -> Any:
    answer = await call.read()
    if answer is grpc.aio.EOF:
        raise ServerEndedError(str(await call.details() or await call.code()))
    return answer


async def _shake_hands(call: Any, handshake: Any) -> None:
    with _ending():
        await call.write(handshake)
        answer = await call.read()
    if not answer or not answer.handshake.sot:
        raise ServerEndedError("no handshake")


def _map_request(datum: Datum) -> map_pb2.MapRequest:
    at = _timestamp(datum)
    return map_pb2.MapRequest(
        request=map_pb2.MapRequest.Request(
            keys=datum.keys,
            value=datum.value,
            event_time=at,
            watermark=at,
            headers=datum.headers,
            metadata=_wire_metadata(datum.metadata),
        ),
        id=datum.id,
    )


def _sink_request(datum: Datum) -> sink_pb2.SinkRequest:
    at = _timestamp(datum)
    return sink_pb2.SinkRequest(
        request=sink_pb2.SinkRequest.Request(
            keys=datum.keys,
            value=datum.value,
            event_time=at,
            watermark=at,
            id=datum.id,
            headers=datum.headers,
            metadata=_wire_metadata(datum.metadata),
        )
    )


def _answer(result: Any) -> Answer:
    status = _STATUSES.get(result.status)
    if status is None:
        raise ServerEndedError(f"a sink's status {result.status} is unknown")
    if status is Status.ON_SUCCESS and result.HasField("on_success_msg"):
        message = result.on_success_msg
        return Answer(status, (message.value, tuple(message.keys), _metadata(message.metadata)))
    return Answer(status)


def _given(result: Any) -> Given:
    return Given(
        offset=Offset(result.offset.partition_id, result.offset.offset),
        value=result.payload,
        keys=tuple(result.keys),
        event_time=result.event_time.ToDatetime(),
        headers=dict(result.headers),
        metadata=_metadata(result.metadata),
    )


def _timestamp(datum: Datum) -> Timestamp:
    at = Timestamp()
    at.FromDatetime(datum.event_time.replace(tzinfo=UTC))
    return at


def _wire_metadata(metadata: Metadata) -> metadata_pb2.Metadata | None:
    if not metadata:
        return None
    groups = {group: metadata_pb2.KeyValueGroup(key_value=dict(values)) for group, values in metadata.items()}
    return metadata_pb2.Metadata(user_metadata=groups)


def _metadata(wire: metadata_pb2.Metadata) -> Metadata:
    return {group: dict(values.key_value) for group, values in wire.user_metadata.items()} or NO_METADATA
