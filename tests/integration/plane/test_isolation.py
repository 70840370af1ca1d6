"""One block type that misbehaves takes nothing off the others: whatever it does, everybody else's messages arrive."""

import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest
from pynumaflow.mapper import Datum, MapAsyncServer, Message, Messages

from pipeline.local.plane.direct import ServerFactory
from pipeline.local.plane.links import WrongServerError
from tests.integration.plane.small import (
    DEADLINE_S,
    Answer,
    HurriedClock,
    Log,
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

MESSAGES = 200


def forked(bad: dict[str, int], source: dict[str, int] | None = None) -> str:
    """A pipeline that forks into a bad and a good vertex; ``bad`` and ``source`` are limits."""
    return manifest(
        [
            vertex("in", "source", limits=source or {}),
            vertex("route", "map"),
            vertex("bad", "map", limits=bad),
            vertex("good", "map"),
            vertex("out", "sink"),
        ],
        [
            edge("in", "route"),
            edge("route", "bad", "bad", on_full="discardLatest"),
            edge("route", "good", "good"),
            edge("bad", "out", "ok"),
            edge("good", "out", "ok"),
        ],
    )


SIBLINGS = forked({"concurrency": 4, "bufferMaxLength": 20})


async def route(payload: bytes) -> list[Message]:
    return [Message(payload, tags=["bad" if int(payload[1:]) % 2 else "good"])]


def siblings(bad: ServerFactory, out: Written) -> tuple[Log, dict[str, ServerFactory]]:
    """Every second message goes to the bad one."""
    log = Log(numbered(MESSAGES))
    return log, {
        "in": log.factory(),
        "route": mapping(route),
        "bad": bad,
        "good": tagged("ok"),
        "out": out.factory(),
    }


def good(out: Written) -> set[bytes]:
    return {payload for payload in out.kept if int(payload[1:]) % 2 == 0}


async def crashes(payload: bytes) -> list[Message]:
    raise RuntimeError("a poison message")


async def hangs(payload: bytes) -> list[Message]:
    await asyncio.Event().wait()
    return []


async def floods(payload: bytes) -> list[Message]:
    return [Message(payload * 100, tags=["nobody's"]) for _ in range(1000)]


def answering(garbage: object) -> ServerFactory:
    async def handler(keys: list[str], datum: Datum) -> Messages:
        return garbage

    return lambda path, _: MapAsyncServer(handler, sock_path=path)


@pytest.mark.parametrize("bad", [crashes, hangs, floods], ids=lambda bad: bad.__name__)
def test_the_others_go_on_beside_one_that(transport: Transport, bad: Answer) -> None:
    async def story() -> None:
        out = Written()
        log, servers = siblings(mapping(bad), out)
        async with running(transport, SIBLINGS, servers, HurriedClock()) as plane:
            await until(lambda: len(good(out)) == MESSAGES // 2)
            await until(lambda: set(range(0, MESSAGES, 2)) <= set(log.acked))
            status = plane.status()
            assert status["good"].restarts == status["route"].restarts == status["out"].restarts == 0

    asyncio.run(story())


def test_one_that_hangs_does_not_fill_what_a_source_may_have_on_its_way(transport: Transport) -> None:
    """Its buffer holds more than the source may read ahead: without the share of an edge all would stand still."""
    text = forked({"concurrency": 4}, source={"concurrency": 40, "readBatchSize": 10})

    async def story() -> None:
        out = Written()
        log, servers = siblings(mapping(hangs), out)
        async with running(transport, text, servers, HurriedClock()) as plane:
            await until(lambda: len(good(out)) == MESSAGES // 2)
            status = plane.status()
            assert status["route"].discarded == 0
            # Those in work and those that fill its share are still the source's; the others are its lease's business.
            await until(lambda: plane.status()["route"].let_go > 0)
            await until(lambda: len(set(log.acked)) == MESSAGES - 4 - 20)

    asyncio.run(story())


@pytest.mark.parametrize("garbage", [None, 7, [b"bytes"], "text"], ids=repr)
def test_the_others_go_on_beside_one_that_answers(transport: Transport, garbage: object) -> None:
    async def story() -> None:
        out = Written()
        _, servers = siblings(answering(garbage), out)
        async with running(transport, SIBLINGS, servers, HurriedClock()) as plane:
            await until(lambda: len(good(out)) == MESSAGES // 2)
            await until(lambda: plane.status()["bad"].restarts > 1)
            assert len(out.kept) == MESSAGES // 2

    asyncio.run(story())


def test_one_that_blocks_its_thread_stalls_nobody(transport: Transport) -> None:
    gate, at_work = threading.Event(), threading.Event()

    async def blocks(payload: bytes) -> list[Message]:
        at_work.set()
        assert gate.wait(DEADLINE_S)
        return [Message(payload, tags=["ok"])]

    async def story() -> None:
        out = Written()
        log, servers = siblings(mapping(blocks), out)
        async with running(transport, SIBLINGS, servers, blocking=["bad"]) as plane:
            await until(at_work.is_set)
            await until(lambda: len(good(out)) == MESSAGES // 2)
            assert len(out.kept) == MESSAGES // 2, "the blocked one has answered nothing yet"
            await until(lambda: plane.status()["bad"].blocks == 1)
            gate.set()
            await until(lambda: log.is_done)
            assert len(out.kept) == MESSAGES - plane.status()["route"].discarded

    asyncio.run(story())


def test_one_in_a_thread_that_raises_starts_again_and_loses_nothing(transport: Transport) -> None:
    raised = 0

    async def raises(payload: bytes) -> list[Message]:
        nonlocal raised
        if raised < 3:
            raised += 1
            raise RuntimeError("a bug")
        return [Message(payload, tags=["ok"])]

    async def story() -> None:
        log, out = Log(numbered(50)), Written()
        text = manifest(
            [vertex("in", "source"), vertex("work", "map"), vertex("out", "sink")],
            [edge("in", "work"), edge("work", "out")],
        )
        servers = {"in": log.factory(), "work": mapping(raises), "out": out.factory()}
        async with running(transport, text, servers, HurriedClock(), blocking=["work"]) as plane:
            await until(lambda: log.is_done)
            assert set(out.kept) == set(log.payloads)
            assert plane.status()["work"].restarts >= 1

    asyncio.run(story())


def test_only_maps_have_threads(transport: Transport) -> None:
    async def story() -> None:
        _, servers = siblings(tagged("ok"), Written())
        with pytest.raises(WrongServerError, match="only maps"):
            async with running(transport, SIBLINGS, servers, blocking=["out"]):
                raise AssertionError("it should not have started")

    asyncio.run(story())


class Opener(logging.Handler):
    """Opens a gate when the watchdog speaks."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self.gate = gate

    def emit(self, record: logging.LogRecord) -> None:
        if "has blocked" in record.getMessage():
            self.gate.set()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    opener = Opener(gate)
    log = logging.getLogger("pipeline.local.plane.watchdog")
    log.addHandler(opener)
    yield gate
    log.removeHandler(opener)


def test_the_watchdog_names_the_vertex_that_blocks_the_loop(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    async def blocks(payload: bytes) -> list[Message]:
        if payload == b"m1":
            assert gate.wait(DEADLINE_S)
        return [Message(payload, tags=["ok"])]

    async def story() -> None:
        out = Written()
        log, servers = siblings(mapping(blocks), out)
        async with running(Transport.DIRECT, SIBLINGS, servers) as plane:
            await until(lambda: log.is_done)
            await until(
                lambda: {name: each.blocks for name, each in plane.status().items() if each.blocks} == {"bad": 1}
            )
            await until(lambda: any("bad blocks no more" in record.getMessage() for record in caplog.records))

    asyncio.run(story())
    said = [record.getMessage() for record in caplog.records if "has blocked" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("bad has blocked the loop that all vertices share")
    assert "(wait)" in said[0]
