"""Small pipelines of real pynumaflow servers: a source that remembers its acks, maps and sinks as functions."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pynumaflow.mapper import Datum, MapAsyncServer, Message, Messages
from pynumaflow.shared.asynciter import NonBlockingIterator
from pynumaflow.sinker import Datum as SinkDatum
from pynumaflow.sinker import Response, Responses, SinkAsyncServer
from pynumaflow.sourcer import (
    AckRequest,
    NackRequest,
    Offset,
    PartitionsResponse,
    PendingResponse,
    ReadRequest,
    SourceAsyncServer,
    Sourcer,
)
from pynumaflow.sourcer import Message as SourceMessage

from pipeline.core.clock import Clock
from pipeline.local.plane.direct import ServerFactory
from pipeline.local.plane.plane import HostMaker, LocalPlane, direct, in_threads, over_sockets
from pipeline.process.clock import SystemClock
from tests.integration.plane.relayed import RelayedHost

DEADLINE_S = 20.0
EVENT_TIME = datetime(2026, 1, 1, tzinfo=UTC)

Answer = Callable[[bytes], Awaitable[list[Message]]]
Write = Callable[[list[SinkDatum]], Awaitable[dict[str, Response]]]


class HurriedClock(SystemClock):
    """Waits a fiftieth of what it is asked for, so that backoffs don't make a test long."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 50)


class Log:
    """What a source reads from; outlives the source, as a broker does."""

    def __init__(self, payloads: Sequence[bytes] = ()) -> None:
        self.payloads = list(payloads)
        self.acked: list[int] = []
        self.readers = 0

    def factory(self) -> ServerFactory:
        return lambda path, _: SourceAsyncServer(LogSource(self), sock_path=path)

    @property
    def is_done(self) -> bool:
        return set(self.acked) == set(range(len(self.payloads)))


class LogSource(Sourcer):  # type: ignore[misc]  # pynumaflow has no types
    """Gives what isn't acked; made anew, it gives it again."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.next = 0
        self.skip = set(log.acked)
        log.readers += 1

    async def read_handler(self, datum: ReadRequest, output: NonBlockingIterator) -> None:
        given = 0
        while self.next < len(self.log.payloads) and given < datum.num_records:
            at, self.next = self.next, self.next + 1
            if at not in self.skip:
                given += 1
                offset = Offset.offset_with_default_partition_id(str(at).encode())
                await output.put(SourceMessage(self.log.payloads[at], offset, EVENT_TIME, headers={"at": str(at)}))
        if not given:
            await asyncio.sleep(0.005)

    async def ack_handler(self, ack_request: AckRequest) -> None:
        self.log.acked += [int(offset.offset) for offset in ack_request.offsets]

    async def nack_handler(self, ack_request: NackRequest) -> None:
        raise AssertionError("the plane never nacks")

    async def pending_handler(self) -> PendingResponse:
        return PendingResponse(count=len(self.log.payloads) - self.next)

    async def active_partitions_handler(self) -> PartitionsResponse:
        return PartitionsResponse(partitions=[0])


def mapping(answer: Answer) -> ServerFactory:
    """A map server of a function from payload to messages."""

    async def handler(keys: list[str], datum: Datum) -> Messages:
        return Messages(*await answer(datum.value))

    return lambda path, _: MapAsyncServer(handler, sock_path=path)


def tagged(*tags: str) -> ServerFactory:
    """A map that passes everything on with these tags."""

    async def answer(payload: bytes) -> list[Message]:
        return [Message(payload, tags=list(tags))]

    return mapping(answer)


class Written:
    """A sink that keeps what it gets, batch by batch; ``answer`` may refuse a message."""

    def __init__(self, answer: Callable[[str, bytes], Response] | None = None) -> None:
        self.batches: list[list[bytes]] = []
        self.kept: list[bytes] = []
        self.answer = answer or (lambda datum_id, _: Response.as_success(datum_id))

    def factory(self) -> ServerFactory:
        return lambda path, _: SinkAsyncServer(self.write, sock_path=path)

    async def write(self, datums: AsyncIterable[SinkDatum]) -> Responses:
        batch = [datum async for datum in datums]
        self.batches.append([datum.value for datum in batch])
        responses = Responses()
        for datum in batch:
            response = self.answer(datum.id, datum.value)
            if response.success:
                self.kept.append(datum.value)
            responses.append(response)
        return responses


def vertex(name: str, kind: str, **more: Any) -> dict[str, Any]:
    """A vertex of a manifest with quick limits."""
    container = {"container": {"image": "x"}}
    parts: dict[str, dict[str, Any]] = {
        "source": {"source": {"udsource": container}},
        "map": {"udf": container},
        "sink": {
            "sink": {
                "udsink": container,
                "retryStrategy": {"backoff": {"interval": "5ms", "factor": 2, "cap": "20ms", "jitter": 0.1}},
            }
        },
    }
    limits: dict[str, dict[str, Any]] = {
        "source": {"readBatchSize": 100, "readTimeout": "50ms", "concurrency": 1000},
        "map": {"readBatchSize": 1, "readTimeout": "50ms", "concurrency": 64},
        "sink": {"readBatchSize": 100, "readTimeout": "5ms", "concurrency": 100},
    }
    made = {"name": name, "limits": {**limits[kind], **more.pop("limits", {})}, **parts[kind], **more}
    if kind == "source":
        made["containerTemplate"] = {"env": [{"name": "NUMAFLOW_READ_AHEAD", "value": "true"}]}
    return made


def edge(
    origin: str, to: str, *values: str, operator: str = "or", on_full: str = "retryUntilSuccess"
) -> dict[str, Any]:
    """An edge; without values it lets everything pass."""
    tags = {"operator": operator, "values": list(values)} if values else {"operator": "not", "values": ["never"]}
    return {"from": origin, "to": to, "onFull": on_full, "conditions": {"tags": tags}}


def manifest(vertices: list[dict[str, Any]], edges: list[dict[str, Any]]) -> str:
    """The text of a Pipeline."""
    spec = {"watermark": {"disabled": True}, "vertices": vertices, "edges": edges}
    return yaml.safe_dump({"kind": "Pipeline", "spec": spec})


class Transport(Enum):
    """The ways from a vertex to its handler; the whole suite runs on each."""

    SOCKETS = "sockets"
    DIRECT = "direct"
    PROCESSES = "processes"

    def hosts(self, servers: Mapping[str, ServerFactory], folder: Path) -> dict[str, HostMaker]:
        """A host a server."""
        match self:
            case Transport.DIRECT:
                return direct(servers)
            case Transport.SOCKETS:
                return over_sockets(servers, folder)
            case Transport.PROCESSES:
                return {name: partial(RelayedHost, factory, directory=folder) for name, factory in servers.items()}


@contextlib.asynccontextmanager
async def running(
    transport: Transport,
    text: str,
    servers: Mapping[str, ServerFactory],
    clock: Clock | None = None,
    blocking: Collection[str] = (),
) -> AsyncIterator[LocalPlane]:
    """A plane that is stopped in the end, and that left no socket behind; ``blocking`` vertices have threads."""
    with tempfile.TemporaryDirectory(prefix="p") as folder:
        hosts = transport.hosts(servers, Path(folder)) | in_threads({name: servers[name] for name in blocking})
        plane = LocalPlane(text, hosts, clock or SystemClock())
        await plane.start()
        try:
            yield plane
        finally:
            await plane.stop()
        assert not os.listdir(folder)  # noqa: PTH208  (an empty folder, nothing to walk)


async def until(is_so: Callable[[], bool]) -> None:
    """Poll with a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110  (what is waited for belongs to others)
            await asyncio.sleep(0.005)


def numbered(count: int) -> list[bytes]:
    return [f"m{at}".encode() for at in range(count)]
