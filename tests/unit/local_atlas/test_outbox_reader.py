"""Reading the outbox itself: at once, without a broker; and a row is kept until it was read here and sent."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pipeline.cdc.buffer import Received
from pipeline.cdc.codec import Notification
from pipeline.cdc.offsets import Position
from pipeline.local.atlas import outbox_tail
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.outbox import OUTBOX, Outbox
from pipeline.local.atlas.outbox_reader import OutboxFollower, OutboxReader
from pipeline.process.clock import SystemClock
from tests.unit.local_atlas.test_outbox import Topic, on_disk, relaying, row, until

ROOT = Path(__file__).parents[3]
Story = Callable[[Database, Outbox, OutboxReader], Awaitable[None]]


def tell(path: Path, story: Story) -> None:
    """May be told again on the same path: a restart."""

    async def run() -> None:
        database = Database(path / "atlas.sqlite3")
        try:
            outbox = Outbox(database, SystemClock())
            reader = OutboxReader(outbox)
            await reader.start()
            await reader.started()
            await story(database, outbox, reader)
            await reader.close()
            assert not reader.is_alive
        finally:
            await database.close()

    asyncio.run(run())
    gc.collect()


def texts(messages: list[Received]) -> list[str]:
    return [message.payload.decode() for message in messages]


async def read_all(reader: OutboxReader, count: int) -> list[Received]:
    found: list[Received] = []
    while len(found) < count:
        more = await reader.read(count - len(found), 5)
        assert more, f"{len(found)} of {count} came"
        found += more
    return found


def test_an_event_is_there_once_it_is_committed_and_needs_no_broker(tmp_path: Path) -> None:
    async def story(database: Database, outbox: Outbox, reader: OutboxReader) -> None:
        assert await reader.read(10, 0.01) == []
        waiting = asyncio.create_task(reader.read(10, 5))
        await asyncio.sleep(0)
        await database.write(row("a"))
        (message,) = await waiting
        assert (message.payload, message.position.topic) == (b"a", OUTBOX)
        for text in "bcd":
            await database.write(row(text))
        assert texts(await reader.read(2, 5)) == ["b", "c"]
        assert texts(await reader.read(2, 5)) == ["d"]
        assert await reader.pending() == outbox.pending() == 4

    tell(tmp_path, story)


def test_a_row_is_kept_until_it_was_read_here_and_sent_whichever_comes_first(tmp_path: Path) -> None:
    async def story(database: Database, outbox: Outbox, reader: OutboxReader) -> None:
        topic = Topic()
        topic.is_away = True
        await database.write(row("read first"))
        (first,) = await reader.read(5, 5)
        async with relaying(outbox, topic):
            outbox.ack([first.position, first.position, Position(OUTBOX, 0, 99), Position("topic", 0, 0)])
            assert (await reader.pending(), outbox.pending()) == (0, 1)
            topic.is_away = False
            await until(lambda: outbox.pending() == 0)
            await database.write(row("sent first"))
            await until(lambda: topic.messages[-1:] == [b"sent first"])
            assert outbox.pending() == 1
            (second,) = await reader.read(5, 5)
            outbox.ack([second.position])
            await until(lambda: outbox.pending() == 0)
            outbox.ack([first.position, second.position])
        assert await on_disk(database) == []
        assert topic.messages == [b"read first", b"sent first"]

    tell(tmp_path, story)


def test_what_was_not_acked_comes_again_after_a_restart_whether_it_was_sent_or_not(tmp_path: Path) -> None:
    async def first(database: Database, outbox: Outbox, reader: OutboxReader) -> None:
        topic = Topic()
        async with relaying(outbox, topic):
            for text in "abc":
                await database.write(row(text))
            a, _, _ = await read_all(reader, 3)
            await until(lambda: len(topic.messages) == 3)
            outbox.ack([a.position])

    async def second(database: Database, outbox: Outbox, reader: OutboxReader) -> None:
        assert texts(await read_all(reader, 2)) == ["b", "c"]
        await database.write(row("d"))
        assert texts(await read_all(reader, 1)) == ["d"]

    tell(tmp_path, first)
    tell(tmp_path, second)


def test_a_broker_that_lost_everything_gets_it_again_and_the_reader_does_not(tmp_path: Path) -> None:
    async def story(database: Database, outbox: Outbox, reader: OutboxReader) -> None:
        topic = Topic()
        async with relaying(outbox, topic):
            for text in "ab":
                await database.write(row(text))
            a, b = await read_all(reader, 2)
            await until(lambda: len(topic.messages) == 2)
            outbox.ack([a.position])
            outbox.resend()
            await until(lambda: topic.messages == [b"a", b"b", b"b"])
            assert await reader.read(5, 0.01) == []
            outbox.ack([b.position])
            await until(lambda: outbox.pending() == 0)

    tell(tmp_path, story)


def test_a_reader_that_is_behind_misses_nothing_and_holds_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_tail, "FRESH_BYTES_MAX", 100)
    monkeypatch.setattr(outbox_tail, "_PAGE", 7)

    async def story(database: Database, outbox: Outbox, reader: OutboxReader) -> None:
        for n in range(50):
            await database.write(row(f"event {n:03}"))
        assert reader._tail._fresh_bytes <= 100
        found = await read_all(reader, 30)
        outbox.ack([message.position for message in found[::2]])
        for n in range(50, 60):
            await database.write(row(f"event {n:03}"))
        assert texts([*found, *(await read_all(reader, 30))]) == [f"event {n:03}" for n in range(60)]
        await database.write(row("the last"))
        assert texts(await read_all(reader, 1)) == ["the last"]

    tell(tmp_path, story)


def test_a_follower_is_told_before_whoever_wrote_is_answered(tmp_path: Path) -> None:
    golden = sorted((ROOT / "tests/golden/notifications").rglob("*.json"))
    told: list[Notification] = []

    async def story(database: Database, outbox: Outbox, reader: OutboxReader) -> None:
        del outbox, reader
        OutboxFollower(database, SystemClock(), told.append)
        await database.write(
            lambda transaction: transaction.tell([b"garbage", *(path.read_bytes() for path in golden)])
        )
        assert told
        assert all(isinstance(one, Notification) for one in told)

    assert golden
    tell(tmp_path, story)
