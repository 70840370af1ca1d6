"""The outbox: everything is sent, in order, until it is acked; whatever the broker does."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from pipeline.cdc.offsets import Position
from pipeline.cdc.producer import BrokerUnavailableError
from pipeline.local.atlas import outbox as module
from pipeline.local.atlas import outbox_tail
from pipeline.local.atlas.database import Database, Transaction
from pipeline.local.atlas.outbox import Outbox
from pipeline.process.clock import SystemClock

DEADLINE_S = 10


class Topic:
    """A broker in memory. Refuses while ``is_away``; ``forget`` loses everything it had."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.places: list[Position] = []
        self.is_away = False
        self.refuses_once: set[bytes] = set()
        self.fails_once: set[bytes] = set()
        self.is_silent = False
        self.asked = 0

    async def send(self, payload: bytes) -> Position:
        self.asked += 1
        place = Position("topic", 0, len(self.messages))
        if payload in self.fails_once:
            self.fails_once.discard(payload)
            raise ValueError("nobody thought of this")
        is_refused = self.is_away or payload in self.refuses_once
        self.refuses_once.discard(payload)
        if not is_refused:
            self.messages.append(payload)
            self.places.append(place)
        await asyncio.sleep(0)
        if self.is_silent:
            await asyncio.Event().wait()
        if is_refused:
            raise BrokerUnavailableError("away")
        return place


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110  (polls what has no event)
            await asyncio.sleep(0.002)


def row(text: str) -> Callable[[Transaction], None]:
    return lambda transaction: transaction.tell([text.encode()])


async def on_disk(database: Database) -> list[bytes]:
    return [
        payload
        for (payload,) in await database.read(
            lambda connection: connection.execute("SELECT payload FROM outbox ORDER BY id").fetchall()
        )
    ]


@contextlib.asynccontextmanager
async def relaying(outbox: Outbox, topic: Topic) -> AsyncIterator[None]:
    relay = asyncio.create_task(outbox.relay(topic))
    try:
        yield
    finally:
        relay.cancel()
        await asyncio.gather(relay, return_exceptions=True)


def tell(path: Path, story: Callable[[Database, Outbox], Awaitable[None]]) -> None:
    async def run() -> None:
        database = Database(path / "atlas.sqlite3")
        try:
            await story(database, Outbox(database, SystemClock()))
        finally:
            await database.close()

    asyncio.run(run())
    gc.collect()


def test_events_are_sent_in_order_and_leave_when_acked(tmp_path: Path) -> None:
    async def story(database: Database, outbox: Outbox) -> None:
        topic = Topic()
        async with relaying(outbox, topic):
            for n in range(50):
                await database.write(row(str(n)))
            await until(lambda: len(outbox._rows) == 50)
            assert topic.messages == [str(n).encode() for n in range(50)]
            assert outbox.pending() == 50
            outbox.ack(topic.places[10:])
            outbox.ack([*topic.places[10:], Position("other", 0, 3)])
            assert outbox.pending() == 10
        assert await on_disk(database) == [str(n).encode() for n in range(10)]

    tell(tmp_path, story)


def test_acks_reach_the_disk_while_it_goes_on(tmp_path: Path) -> None:
    async def story(database: Database, outbox: Outbox) -> None:
        topic = Topic()
        async with relaying(outbox, topic):
            await database.write(row("a"))
            await until(lambda: len(topic.places) == 1)
            await until(lambda: len(outbox._rows) == 1)
            outbox.ack(topic.places)
            async with asyncio.timeout(DEADLINE_S):
                while await on_disk(database):  # noqa: ASYNC110  (likewise)
                    await asyncio.sleep(0.01)

    tell(tmp_path, story)


def test_what_was_not_acked_is_sent_again_at_the_next_start(tmp_path: Path) -> None:
    async def first(database: Database, outbox: Outbox) -> None:
        topic = Topic()
        await database.write(row("before the relay"))
        async with relaying(outbox, topic):
            for n in range(5):
                await database.write(row(str(n)))
            await until(lambda: len(topic.places) == 6)
            await until(lambda: len(outbox._rows) == 6)
            outbox.ack([topic.places[2]])

    async def second(database: Database, outbox: Outbox) -> None:
        assert outbox.pending() == 5
        topic = Topic()
        async with relaying(outbox, topic):
            await database.write(row("new"))
            await until(lambda: len(topic.places) == 6)
            assert topic.messages == [b"before the relay", b"0", b"2", b"3", b"4", b"new"]

    tell(tmp_path, first)
    tell(tmp_path, second)


def test_a_broker_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async def story(database: Database, outbox: Outbox) -> None:
        topic = Topic()
        topic.is_away = True
        async with relaying(outbox, topic):
            for n in range(20):
                await database.write(row(str(n)))
            await until(lambda: topic.asked > 20)
            topic.is_away = False
            await until(lambda: len(topic.messages) >= 20)
            assert topic.messages[:20] == [str(n).encode() for n in range(20)]
            assert outbox.pending() == 20

    tell(tmp_path, story)


def test_after_one_refusal_the_order_starts_again_from_there(tmp_path: Path) -> None:
    async def story(database: Database, outbox: Outbox) -> None:
        topic = Topic()
        topic.refuses_once = {b"3"}
        async with relaying(outbox, topic):
            await database.write(lambda transaction: transaction.tell([str(n).encode() for n in range(8)]))
            await until(lambda: topic.messages[-5:] == [b"3", b"4", b"5", b"6", b"7"])
            assert topic.messages[:3] == [b"0", b"1", b"2"]
            for place in topic.places:
                outbox.ack([place])
            assert outbox.pending() == 0
        assert await on_disk(database) == []

    tell(tmp_path, story)


def test_no_failure_makes_it_forget_an_event(tmp_path: Path) -> None:
    async def story(database: Database, outbox: Outbox) -> None:
        topic = Topic()
        topic.fails_once = {b"1"}
        async with relaying(outbox, topic):
            for n in range(4):
                await database.write(row(str(n)))
            await until(lambda: topic.messages[-3:] == [b"1", b"2", b"3"])
            await until(lambda: not outbox._in_flight)
            outbox.ack(topic.places)
            assert outbox.pending() == 0

    tell(tmp_path, story)


def test_a_broker_that_forgets_while_acks_are_waited_for_gets_it_all_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AHEAD_MAX", 3)

    async def story(database: Database, outbox: Outbox) -> None:
        topic = Topic()
        async with relaying(outbox, topic):
            for n in range(5):
                await database.write(row(str(n)))
            await until(lambda: len(outbox._rows) == 3)
            topic.messages, topic.places = [], [Position("gone", 0, n) for n in range(3)]
            outbox.resend()
            await until(lambda: topic.messages[:3] == [b"0", b"1", b"2"])

    tell(tmp_path, story)


class SlowClock:
    """The real one, some time later."""

    def __init__(self) -> None:
        self.later_s = 0.0
        self._real = SystemClock()

    def now_ms(self) -> int:
        return self._real.now_ms()

    def monotonic_s(self) -> float:
        return self._real.monotonic_s() + self.later_s

    async def sleep(self, seconds: float) -> None:
        await self._real.sleep(seconds)


def test_it_says_when_it_stands_still(tmp_path: Path) -> None:
    async def run() -> None:
        database, clock, topic = Database(tmp_path / "atlas.sqlite3"), SlowClock(), Topic()
        try:
            outbox = Outbox(database, clock)
            async with relaying(outbox, topic):
                clock.later_s += 2 * module.STILL_MAX_S
                assert outbox.is_moving, "nothing is to be sent"
                topic.is_away = True
                await database.write(row("a"))
                assert outbox.is_moving, "it has only just come"
                clock.later_s += 2 * module.STILL_MAX_S
                assert not outbox.is_moving
                topic.is_away = False
                await until(lambda: len(outbox._rows) == 1)
                await until(lambda: not outbox._in_flight)
                assert outbox.is_moving
                clock.later_s += 2 * module.STILL_MAX_S
                await until(lambda: outbox.is_moving)
                assert outbox.pending() == 1, "sent and not acked is somebody else's delay"
        finally:
            await database.close()

    asyncio.run(run())


def test_a_broker_that_has_forgotten_gets_it_all_again(tmp_path: Path) -> None:
    async def story(database: Database, outbox: Outbox) -> None:
        topic = Topic()
        async with relaying(outbox, topic):
            for n in range(6):
                await database.write(row(str(n)))
            await until(lambda: len(outbox._rows) == 6)
            old = topic.places[1]
            outbox.ack([topic.places[0], topic.places[4]])
            topic.messages, topic.places = [], [Position("gone", 0, n) for n in range(6)]
            outbox.resend()
            await until(lambda: topic.messages == [b"1", b"2", b"3", b"5"])
            outbox.ack([old])
            assert outbox.pending() == 3, "an ack from before counts as well"

    tell(tmp_path, story)


def test_a_commit_that_the_disk_gave_before_the_loop_heard_of_it_comes_once(tmp_path: Path) -> None:
    async def story(database: Database, _outbox: Outbox) -> None:
        await database.write(row("early"))
        tail = outbox_tail.Tail(database, asyncio.Lock(), lambda _: False)
        events = await tail.next()
        assert [payload for _, payload in events] == [b"early"]
        tail.taken = events[-1][0]
        tail._committed(events)  # the writer's thread had committed it, and its word comes only now
        await database.write(row("late"))
        assert [payload for _, payload in await tail.next()] == [b"late"]

    tell(tmp_path, story)


def test_only_so_many_are_ahead_of_their_acks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AHEAD_MAX", 10)

    async def story(database: Database, outbox: Outbox) -> None:
        topic = Topic()
        async with relaying(outbox, topic):
            await database.write(lambda transaction: transaction.tell([str(n).encode() for n in range(100)]))
            await until(lambda: len(topic.places) >= 10)
            acked = 0
            while acked < 100:
                await until(lambda: len(topic.places) > acked)  # noqa: B023  (awaited before the next turn)
                await asyncio.sleep(0)
                assert len(topic.places) - acked <= 10 + 1
                outbox.ack(topic.places[acked : acked + 1])
                acked += 1
            assert topic.messages == [str(n).encode() for n in range(100)]

    tell(tmp_path, story)


def test_more_than_memory_holds_is_read_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_tail, "FRESH_BYTES_MAX", 1000)
    monkeypatch.setattr(module, "IN_FLIGHT_MAX", 5)

    async def story(database: Database, outbox: Outbox) -> None:
        topic = Topic()
        payloads = [f"{n:04}".encode() * 20 for n in range(700)]
        async with relaying(outbox, topic):
            for start in range(0, 700, 50):
                part = payloads[start : start + 50]
                await database.write(partial(Transaction.tell, payloads=part))
            await until(lambda: len(topic.messages) >= 700)
            assert topic.messages == payloads
            assert outbox._tail._fresh_bytes <= 1000

    tell(tmp_path, story)


def test_an_ack_may_come_before_the_brokers_own(tmp_path: Path) -> None:
    async def story(database: Database, outbox: Outbox) -> None:
        class Fast(Topic):
            async def send(self, payload: bytes) -> Position:
                self.messages.append(payload)
                place = Position("topic", 0, len(self.messages))
                outbox.ack([place])
                await asyncio.sleep(0)
                return place

        async with relaying(outbox, Fast()):
            for n in range(5):
                await database.write(row(str(n)))
            await until(lambda: outbox.pending() == 0)
        assert await on_disk(database) == []

    tell(tmp_path, story)


def test_stopping_does_not_wait_for_a_silent_broker(tmp_path: Path) -> None:
    async def story(database: Database, outbox: Outbox) -> None:
        topic = Topic()
        topic.is_silent = True
        async with asyncio.timeout(DEADLINE_S):
            async with relaying(outbox, topic):
                await database.write(row("a"))
                await until(lambda: topic.asked == 1)
        assert await on_disk(database) == [b"a"]

    tell(tmp_path, story)
