"""What may be committed, and where a topic goes on."""

import asyncio
import itertools

import pytest

from pipeline.cdc import buffer as buffers
from pipeline.cdc.buffer import Buffer, Received
from pipeline.cdc.offsets import DoneOffsets, Position
from pipeline.cdc.topics import end_mark, next_topic_of, number_of, numbered
from pipeline.messages.canonical import MalformedError


@pytest.mark.parametrize("place", [Position("T", 0, 0), Position("a.b:c", 12, 2**40)])
def test_a_position_comes_back(place: Position) -> None:
    assert Position.parse(place.encode()) == place


@pytest.mark.parametrize("data", [b"", b"T:1", b"T:x:1", b"\xff:1:2"])
def test_what_is_no_position_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Position.parse(data)


def test_the_floor_waits_for_the_first_gap_in_every_order() -> None:
    for order in itertools.permutations(range(5, 9)):
        done = DoneOffsets(5)
        seen: set[int] = set()
        for offset in order:
            seen.add(offset)
            done.done(offset)
            assert done.floor == min(set(range(5, 10)) - seen)


def test_done_twice_moves_nothing() -> None:
    done = DoneOffsets(0)
    assert done.done(0)
    assert not done.done(0)
    assert not done.done(2)
    assert done.floor == 1


def test_offsets_that_the_broker_left_out_count_as_done() -> None:
    done = DoneOffsets(10)
    done.read(10)
    done.read(14)
    done.done(10)
    assert done.floor == 14
    done.read(12)  # an offset read again changes nothing
    done.done(14)
    assert done.floor == 15


def test_a_mark_names_the_next_topic() -> None:
    assert number_of(numbered(17)) == 17
    assert next_topic_of(end_mark(numbered(18))) == numbered(18)


@pytest.mark.parametrize(
    "payload",
    [b"", b'{"version":{}}', b'{"blockline_continues_in":7}', b'{"blockline_continues_in":"other"}',
     b'{"blockline_continues_in":"ATLAS_ENTITIES.1'],
)  # fmt: skip
def test_what_is_no_mark_names_nothing(payload: bytes) -> None:
    assert next_topic_of(payload) is None


@pytest.mark.parametrize("topic", ["ATLAS_ENTITIES", "ATLAS_ENTITIES.x", "OTHER.1", "ATLAS_ENTITIES.-1"])
def test_what_is_no_numbered_topic(topic: str) -> None:
    assert number_of(topic) is None


def message(offset: int, size: int = 1) -> Received:
    return Received(Position("T", offset % 2, offset), b"x" * size, 0)


def test_a_buffer_gives_what_there_is_and_waits_for_the_first() -> None:
    async def scenario() -> None:
        buffer = Buffer()
        assert await buffer.take(10, 0.01) == []
        waiting = asyncio.create_task(buffer.take(10, 10))
        await asyncio.sleep(0)
        await asyncio.to_thread(buffer.put, [message(1), message(2)])
        assert await waiting == [message(1), message(2)]
        buffer.put([message(3), message(4), message(5)])
        assert await buffer.take(2, 0) == [message(3), message(4)]
        assert await buffer.take(2, 0) == [message(5)]

    asyncio.run(scenario())


def test_a_buffer_is_full_by_number_and_by_bytes() -> None:
    async def scenario() -> None:
        buffer = Buffer()
        buffer.put([message(number) for number in range(buffers.BUFFER_MESSAGES_MAX)])
        assert buffer.is_full()
        await buffer.take(1, 0)
        assert not buffer.is_full()
        large = Buffer()
        large.put([message(0, buffers.BUFFER_BYTES_MAX)])
        assert large.is_full()
        await large.take(1, 0)
        assert not large.is_full()

    asyncio.run(scenario())


def test_a_buffer_forgets_what_another_reader_gets() -> None:
    async def scenario() -> None:
        buffer = Buffer()
        buffer.put([message(number) for number in range(4)])
        buffer.drop(lambda place: place.partition == 0)
        assert [taken.position.offset for taken in await buffer.take(10, 0)] == [1, 3]

    asyncio.run(scenario())
