"""Everything at once: handlers that raise, sinks that refuse, full buffers. Nothing may be lost or acked early."""

import asyncio
import zlib
from collections import Counter

import pytest
from pynumaflow.mapper import Message
from pynumaflow.sinker import Response

from pipeline.local.plane.plane import fallback_of
from tests.integration.plane.small import (
    HurriedClock,
    Log,
    Transport,
    Written,
    edge,
    manifest,
    mapping,
    numbered,
    running,
    until,
    vertex,
)

CRASHES_MAX = 8


class Chance:
    """Derived from a seed, so a failure comes again."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.drawn = 0
        self.crashes = 0

    def hits(self, percent: int) -> bool:
        self.drawn += 1
        return zlib.crc32(f"{self.seed}/{self.drawn}".encode()) % 100 < percent

    def crash(self, percent: int) -> None:
        if self.crashes < CRASHES_MAX and self.hits(percent):
            self.crashes += 1
            raise RuntimeError("struck by chance")


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_in_a_storm(transport: Transport, seed: int) -> None:
    chance = Chance(seed)

    async def split(payload: bytes) -> list[Message]:
        chance.crash(3)
        return [Message(payload + b"/a", tags=["a"]), Message(payload + b"/b", tags=["b"])]

    async def slow(payload: bytes) -> list[Message]:
        await asyncio.sleep(0.001 * (len(payload) % 3))
        chance.crash(3)
        return [Message(payload, tags=["b"])]

    def answer(datum_id: str, value: bytes) -> Response:
        chance.crash(2)
        if chance.hits(10):
            return Response.as_failure(datum_id, "later")
        return Response.as_fallback(datum_id) if value.endswith(b"7/a") else Response.as_success(datum_id)

    async def story() -> None:
        log, out, dead = Log(numbered(300)), Written(answer), Written()
        sink = vertex("out", "sink", limits={"readBatchSize": 20, "bufferMaxLength": 30})
        sink["sink"]["fallback"] = {"udsink": {"container": {}}}
        text = manifest(
            [
                vertex("in", "source"),
                vertex("split", "map", limits={"bufferMaxLength": 20}),
                vertex("slow", "map"),
                sink,
            ],
            [edge("in", "split"), edge("split", "slow", "a"), edge("split", "out", "b"), edge("slow", "out", "b")],
        )
        servers = {
            "in": log.factory(),
            "split": mapping(split),
            "slow": mapping(slow),
            "out": out.factory(),
            fallback_of("out"): dead.factory(),
        }
        async with running(transport, text, servers, HurriedClock()) as plane:
            await until(lambda: log.is_done)
            assert sum(status.restarts for status in plane.status().values()) > 3
            assert all(not status.in_flight and not status.buffered for status in plane.status().values())
        wanted = {payload + half for payload in log.payloads for half in (b"/a", b"/b")}
        given_up = {payload for payload in wanted if payload.endswith(b"7/a")}
        assert set(dead.kept) == given_up
        assert set(out.kept) == wanted - given_up
        assert max(Counter(log.acked).values()) == 1

    asyncio.run(story())
