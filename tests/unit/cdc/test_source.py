"""The vertex ``cdc`` over a reader that is a list."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pynumaflow.shared.asynciter import NonBlockingIterator
from pynumaflow.sourcer import AckRequest, Message, NackRequest, Offset, ReadRequest

from pipeline.cdc.buffer import Received
from pipeline.cdc.offsets import Position
from pipeline.local.atlas import notifications
from pipeline.messages.envelopes import Operation, parse_dead_letter, parse_event
from pipeline.process.clock import SystemClock
from pipeline.store import types
from sources.cdc.handler import CdcSource
from tests.numbers import rise
from tests.texts import random_text

RECORDED = Path(__file__).parents[2] / "golden" / "notifications"
RUN = (RECORDED / "pyatlan-entity_create-1.json").read_bytes()
FOREIGN = (RECORDED / "001-create.json").read_bytes()


class ListReader:
    """A topic that is a list."""

    def __init__(self, *payloads: bytes) -> None:
        self.messages = [Received(Position("T", 0, at), data, 1_000) for at, data in enumerate(payloads)]
        self.finished: list[int] = []

    async def start(self) -> None:
        """Nothing to start."""

    async def read(self, limit: int, timeout_s: float) -> list[Received]:
        taken, self.messages = self.messages[:limit], self.messages[limit:]
        return taken

    def done(self, positions: Iterable[Position]) -> None:
        self.finished += [place.offset for place in positions]

    async def pending(self) -> int:
        return len(self.messages)

    def partitions(self) -> list[int]:
        return [0]

    async def close(self) -> None:
        """Nothing to close."""


async def give(source: CdcSource, limit: int = 10) -> list[Message]:
    output: Any = NonBlockingIterator()
    await source.read_handler(ReadRequest(limit, 10), output)
    await output.put("end")
    given: list[Message] = []
    async for message in output.read_iterator():
        if message == "end":
            return given
        given.append(message)
    return given


def test_events_go_on_and_foreign_ones_are_done_at_once() -> None:
    async def scenario() -> None:
        reader = ListReader(FOREIGN, RUN, FOREIGN)
        told: list[Position] = []

        async def on_done(positions: list[Position]) -> None:
            told.extend(positions)

        source = CdcSource(reader, SystemClock(), on_done)
        (message,) = await give(source)
        event = parse_event(message.payload)
        assert (event.entity, event.operation, event.qualified_name) == ("run", Operation.CREATE, "default/wf/run1")
        assert message.offset.offset == b"T:0:1"
        assert reader.finished == [0, 2]
        await source.ack_handler(AckRequest([message.offset]))
        await source.ack_handler(AckRequest([message.offset]))
        assert reader.finished == [0, 2, 1, 1]
        assert told == [Position("T", 0, 0), Position("T", 0, 2), Position("T", 0, 1), Position("T", 0, 1)]

    asyncio.run(scenario())


def test_garbage_goes_on_as_a_dead_letter_and_what_follows_too() -> None:
    async def scenario() -> None:
        source = CdcSource(ListReader(b"\xffgarbage", b"", RUN), SystemClock())
        with (
            rise("blockline_cdc_events_total", outcome="DEAD") as dead,
            rise("blockline_cdc_events_total", outcome="GIVEN") as given,
        ):
            first, second, third = await give(source)
        assert (dead(), given()) == (2, 1)
        letter = parse_dead_letter(first.payload)
        assert (letter.vertex, letter.source_offset, letter.payload_bytes) == ("cdc", "T:0:0", 8)
        assert "not JSON" in letter.reason
        assert parse_dead_letter(second.payload).payload_bytes == 0
        assert parse_event(third.payload).entity == "run"

    asyncio.run(scenario())


def test_a_nack_gives_it_again_before_anything_new() -> None:
    async def scenario() -> None:
        reader = ListReader(RUN, RUN)
        source = CdcSource(reader, SystemClock())
        (first,) = await give(source, limit=1)
        await source.nack_handler(NackRequest([first.offset, Offset(b"T:0:99", 0)]))
        (again,) = await give(source, limit=1)
        assert again.offset.offset == first.offset.offset
        (second,) = await give(source, limit=1)
        assert second.offset.offset == b"T:0:1"
        assert reader.finished == []

    asyncio.run(scenario())


def test_a_new_server_is_given_what_is_not_acked() -> None:
    async def scenario() -> None:
        reader = ListReader(RUN, RUN, RUN)
        source = CdcSource(reader, SystemClock())
        first, second = await give(source, limit=2)
        await source.ack_handler(AckRequest([first.offset]))
        source.give_again()
        assert [message.offset.offset for message in await give(source)] == [second.offset.offset]
        assert [message.offset.offset for message in await give(source)] == [b"T:0:2"]
        source.give_again()
        await source.ack_handler(AckRequest([second.offset, Offset(b"T:0:2", 0), Offset(b"nonsense", 0)]))
        assert await give(source) == []
        assert reader.finished == [0, 1, 2]

    asyncio.run(scenario())


def test_a_server_that_dies_in_a_read_costs_no_message() -> None:
    class Dying(NonBlockingIterator):  # type: ignore[misc]  # pynumaflow carries no types
        async def put(self, item: Any) -> None:
            raise asyncio.CancelledError

    async def scenario() -> None:
        reader = ListReader(RUN, FOREIGN, RUN, FOREIGN, RUN)
        source = CdcSource(reader, SystemClock())
        with pytest.raises(asyncio.CancelledError):
            await source.read_handler(ReadRequest(10, 10), Dying())
        assert reader.finished == [1, 3]
        source.give_again()
        assert [message.offset.offset for message in await give(source)] == [b"T:0:0", b"T:0:2", b"T:0:4"]
        assert await give(source) == []

    asyncio.run(scenario())


def test_acks_that_cannot_be_recorded_stop_nothing() -> None:
    async def scenario() -> None:
        async def on_done(positions: list[Position]) -> None:
            raise OSError("the disk is full")

        reader = ListReader(RUN)
        source = CdcSource(reader, SystemClock(), on_done)
        (message,) = await give(source)
        await source.ack_handler(AckRequest([message.offset]))
        assert reader.finished == [0]
        assert (await source.pending_handler()).count == 0

    asyncio.run(scenario())


def test_parts_go_on_as_one_event_and_are_done_together() -> None:
    async def scenario() -> None:
        parts = notifications.updated(types.RUN, "g", {"qualifiedName": "r", "note": random_text(1_500_000)}, 7)
        reader = ListReader(parts[0], RUN, *parts[1:])
        source = CdcSource(reader, SystemClock())
        run, whole = await give(source)
        assert (run.offset.offset, whole.offset.offset) == (b"T:0:1", b"T:0:2")
        assert parse_event(whole.payload).qualified_name == "r"
        await source.ack_handler(AckRequest([run.offset]))
        assert reader.finished == [1]
        await source.ack_handler(AckRequest([whole.offset]))
        assert reader.finished == [1, 0, 2]

    asyncio.run(scenario())
