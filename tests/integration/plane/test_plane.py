"""The plane over real pynumaflow servers: routes, acks, retries, crashes, back pressure."""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
import uvloop
from pynumaflow.mapper import Message
from pynumaflow.shared.asynciter import NonBlockingIterator
from pynumaflow.sinker import Response
from pynumaflow.sourcer import AckRequest, ReadRequest, SourceAsyncServer

from pipeline.local.plane.links import WrongServerError
from pipeline.local.plane.manifest import ManifestError
from pipeline.local.plane.metrics import PlaneCollector
from pipeline.local.plane.plane import LocalPlane, MissingServerError, direct, fallback_of
from pipeline.process.clock import SystemClock
from pipeline.topology.build import build_topology
from pipeline.topology.model import RunnerBlock
from pipeline.topology.render import render
from pipeline.topology.values import Values
from tests.integration.plane.small import (
    HurriedClock,
    Log,
    LogSource,
    Transport,
    Written,
    edge,
    manifest,
    mapping,
    numbered,
    running,
    tagged,
    until,
    vertex,
)

STRAIGHT = manifest(
    [vertex("in", "source"), vertex("work", "map"), vertex("out", "sink")], [edge("in", "work"), edge("work", "out")]
)


LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


def run_on(new_loop: Callable[[], asyncio.AbstractEventLoop], story: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(story)


@LOOPS
def test_everything_arrives_and_is_acked(
    transport: Transport, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def story() -> None:
        log, out = Log(numbered(500)), Written()
        async with running(
            transport, STRAIGHT, {"in": log.factory(), "work": tagged("x"), "out": out.factory()}
        ) as plane:
            await until(lambda: log.is_done)
            assert Counter(out.kept) == Counter(log.payloads)
            assert max(map(len, out.batches)) > 1
            status = plane.status()
            assert [status[name].processed for name in ("in", "work", "out")] == [500, 500, 500]
            assert all(vertex.is_up and vertex.restarts == vertex.retries == 0 for vertex in status.values())
            assert all(vertex.in_flight == vertex.buffered == 0 for vertex in status.values())

    run_on(new_loop, story())


def test_tags_choose_edges_and_several_results_fan_out(transport: Transport) -> None:
    async def answer(payload: bytes) -> list[Message]:
        return {
            b"both": [Message(b"1", tags=["a", "b"])],
            b"two": [Message(b"2a", tags=["a"]), Message(b"2b", tags=["b"])],
            b"none": [Message(b"3", tags=["c"])],
            b"bare": [Message(b"4")],
            b"drop": [Message.to_drop()],
            b"nothing": [],
        }[payload]

    async def story() -> None:
        log = Log([b"both", b"two", b"none", b"bare", b"drop", b"nothing"])
        sinks = {name: Written() for name in ("or-a", "or-b", "and-ab", "not-a")}
        text = manifest(
            [vertex("in", "source"), vertex("work", "map"), *(vertex(name, "sink") for name in sinks)],
            [
                edge("in", "work"),
                edge("work", "or-a", "a"),
                edge("work", "or-b", "b"),
                edge("work", "and-ab", "a", "b", operator="and"),
                edge("work", "not-a", "a", "z", operator="not"),
            ],
        )
        servers = {"in": log.factory(), "work": mapping(answer)} | {n: sink.factory() for n, sink in sinks.items()}
        async with running(transport, text, servers) as plane:
            await until(lambda: log.is_done)
            assert {name: sorted(sink.kept) for name, sink in sinks.items()} == {
                "or-a": [b"1", b"2a"],
                "or-b": [b"1", b"2b"],
                "and-ab": [b"1"],
                "not-a": [b"2b", b"3", b"4"],
            }
            assert plane.status()["work"].dropped == 1

    asyncio.run(story())


def test_a_tag_that_no_edge_takes_is_counted_and_acked(transport: Transport) -> None:
    async def story() -> None:
        log, out = Log(numbered(3)), Written()
        text = manifest(
            [vertex("in", "source"), vertex("work", "map"), vertex("out", "sink")],
            [edge("in", "work"), edge("work", "out", "a")],
        )
        async with running(transport, text, {"in": log.factory(), "work": tagged("b"), "out": out.factory()}) as plane:
            await until(lambda: log.is_done)
            assert plane.status()["work"].unrouted == 3
            assert not out.kept

    asyncio.run(story())


def test_a_message_is_acked_after_it_reached_the_sink_and_not_before(transport: Transport) -> None:
    async def story() -> None:
        log, is_open = Log(numbered(3)), False
        out = Written(
            lambda at, value: Response.as_success(at) if is_open or value != b"m1" else Response.as_failure(at, "no")
        )
        async with running(
            transport, STRAIGHT, {"in": log.factory(), "work": tagged("x"), "out": out.factory()}
        ) as plane:
            await until(lambda: plane.status()["out"].retries > 3)
            await until(lambda: sorted(log.acked) == [0, 2])
            is_open = True
            await until(lambda: log.is_done)
            assert sorted(out.kept) == [b"m0", b"m1", b"m2"]
            assert out.batches.count([b"m1"]) > 3, "only what failed is tried again"

    asyncio.run(story())


def test_a_slow_message_holds_back_nobody(transport: Transport) -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def answer(payload: bytes) -> list[Message]:
            if payload == b"m0":
                await gate.wait()
            return [Message(payload)]

        log, out = Log(numbered(300)), Written()
        async with running(transport, STRAIGHT, {"in": log.factory(), "work": mapping(answer), "out": out.factory()}):
            await until(lambda: len(log.acked) == 299)
            assert 0 not in log.acked
            gate.set()
            await until(lambda: log.is_done)

    asyncio.run(story())


def test_what_the_sink_gives_up_goes_to_its_fallback(transport: Transport) -> None:
    async def story() -> None:
        log, dead = Log(numbered(10)), Written()
        out = Written(lambda at, value: Response.as_fallback(at) if value == b"m3" else Response.as_success(at))
        sink = vertex("out", "sink")
        sink["sink"]["fallback"] = {"udsink": {"container": {}}}
        text = manifest([vertex("in", "source"), sink], [edge("in", "out")])
        servers = {"in": log.factory(), "out": out.factory(), fallback_of("out"): dead.factory()}
        async with running(transport, text, servers) as plane:
            await until(lambda: log.is_done)
            assert dead.kept == [b"m3"]
            assert len(out.kept) == 9
            assert plane.status()["out"].fallbacks == 1

    asyncio.run(story())


def test_a_fallback_that_fails_is_tried_for_ever_too(transport: Transport) -> None:
    async def story() -> None:
        log, is_open = Log(numbered(1)), False
        out = Written(lambda at, _: Response.as_fallback(at))
        dead = Written(lambda at, _: Response.as_success(at) if is_open else Response.as_failure(at, "away"))
        sink = vertex("out", "sink")
        sink["sink"]["fallback"] = {"udsink": {"container": {}}}
        text = manifest([vertex("in", "source"), sink], [edge("in", "out")])
        servers = {"in": log.factory(), "out": out.factory(), fallback_of("out"): dead.factory()}
        async with running(transport, text, servers):
            await until(lambda: len(dead.batches) > 3)
            assert not log.acked
            is_open = True
            await until(lambda: log.is_done)
            assert len(out.batches) == 1

    asyncio.run(story())


def test_a_map_that_dies_starts_again_and_nothing_is_lost(transport: Transport) -> None:
    crashes = 0

    async def answer(payload: bytes) -> list[Message]:
        nonlocal crashes
        if payload in {b"m7", b"m50"} and crashes < 3:
            crashes += 1
            raise RuntimeError("a poison message")
        return [Message(payload)]

    async def story() -> None:
        log, out = Log(numbered(100)), Written()
        async with running(
            transport, STRAIGHT, {"in": log.factory(), "work": mapping(answer), "out": out.factory()}
        ) as plane:
            await until(lambda: log.is_done)
            assert set(out.kept) == set(log.payloads)
            status = plane.status()
            assert status["work"].restarts >= 2
            assert status["in"].restarts == status["out"].restarts == 0
            assert status["work"].is_up

    asyncio.run(story())


def test_a_sink_that_dies_starts_again_and_nothing_is_lost(transport: Transport) -> None:
    crashes = 0

    def answer(datum_id: str, value: bytes) -> Response:
        nonlocal crashes
        if value == b"m7" and crashes < 2:
            crashes += 1
            raise RuntimeError("a bug")
        return Response.as_success(datum_id)

    async def story() -> None:
        log, out = Log(numbered(100)), Written(answer)
        async with running(transport, STRAIGHT, {"in": log.factory(), "work": tagged(), "out": out.factory()}) as plane:
            await until(lambda: log.is_done)
            assert set(out.kept) == set(log.payloads)
            assert plane.status()["out"].restarts == 2

    asyncio.run(story())


@pytest.mark.parametrize("where", ["read_handler", "ack_handler"])
def test_a_source_that_dies_is_made_anew_and_nothing_is_lost_or_repeated(transport: Transport, where: str) -> None:
    async def story() -> None:
        log, out = Log(numbered(100)), Written()

        class Breaking(LogSource):
            """Two readers of three break, each after some messages."""

            def breaks(self, what: str) -> None:
                if what == where and self.log.readers < 3 and len(out.kept) > 20:
                    raise RuntimeError("a broken connection")

            async def read_handler(self, datum: ReadRequest, output: NonBlockingIterator) -> None:
                self.breaks("read_handler")
                await super().read_handler(datum, output)

            async def ack_handler(self, ack_request: AckRequest) -> None:
                self.breaks("ack_handler")
                await super().ack_handler(ack_request)

        def factory(path: str, _: str) -> object:
            return SourceAsyncServer(Breaking(log), sock_path=path)

        async with running(transport, STRAIGHT, {"in": factory, "work": tagged(), "out": out.factory()}) as plane:
            await until(lambda: log.is_done and log.readers == 3)
            assert Counter(out.kept) == Counter(log.payloads)
            await until(lambda: plane.status()["in"].is_up)
            assert plane.status()["in"].restarts == 2

    asyncio.run(story())


def test_a_full_buffer_holds_the_source_back(transport: Transport) -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def answer(payload: bytes) -> list[Message]:
            await gate.wait()
            return [Message(payload)]

        log, out = Log(numbered(400)), Written()
        text = manifest(
            [
                vertex("in", "source", limits={"readBatchSize": 20, "concurrency": 50}),
                vertex("work", "map", limits={"concurrency": 4, "bufferMaxLength": 10}),
                vertex("out", "sink"),
            ],
            [edge("in", "work"), edge("work", "out")],
        )
        async with running(
            transport, text, {"in": log.factory(), "work": mapping(answer), "out": out.factory()}
        ) as plane:
            await until(lambda: plane.status()["work"].buffered == 8)
            await until(lambda: plane.status()["work"].in_flight == 4)
            assert plane.status()["in"].processed <= 50
            gate.set()
            await until(lambda: log.is_done)
            assert len(out.kept) == 400
            assert plane.status()["work"].discarded == plane.status()["in"].discarded == 0

    asyncio.run(story())


def test_a_dead_runner_with_a_discarding_edge_stalls_no_sibling(transport: Transport) -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def route(payload: bytes) -> list[Message]:
            return [Message(payload, tags=["slow" if int(payload[1:]) % 2 else "quick"])]

        async def stuck(payload: bytes) -> list[Message]:
            await gate.wait()
            return [Message(payload)]

        log, out = Log(numbered(400)), Written()
        text = manifest(
            [
                vertex("in", "source"),
                vertex("route", "map"),
                vertex("slow", "map", limits={"concurrency": 2, "bufferMaxLength": 10}),
                vertex("quick", "map"),
                vertex("out", "sink"),
            ],
            [
                edge("in", "route"),
                edge("route", "slow", "slow", on_full="discardLatest"),
                edge("route", "quick", "quick"),
                edge("slow", "out"),
                edge("quick", "out"),
            ],
        )
        servers = {
            "in": log.factory(),
            "route": mapping(route),
            "slow": mapping(stuck),
            "quick": tagged(),
            "out": out.factory(),
        }
        async with running(transport, text, servers) as plane:
            await until(lambda: len(out.kept) == 200)
            await until(lambda: plane.status()["route"].processed == 400)
            discarded = plane.status()["route"].discarded
            assert discarded > 150
            await until(lambda: len(log.acked) == 200 + discarded)
            gate.set()
            await until(lambda: log.is_done)
            assert len(out.kept) == 400 - discarded

    asyncio.run(story())


def test_a_map_works_on_as_many_messages_as_the_manifest_says(transport: Transport) -> None:
    async def story() -> None:
        at_once, most, are_seven = 0, 0, asyncio.Event()

        async def answer(payload: bytes) -> list[Message]:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            if at_once == 7:
                are_seven.set()
            await are_seven.wait()
            await asyncio.sleep(0.002)
            at_once -= 1
            return [Message(payload)]

        log, out = Log(numbered(100)), Written()
        text = manifest(
            [vertex("in", "source"), vertex("work", "map", limits={"concurrency": 7}), vertex("out", "sink")],
            [edge("in", "work"), edge("work", "out")],
        )
        async with running(transport, text, {"in": log.factory(), "work": mapping(answer), "out": out.factory()}):
            await until(lambda: log.is_done)
        assert most == 7

    asyncio.run(story())


def test_what_was_not_acked_comes_again_after_a_stop(transport: Transport) -> None:
    async def story() -> None:
        async def never(payload: bytes) -> list[Message]:
            if int(payload[1:]) >= 50:
                await asyncio.Event().wait()
            return [Message(payload)]

        log, out = Log(numbered(100)), Written()
        async with running(transport, STRAIGHT, {"in": log.factory(), "work": mapping(never), "out": out.factory()}):
            await until(lambda: len(log.acked) == 50)
        async with running(transport, STRAIGHT, {"in": log.factory(), "work": tagged(), "out": out.factory()}):
            await until(lambda: log.is_done)
        assert Counter(out.kept) == Counter(log.payloads)

    asyncio.run(story())


PATIENT = manifest(
    [vertex("in", "source"), vertex("work", "map"), vertex("out", "sink", limits={"readTimeout": "600s"})],
    [edge("in", "work"), edge("work", "out")],
)


def test_a_sink_waits_for_nobody_where_nobody_else_is_on_the_way(transport: Transport) -> None:
    async def story() -> None:
        async def answer(payload: bytes) -> list[Message]:
            return [Message(payload)]

        log, out = Log(numbered(1)), Written()
        async with running(transport, PATIENT, {"in": log.factory(), "work": mapping(answer), "out": out.factory()}):
            await until(lambda: log.is_done)
        assert out.batches == [[b"m0"]]

    asyncio.run(story())


def test_a_sink_waits_for_what_is_still_on_its_way_to_write_it_along(transport: Transport) -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def answer(payload: bytes) -> list[Message]:
            if payload == b"m0":
                await gate.wait()
            return [Message(payload)]

        log, out = Log(numbered(3)), Written()
        async with running(
            transport, PATIENT, {"in": log.factory(), "work": mapping(answer), "out": out.factory()}
        ) as plane:
            await until(lambda: plane.status()["work"].processed == 2)
            assert out.batches == []
            gate.set()
            await until(lambda: log.is_done)
        assert [sorted(batch) for batch in out.batches] == [[b"m0", b"m1", b"m2"]]

    asyncio.run(story())


def test_without_read_ahead_one_batch_is_in_flight(transport: Transport) -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def answer(payload: bytes) -> list[Message]:
            await gate.wait()
            return [Message(payload)]

        log, out = Log(numbered(30)), Written()
        source = vertex("in", "source", limits={"readBatchSize": 10})
        del source["containerTemplate"]
        text = manifest(
            [source, vertex("work", "map"), vertex("out", "sink")], [edge("in", "work"), edge("work", "out")]
        )
        async with running(
            transport, text, {"in": log.factory(), "work": mapping(answer), "out": out.factory()}
        ) as plane:
            await until(lambda: plane.status()["work"].in_flight == 10)
            assert plane.status()["in"].processed == 10
            gate.set()
            await until(lambda: log.is_done)

    asyncio.run(story())


@LOOPS
def test_a_stop_leaves_no_task_socket_or_file_behind(
    transport: Transport, new_loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    async def life() -> None:
        async def answer(payload: bytes) -> list[Message]:
            if payload == b"m0":
                await asyncio.Event().wait()
            return [Message(payload)]

        log, out = Log(numbered(20)), Written()
        async with running(transport, STRAIGHT, {"in": log.factory(), "work": mapping(answer), "out": out.factory()}):
            await until(lambda: len(log.acked) == 19)
        mine = asyncio.current_task()
        await until(lambda: asyncio.all_tasks() == {mine})

    def descriptors() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    async def lives(count: int) -> None:
        for _ in range(count):
            await life()

    async def story() -> None:
        await lives(2)  # gRPC keeps what its first use made
        before = descriptors()
        await lives(10)
        await until(lambda: descriptors() <= before + 2)  # gRPC closes its own a moment later

    run_on(new_loop, story())
    assert not [record for record in caplog.records if record.levelno > 20], "stopping isn't an error"


def test_servers_and_vertices_have_to_match() -> None:
    def plane(**servers: object) -> LocalPlane:
        return LocalPlane(STRAIGHT, direct(servers), SystemClock())  # type: ignore[arg-type]  # wrong on purpose

    with pytest.raises(MissingServerError, match="out, work"):
        plane(**{"in": tagged()})
    with pytest.raises(MissingServerError, match="other"):
        plane(**{"in": tagged(), "work": tagged(), "out": tagged(), "other": tagged()})
    with pytest.raises(ManifestError):
        LocalPlane("kind: Pipeline", {}, SystemClock())


def test_a_server_of_another_kind_stops_the_start(transport: Transport) -> None:
    async def story() -> None:
        servers = {"in": Log().factory(), "work": Written().factory(), "out": Written().factory()}
        with pytest.raises(WrongServerError, match="work"):
            async with running(transport, STRAIGHT, servers):
                raise AssertionError("it should not have started")

    asyncio.run(story())


def test_a_factory_that_fails_at_a_restart_is_asked_again(transport: Transport) -> None:
    calls = 0

    async def story() -> None:
        log, out = Log(numbered(20)), Written()

        async def answer(payload: bytes) -> list[Message]:
            if payload == b"m5" and calls == 1:
                raise RuntimeError("a bug")
            return [Message(payload)]

        def factory(path: str, info_path: str) -> object:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise OSError("no room for a socket")
            return mapping(answer)(path, info_path)

        async with running(transport, STRAIGHT, {"in": log.factory(), "work": factory, "out": out.factory()}) as plane:
            await until(lambda: log.is_done)
            assert plane.status()["work"].restarts == 2

    asyncio.run(story())


def test_the_rendered_manifest_runs(transport: Transport) -> None:
    async def route(payload: bytes) -> list[Message]:
        at = int(payload[1:])
        return [Message(payload, tags=[["type-PASS"], ["shard-0"], ["shard-1"], ["dead"]][at % 4])]

    async def story() -> None:
        events, ticks = Log(numbered(40)), Log(numbered(4))
        sinks = {name: Written() for name in ("atlas-0", "atlas-1", "dead-letter")}
        spare = Written()
        servers = {
            "cdc": events.factory(),
            "timer": ticks.factory(),
            "orchestrator": mapping(route),
            "runner-pass": tagged("shard-1"),
            **{name: sink.factory() for name, sink in sinks.items()},
            fallback_of("atlas-0"): spare.factory(),
            fallback_of("atlas-1"): spare.factory(),
        }
        text = render(build_topology([RunnerBlock("PASS")], 2), Values())
        async with running(transport, text, servers) as plane:
            await until(lambda: events.is_done and ticks.is_done)
            families = {
                sample.name: sample.value
                for family in PlaneCollector(plane).collect()
                for sample in family.samples
                if sample.labels == {"vertex": "runner-pass"}
            }
            assert families["blockline_plane_processed_total"] == 11
            assert families["blockline_plane_is_up"] == 1
        assert {name: len(sink.kept) for name, sink in sinks.items()} == {
            "atlas-0": 11,
            "atlas-1": 22,
            "dead-letter": 11,
        }

    asyncio.run(story())


def test_a_stop_in_the_middle_of_restarts_leaves_nothing_behind(transport: Transport) -> None:
    async def answer(payload: bytes) -> list[Message]:
        raise RuntimeError("a poison message")

    async def life(restarts: int) -> None:
        log, out = Log(numbered(3)), Written()
        async with running(
            transport, STRAIGHT, {"in": log.factory(), "work": mapping(answer), "out": out.factory()}
        ) as plane:
            await until(lambda: plane.status()["work"].restarts == restarts)
        assert not log.acked
        mine = asyncio.current_task()
        await until(lambda: asyncio.all_tasks() == {mine})

    async def story() -> None:
        for restarts in (1, 2, 1, 3):
            await life(restarts)

    asyncio.run(story())


class Ticking(LogSource):
    """Gives all it has at every read, acked or not, as a timer does while something is due."""

    async def read_handler(self, datum: ReadRequest, output: NonBlockingIterator) -> None:
        self.next, self.skip = 0, set()
        await super().read_handler(datum, output)
        await asyncio.sleep(0.002)


def test_an_offset_given_again_is_one_message(transport: Transport) -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def answer(payload: bytes) -> list[Message]:
            await gate.wait()
            return [Message(payload)]

        log, out = Log(numbered(3)), Written()
        servers = {
            "in": lambda path, _: SourceAsyncServer(Ticking(log), sock_path=path),
            "work": mapping(answer),
            "out": out.factory(),
        }
        async with running(transport, STRAIGHT, servers) as plane:
            await until(lambda: plane.status()["in"].duplicates > 10)
            assert not log.acked
            gate.set()
            await until(lambda: len(log.acked) > 10)
            assert sorted(out.kept) == [b"m0", b"m1", b"m2"], "what was acked lately is acked again, not done again"

    asyncio.run(story())


def test_a_source_whose_acks_fail_need_not_give_anything_again(transport: Transport) -> None:
    crashes = 0

    async def story() -> None:
        log, out = Log(numbered(2000)), Written()
        source = LogSource(log)

        async def ack(request: AckRequest) -> None:
            nonlocal crashes
            if crashes < 3 and len(log.acked) >= 300 * crashes:
                crashes += 1
                raise RuntimeError("a broken connection")
            await LogSource.ack_handler(source, request)

        source.ack_handler = ack  # type: ignore[method-assign, assignment]  # a fault
        servers = {
            "in": lambda path, info_path: SourceAsyncServer(source, sock_path=path, server_info_file=info_path),
            "work": tagged(),
            "out": out.factory(),
        }
        async with running(transport, STRAIGHT, servers, HurriedClock()) as plane:
            await until(lambda: log.is_done)
            assert plane.status()["in"].restarts == 3
            assert Counter(out.kept) == Counter(log.payloads)

    asyncio.run(story())
