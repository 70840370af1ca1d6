"""The end of a sink in a container: its lease is given back only when no write can be under way."""

import asyncio
from collections.abc import Sequence

import pytest

from pipeline.core.limits import LEASE_RENEW_S
from sinks.atlas import leased
from sinks.atlas.answers import Answer, Ok, Retry
from sinks.atlas.leased import LeasedSink

BATCH = [("1", b"a"), ("2", b"b")]


class Lease:
    """Refuses so often, then is held; writes down what is asked of it."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.asked: list[str] = []

    async def acquire(self) -> bool:
        self.asked.append("acquire")
        self.refusals -= 1
        return self.refusals < 0

    async def renew(self) -> None:
        self.asked.append("renew")

    def remaining_s(self) -> float:
        return 30.0

    async def release(self) -> None:
        self.asked.append("release")


class Clock:
    """Each sleep is over at once, until there were so many; then time stands still."""

    def __init__(self, sleeps: int = 0) -> None:
        self.left = sleeps
        self.slept: list[float] = []
        self.stands_still = asyncio.Event()

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.left -= 1
        if self.left < 0:
            self.stands_still.set()
            await asyncio.Event().wait()


class Writes:
    """A handler whose batches end when a test says so."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.begun = asyncio.Event()

    async def handle(self, batch: Sequence[tuple[str, bytes]]) -> dict[str, Answer]:
        self.begun.set()
        await self.may_end.wait()
        return {ident: Ok() for ident, _ in batch}


def test_a_batch_under_way_ends_before_the_lease_is_given_back() -> None:
    async def story() -> None:
        lease, writes = Lease(), Writes()
        sink = LeasedSink(writes, lease, Clock())
        handling = asyncio.create_task(sink.handle(BATCH))
        await writes.begun.wait()
        stopping = asyncio.create_task(sink.stop())
        await asyncio.sleep(0)  # so that it begins
        late = await sink.handle(BATCH)
        assert [type(answer) for answer in late.values()] == [Retry, Retry]
        assert lease.asked == []
        writes.may_end.set()
        assert await handling == {"1": Ok(), "2": Ok()}
        await stopping
        assert lease.asked == ["release"]

    asyncio.run(story())


def test_a_lease_runs_out_where_a_batch_doesnt_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        lease, writes = Lease(), Writes()
        sink = LeasedSink(writes, lease, Clock())
        handling = asyncio.create_task(sink.handle(BATCH))
        await writes.begun.wait()
        await sink.stop()
        assert lease.asked == []
        handling.cancel()

    monkeypatch.setattr(leased, "STOP_S", 0.01)
    asyncio.run(story())


def test_it_is_taken_once_and_then_only_kept() -> None:
    async def story() -> None:
        lease, clock = Lease(refusals=2), Clock(sleeps=5)
        keeping = asyncio.create_task(LeasedSink(Writes(), lease, clock).keep_lease())
        await clock.stands_still.wait()
        keeping.cancel()
        assert lease.asked == ["acquire"] * 3 + ["renew"] * 3
        assert set(clock.slept) == {LEASE_RENEW_S}

    asyncio.run(story())
