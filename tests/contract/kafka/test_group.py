"""What a consumer group keeps: on the local broker, or on a real Kafka with ``BLOCKLINE_TEST_KAFKA=HOST:PORT``.

Joining a group takes 23 s on the local broker, and a moment on a Kafka.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest

from pipeline.cdc.admin import TopicAdmin
from pipeline.cdc.buffer import Received
from pipeline.cdc.consumer import GroupReader
from pipeline.cdc.producer import KafkaEventProducer
from pipeline.local.broker import LocalBroker
from pipeline.process.clock import SystemClock

DEADLINE_S = 80.0


@contextlib.asynccontextmanager
async def kafka() -> AsyncIterator[str]:
    external = os.environ.get("BLOCKLINE_TEST_KAFKA")
    if external:
        yield external
        return
    broker = LocalBroker(SystemClock())
    try:
        await broker.start()
        yield broker.bootstrap
    finally:
        await broker.stop()


async def read_all(reader: GroupReader, count: int) -> list[Received]:
    taken: list[Received] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(taken) < count:
            taken += await reader.read(100, DEADLINE_S)
    return taken


@pytest.mark.timeout(240)
def test_a_group_goes_on_after_the_first_that_was_not_done() -> None:
    async def scenario() -> None:
        async with kafka() as bootstrap:
            topic = f"blockline-test-{SystemClock().now_ms()}"
            await TopicAdmin(bootstrap).create(topic)
            producer = KafkaEventProducer(bootstrap, topic)
            first = GroupReader(bootstrap, topic, f"{topic}-group")
            second = GroupReader(bootstrap, topic, f"{topic}-group")
            try:
                places = [await producer.send(b"%d" % number) for number in range(5)]
                await first.start()
                assert [message.position for message in await read_all(first, 5)] == places
                assert (await first.pending(), first.partitions()) == (5, [0])
                first.done([places[0], places[1], places[3]])
                assert await first.pending() == 3
                await first.close()
                await second.start()
                assert [message.payload for message in await read_all(second, 3)] == [b"2", b"3", b"4"]
            finally:
                await first.close()
                await second.close()
                await producer.close()

    asyncio.run(scenario())
