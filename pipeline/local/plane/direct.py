"""The transport that calls pynumaflow's handlers in this process, without gRPC between.

A factory's server is made as for a socket, but never started: the handler is taken out of it and called with
pynumaflow's own classes. What would end a server's process (any exception out of a handler) loses the link.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pynumaflow.mapper import Datum as MapDatum
from pynumaflow.mapper import MapAsyncServer
from pynumaflow.shared.asynciter import NonBlockingIterator
from pynumaflow.sinker import Datum as SinkDatum
from pynumaflow.sinker import Response, SinkAsyncServer, UserMetadata
from pynumaflow.sourcer import AckRequest, ReadRequest, SourceAsyncServer
from pynumaflow.sourcer import Message as SourceMessage
from pynumaflow.sourcer import Offset as SourceOffset

from pipeline.local.plane.flow import NO_METADATA, Datum, Metadata
from pipeline.local.plane.links import Answer, Given, Offset, ServerEndedError, Status, Taker, WrongServerError
from pipeline.local.plane.manifest import Kind

ServerFactory = Callable[[str, str], Any]
"""From the paths of a Unix socket and a server-info file (which only a server that starts itself writes) to a
``MapAsyncServer``, ``SinkAsyncServer`` or ``SourceAsyncServer`` that isn't started. Called again after each death; the
handlers behind it may be new or the same."""

_SUCCESS: Final = Answer(Status.SUCCESS)
_FAILURE: Final = Answer(Status.FAILURE)
_FALLBACK: Final = Answer(Status.FALLBACK)


class DirectHost:
    """One vertex's handler, made anew after each death."""

    def __init__(self, factory: ServerFactory, name: str) -> None:
        """Nothing is made."""
        self._factory = factory
        self._name = name

    async def start(self, kind: Kind) -> "DirectMap | DirectSink | DirectSource":
        """See :class:`~pipeline.local.plane.links.Host`."""
        vendor = self._factory("", "")
        match kind, vendor:
            case Kind.MAP, MapAsyncServer():
                return DirectMap(vendor.mapper_instance)
            case Kind.SINK, SinkAsyncServer():
                return DirectSink(vendor.sinker_instance)
            case Kind.SOURCE, SourceAsyncServer():
                return DirectSource(vendor.sourcer_instance)
        raise WrongServerError(f"the vertex {self._name!r} is a {kind} and needs pynumaflow's async server")

    async def stop(self) -> None:
        """See :class:`~pipeline.local.plane.links.Host`; its handlers run in the vertex's own tasks."""


class _Direct:
    def __init__(self) -> None:
        self.lost: asyncio.Future[ServerEndedError] = asyncio.get_running_loop().create_future()


@contextlib.contextmanager
def _handler() -> Iterator[None]:
    """Turns whatever leaves a handler into the end of its server, but for a cancellation that the plane wished."""
    try:
        yield
    except ServerEndedError:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ServerEndedError("the handler was cancelled from inside") from error
    except BaseException as error:
        raise ServerEndedError(f"the handler raised {error!r}") from error


class DirectMap(_Direct):
    """See :class:`~pipeline.local.plane.links.MapLink`."""

    def __init__(self, handler: Callable[[list[str], MapDatum], Any]) -> None:
        """Belongs to the running loop."""
        super().__init__()
        self._handler = handler

    async def answer(self, datum: Datum) -> Sequence[tuple[Datum, tuple[str, ...]]]:
        """See the port."""
        keys = list(datum.keys)
        with _handler():
            messages = await self._handler(
                keys,
                MapDatum(
                    keys=keys.copy(),
                    value=datum.value,
                    event_time=datum.event_time,
                    watermark=datum.event_time,
                    headers=dict(datum.headers),
                    user_metadata=_user_metadata(datum.metadata),
                ),
            )
            return [
                (datum.follow(message.value, message.keys, _metadata(message.user_metadata)), tuple(message.tags))
                for message in messages
            ]


class DirectSink(_Direct):
    """See :class:`~pipeline.local.plane.links.SinkLink`."""

    def __init__(self, handler: Callable[[AsyncIterator[SinkDatum]], Any]) -> None:
        """Belongs to the running loop."""
        super().__init__()
        self._handler = handler

    async def deliver(self, batch: Mapping[str, Datum]) -> dict[str, Answer]:
        """See the port."""
        with _handler():
            responses = await self._handler(_stream(batch.values()))
            return {response.id: _answer(response) for response in responses}


async def _stream(batch: Iterable[Datum]) -> AsyncIterator[SinkDatum]:
    for datum in batch:
        yield SinkDatum(
            keys=list(datum.keys),
            sink_msg_id=datum.id,
            value=datum.value,
            event_time=datum.event_time,
            watermark=datum.event_time,
            headers=dict(datum.headers),
            user_metadata=_user_metadata(datum.metadata),
        )


def _answer(response: Response) -> Answer:
    if response.success:
        return _SUCCESS
    if response.fallback:
        return _FALLBACK
    if response.on_success:
        message = response.on_success_msg
        if message is None:
            return Answer(Status.ON_SUCCESS)
        metadata = _metadata(message.user_metadata) if message.user_metadata else NO_METADATA
        return Answer(Status.ON_SUCCESS, (message.value, message.keys or (), metadata))
    return _FAILURE


class DirectSource(_Direct):
    """See :class:`~pipeline.local.plane.links.SourceLink`."""

    def __init__(self, source: Any) -> None:
        """``source`` is a Sourcer. Belongs to the running loop."""
        super().__init__()
        self._source = source

    async def read(self, count: int, timeout_s: float, take: Taker) -> None:
        """See the port."""
        output = _Output(take, self.lost)
        with _handler():
            await self._source.read_handler(ReadRequest(count, int(timeout_s * 1000)), output)

    async def ack(self, offsets: Sequence[Offset]) -> None:
        """See the port."""
        with _handler():
            await self._source.ack_handler(
                AckRequest([SourceOffset(offset.offset, offset.partition) for offset in offsets])
            )


class _Output(NonBlockingIterator[SourceMessage]):  # type: ignore[misc]  # pynumaflow has no types
    """What a read handler puts its messages into: they are on the edges when ``put`` returns."""

    __slots__ = ("_lost", "_take")

    def __init__(self, take: Taker, lost: "asyncio.Future[ServerEndedError]") -> None:
        super().__init__()
        self._take = take
        self._lost = lost

    async def put(self, item: SourceMessage) -> None:
        if self._lost.done():
            raise self._lost.result()
        self._take(
            Given(
                offset=Offset(item.offset.partition_id, item.offset.offset),
                value=item.payload,
                keys=item.keys,
                event_time=_naive(item.event_time),
                headers=item.headers,
                metadata=_metadata(item.user_metadata),
            )
        )


def _naive(at: datetime) -> datetime:
    return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)


def _user_metadata(metadata: Metadata) -> UserMetadata | None:
    return UserMetadata({group: dict(values) for group, values in metadata.items()}) if metadata else None


def _metadata(user_metadata: UserMetadata) -> Metadata:
    if not len(user_metadata):
        return NO_METADATA
    return {group: dict(user_metadata[group]) for group in user_metadata.groups()}
