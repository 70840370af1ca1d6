"""``python -m benchmarks.plane``: what the local data plane costs, without the product.

Source → map → map → sink with 1.5 kB payloads on each transport, one process, uvloop; handlers do nothing.
"""

import asyncio
import resource
import tempfile
from collections.abc import AsyncIterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop
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

from benchmarks.measuring import percentile, table
from pipeline.local.plane.plane import HostMaker, LocalPlane, direct, over_sockets
from pipeline.process.clock import SystemClock

PAYLOAD: Final = b"x" * 1500
FLOOD_MESSAGES: Final = 5_000
LONE_MESSAGES: Final = 300
LONE_GAP_S: Final = 0.01
EVENT_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)


class _Source(Sourcer):  # type: ignore[misc]  # pynumaflow has no types
    """Gives what is in its queue, as the CDC source does."""

    def __init__(self, queue: asyncio.Queue[int], given: dict[int, float], acked: dict[int, float]) -> None:
        self.queue, self.given, self.acked = queue, given, acked

    async def read_handler(self, datum: ReadRequest, output: NonBlockingIterator) -> None:
        try:
            at = await asyncio.wait_for(self.queue.get(), datum.timeout_in_ms / 1000)
        except TimeoutError:
            return
        batch = [at]
        while len(batch) < datum.num_records and not self.queue.empty():
            batch.append(self.queue.get_nowait())
        for at in batch:
            self.given[at] = asyncio.get_running_loop().time()
            await output.put(SourceMessage(PAYLOAD, Offset(str(at).encode(), 0), EVENT_TIME))

    async def ack_handler(self, ack_request: AckRequest) -> None:
        now = asyncio.get_running_loop().time()
        for offset in ack_request.offsets:
            self.acked[int(offset.offset)] = now

    async def nack_handler(self, ack_request: NackRequest) -> None:  # noqa: ARG002  (the port's signature)
        raise AssertionError("the plane never nacks")

    async def pending_handler(self) -> PendingResponse:
        return PendingResponse(count=self.queue.qsize())

    async def active_partitions_handler(self) -> PartitionsResponse:
        return PartitionsResponse(partitions=[0])


async def _pass_on(keys: list[str], datum: Datum) -> Messages:  # noqa: ARG001  (the port's signature)
    return Messages(Message(datum.value, tags=["a"]))


async def _write(datums: AsyncIterable[SinkDatum]) -> Responses:
    responses = Responses()
    async for datum in datums:
        responses.append(Response.as_success(datum.id))
    return responses


def _manifest() -> str:
    def edge(origin: str, to: str, operator: str) -> dict[str, Any]:
        return {"from": origin, "to": to, "conditions": {"tags": {"operator": operator, "values": ["a"]}}}

    container = {"container": {"image": "none"}}
    map_limits = {"readBatchSize": 1, "concurrency": 64}
    vertices = [
        {
            "name": "in",
            "source": {"udsource": container},
            "limits": {"concurrency": 5000},
            "containerTemplate": {"env": [{"name": "NUMAFLOW_READ_AHEAD", "value": "true"}]},
        },
        {"name": "one", "udf": container, "limits": map_limits},
        {"name": "two", "udf": container, "limits": map_limits},
        {"name": "out", "sink": {"udsink": container}, "limits": {"readTimeout": "1ms"}},
    ]
    edges = [edge("in", "one", "not"), edge("one", "two", "or"), edge("two", "out", "or")]
    spec = {"watermark": {"disabled": True}, "vertices": vertices, "edges": edges}
    return yaml.safe_dump({"kind": "Pipeline", "spec": spec})


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _until(acked: dict[int, float], count: int) -> None:
    async with asyncio.timeout(120):
        while len(acked) < count:  # noqa: ASYNC110  (polled, so that the measured path carries no event)
            await asyncio.sleep(0.005)


async def _measure(transport: str) -> list[tuple[object, ...]]:
    queue: asyncio.Queue[int] = asyncio.Queue()
    given: dict[int, float] = {}
    acked: dict[int, float] = {}
    servers = {
        "in": lambda path, _: SourceAsyncServer(_Source(queue, given, acked), sock_path=path),
        "one": lambda path, _: MapAsyncServer(_pass_on, sock_path=path),
        "two": lambda path, _: MapAsyncServer(_pass_on, sock_path=path),
        "out": lambda path, _: SinkAsyncServer(_write, sock_path=path),
    }
    with tempfile.TemporaryDirectory(prefix="p") as folder:
        hosts: dict[str, HostMaker] = direct(servers) if transport == "direct" else over_sockets(servers, Path(folder))
        plane = LocalPlane(_manifest(), hosts, SystemClock())
        await plane.start()
        try:
            rows: list[tuple[object, ...]] = []
            for name, first, count, gap_s in (
                ("flood", 0, FLOOD_MESSAGES, 0.0),
                ("one every 10 ms", FLOOD_MESSAGES, LONE_MESSAGES, LONE_GAP_S),
            ):
                cpu_s, began_s = _cpu_s(), asyncio.get_running_loop().time()
                for at in range(first, first + count):
                    queue.put_nowait(at)
                    if gap_s:
                        await asyncio.sleep(gap_s)
                await _until(acked, first + count)
                took_s, used_s = asyncio.get_running_loop().time() - began_s, _cpu_s() - cpu_s
                latencies = [(acked[at] - given[at]) * 1000 for at in range(first, first + count)]
                rows.append(
                    (
                        transport,
                        name,
                        f"{count / took_s:.0f}",
                        f"{used_s / count * 1000:.3f}",
                        f"{percentile(latencies, 0.5):.1f}",
                        f"{percentile(latencies, 0.99):.1f}",
                    )
                )
            return rows
        finally:
            await plane.stop()


def main() -> None:
    """Print the table."""
    rows = [row for transport in ("sockets", "direct") for row in uvloop.run(_measure(transport))]
    header = ("transport", "load", "messages/s", "CPU ms a message", "read to ack p50 ms", "p99 ms")
    print(table("Local data plane, source → map → map → sink, 1.5 kB", header, rows))


if __name__ == "__main__":
    main()
