"""Several replicas of a vertex, rates, and sinks behind a sink: over each transport."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterable

from pynumaflow.mapper import Datum, MapAsyncServer, Message, Messages
from pynumaflow.sinker import Datum as SinkDatum
from pynumaflow.sinker import Message as SinkMessage
from pynumaflow.sinker import Response, Responses

from pipeline.local.plane.direct import ServerFactory
from pipeline.local.plane.plane import fallback_of, on_success_of
from tests.integration.plane.small import (
    HurriedClock,
    Log,
    Transport,
    Written,
    edge,
    manifest,
    numbered,
    running,
    tagged,
    until,
    vertex,
)

CONTAINER = {"udsink": {"container": {"image": "x"}}}


class Crew:
    """Map servers of one factory, numbered as they were made; what each of them got."""

    def __init__(self) -> None:
        self.got: list[list[bytes]] = []
        self.hangs: set[int] = set()
        self.crashes: set[int] = set()
        self.is_free = asyncio.Event()

    def factory(self) -> ServerFactory:
        return self._make

    def _make(self, path: str, _info: str) -> MapAsyncServer:
        number = len(self.got)
        self.got.append([])

        async def handler(keys: list[str], datum: Datum) -> Messages:
            self.got[number].append(datum.value)
            if number in self.hangs:
                await self.is_free.wait()
            if number in self.crashes:
                raise ValueError("this one dies")
            await asyncio.sleep(0.001)
            return Messages(Message(datum.value, tags=["x"]))

        return MapAsyncServer(handler, sock_path=path)


def of_replicas(count: int, concurrency: int = 4) -> str:
    work = vertex(
        "work", "map", scale={"min": count, "max": 8}, limits={"readBatchSize": 1, "concurrency": concurrency}
    )
    return manifest([vertex("in", "source"), work, vertex("out", "sink")], [edge("in", "work"), edge("work", "out")])


def test_replicas_share_the_work(transport: Transport) -> None:
    async def story() -> None:
        log, out, crew = Log(numbered(300)), Written(), Crew()
        servers = {"in": log.factory(), "work": crew.factory(), "out": out.factory()}
        async with running(transport, of_replicas(3), servers) as plane:
            await until(lambda: log.is_done)
            assert len(crew.got) == 3
            assert all(crew.got)
            assert Counter(value for got in crew.got for value in got) == Counter(log.payloads)
            assert Counter(out.kept) == Counter(log.payloads)
            assert plane.status()["work"].processed == 300

    asyncio.run(story())


def test_a_replica_that_hangs_holds_up_only_what_it_has(transport: Transport) -> None:
    async def story() -> None:
        log, out, crew = Log(numbered(300)), Written(), Crew()
        crew.hangs = {0}
        servers = {"in": log.factory(), "work": crew.factory(), "out": out.factory()}
        async with running(transport, of_replicas(3), servers) as plane:
            await until(lambda: len(log.acked) == 296)
            assert plane.status()["work"].in_flight == 4
            assert plane.status()["work"].is_up
            crew.is_free.set()
            await until(lambda: log.is_done)
            assert Counter(out.kept) == Counter(log.payloads)

    asyncio.run(story())


def test_a_replica_that_dies_starts_again_while_the_others_work(transport: Transport) -> None:
    async def story() -> None:
        log, out, crew = Log(numbered(300)), Written(), Crew()
        crew.crashes = {1, 3, 4}  # the second one, and what takes its place twice
        servers = {"in": log.factory(), "work": crew.factory(), "out": out.factory()}
        async with running(transport, of_replicas(3), servers, HurriedClock()) as plane:
            await until(lambda: plane.status()["work"].restarts > 0)
            assert plane.status()["work"].is_up
            await until(lambda: log.is_done)
            assert set(out.kept) == set(log.payloads)

    asyncio.run(story())


def test_a_sink_of_several_replicas_goes_on_while_one_hangs(transport: Transport) -> None:
    async def story() -> None:
        log, out, is_free = Log(numbered(200)), Written(), asyncio.Event()
        calls = 0

        async def first_hangs(datums: AsyncIterable[SinkDatum]) -> Responses:
            nonlocal calls
            calls += 1
            if calls == 1:
                await is_free.wait()
            return await write(datums)

        write, out.write = out.write, first_hangs  # type: ignore[method-assign]
        sink = vertex("out", "sink", scale={"min": 2}, limits={"readBatchSize": 10})
        text = manifest([vertex("in", "source"), sink], [edge("in", "out")])
        async with running(transport, text, {"in": log.factory(), "out": out.factory()}):
            await until(lambda: len(log.acked) >= 190)
            assert not log.is_done
            is_free.set()
            await until(lambda: log.is_done)
            assert Counter(out.kept) == Counter(log.payloads)

    asyncio.run(story())


class StillClock(HurriedClock):
    """Stands still, and whoever waits for a share of a second waits, until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.is_on = asyncio.Event()

    def monotonic_s(self) -> float:
        return super().monotonic_s() if self.is_on.is_set() else 0.0

    async def sleep(self, seconds: float) -> None:
        if seconds > 0.1:
            await self.is_on.wait()
        await super().sleep(seconds)


def test_a_vertex_with_a_rate_takes_no_more_than_its_share(transport: Transport) -> None:
    async def story() -> None:
        log, out, clock = Log(numbered(20)), Written(), StillClock()
        work = vertex("work", "map", scale={"min": 2}, limits={"rateLimit": {"max": 3, "min": 3}})
        text = manifest(
            [vertex("in", "source"), work, vertex("out", "sink")], [edge("in", "work"), edge("work", "out")]
        )
        servers = {"in": log.factory(), "work": tagged("x"), "out": out.factory()}
        async with running(transport, text, servers, clock) as plane:
            await until(lambda: len(log.acked) == 3)
            await until(lambda: plane.status()["work"].in_flight == 17)
            assert plane.status()["work"].processed == 3, "the rate is that of both replicas together"
            clock.is_on.set()
            await until(lambda: log.is_done)
            assert Counter(out.kept) == Counter(log.payloads)

    asyncio.run(story())


def test_what_a_sink_wants_told_of_its_success_goes_to_the_sink_for_that(transport: Transport) -> None:
    def answer(at: str, value: bytes) -> Response:
        if value == b"m1":
            return Response.as_on_success(at)
        if value == b"m2":
            return Response.as_on_success(at, SinkMessage(b"instead of m2").with_keys(["k"]))
        return Response.as_fallback(at) if value == b"m3" else Response.as_success(at)

    async def story() -> None:
        log, out, told, dead = Log(numbered(6)), Written(answer), Written(), Written()
        sink = vertex("out", "sink")
        sink["sink"] |= {"onSuccess": CONTAINER, "fallback": CONTAINER}
        text = manifest([vertex("in", "source"), sink], [edge("in", "out")])
        servers = {
            "in": log.factory(),
            "out": out.factory(),
            on_success_of("out"): told.factory(),
            fallback_of("out"): dead.factory(),
        }
        async with running(transport, text, servers) as plane:
            await until(lambda: log.is_done)
            assert sorted(told.kept) == [b"instead of m2", b"m1"]
            assert dead.kept == [b"m3"]
            assert sorted(out.kept) == [b"m0", b"m4", b"m5"]
            assert plane.status()["out"].fallbacks == 1

    asyncio.run(story())


def test_a_message_is_acked_only_when_the_sink_of_successes_has_it(transport: Transport) -> None:
    async def story() -> None:
        log, is_open = Log(numbered(1)), False
        out = Written(lambda at, _: Response.as_on_success(at))
        told = Written(lambda at, _: Response.as_success(at) if is_open else Response.as_failure(at, "away"))
        sink = vertex("out", "sink")
        sink["sink"]["onSuccess"] = CONTAINER
        text = manifest([vertex("in", "source"), sink], [edge("in", "out")])
        servers = {"in": log.factory(), "out": out.factory(), on_success_of("out"): told.factory()}
        async with running(transport, text, servers):
            await until(lambda: len(told.batches) > 3)
            assert not log.acked
            is_open = True
            await until(lambda: log.is_done)
            assert len(out.batches) == 1, "what has succeeded isn't written again"

    asyncio.run(story())
