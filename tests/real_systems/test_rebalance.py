"""Two ``cdc`` consumers of one group on a real Kafka: they come, leave and are killed, and every message is handled."""

import asyncio
import contextlib
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from pipeline.cdc.consumer import GroupReader
from tests.real.systems import RealSystems
from tests.real_systems import member

PARTITIONS = 4
WITHIN_S = 60.0
SENT_EACH_S = 0.005


@dataclass
class Group:
    """A topic that somebody writes to all the time, and its group."""

    systems: RealSystems
    folder: Path
    topic: str = field(default_factory=lambda: f"blockline-test-{secrets.token_hex(6)}")
    sent: int = 0
    ours: list[str] = field(default_factory=list)

    @property
    def group(self) -> str:
        return f"{self.topic}-group"

    async def send(self) -> None:
        """For ever, until cancelled; each one is acknowledged by the broker before it counts."""
        producer = Producer({"bootstrap.servers": self.systems.kafka, "acks": "all"})
        while True:
            producer.produce(self.topic, b"%d" % self.sent, partition=self.sent % PARTITIONS)
            assert await asyncio.to_thread(producer.flush, WITHIN_S) == 0
            self.sent += 1
            await asyncio.sleep(SENT_EACH_S)

    async def handle(self, reader: GroupReader) -> None:
        """For ever: as ``member`` does it."""
        while True:
            taken = await reader.read(member.READ_MAX, member.READ_S)
            self.ours += [message.payload.decode() for message in taken]
            reader.done(message.position for message in taken)

    def said(self, name: str) -> set[str]:
        """What a member has handled; a line that a kill cut short doesn't count."""
        path = self.folder / name
        return set(path.read_text().split("\n")[:-1]) if path.exists() else set()

    @contextlib.asynccontextmanager
    async def joined(self, name: str, instance: str = "") -> AsyncIterator["subprocess.Popen[bytes]"]:
        """A member in a process of its own, which has handled something new; it leaves in the end.

        With an ``instance`` it may come back as the same one; but then its group waits for it after it has left.
        """
        before = self.said(name)
        with (self.folder / name).open("ab") as out:
            arguments = (self.systems.kafka, self.topic, self.group, instance)
            process = subprocess.Popen(  # noqa: ASYNC220  (a moment; nobody else is waiting)
                [sys.executable, "-m", member.__name__, *arguments], stdin=subprocess.PIPE, stdout=out
            )
        try:
            await until(lambda: self.said(name) > before, f"{name} has its share")
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                await asyncio.to_thread(process.wait, WITHIN_S)
            finally:
                process.kill()

    def committed(self) -> tuple[list[int], list[int]]:
        """The offset of each partition that is committed, and its end."""
        consumer = Consumer({"bootstrap.servers": self.systems.kafka, "group.id": self.group, "log_level": 2})
        try:
            places = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
            ends = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
            return [place.offset for place in consumer.committed(places, timeout=10)], ends
        finally:
            consumer.close()


async def until(holds: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(WITHIN_S):
            while not holds():  # noqa: ASYNC110  (other processes have no event for it)
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within {WITHIN_S:.0f} s: {what}") from None


@pytest.mark.timeout(300)
def test_members_come_leave_and_are_killed_and_nothing_is_lost(systems: RealSystems, tmp_path: Path) -> None:
    async def scenario() -> None:
        group = Group(systems, tmp_path)
        systems.make_topic(group.topic, PARTITIONS)
        first = GroupReader(systems.kafka, group.topic, group.group)
        await first.start()
        sending, handling = asyncio.create_task(group.send()), asyncio.create_task(group.handle(first))
        try:
            await until(lambda: first.partitions() == list(range(PARTITIONS)), "the first one has all")
            async with group.joined("second"):
                await until(lambda: 0 < len(first.partitions()) < PARTITIONS, "the first one has given some away")
            async with group.joined("killed", "one") as process:
                process.kill()
                process.wait()
                sent = group.sent
                await until(lambda: group.sent > sent + 50, "more is sent for one that is gone")
                async with group.joined("killed", "one"):  # under its name, so the group needn't find out first
                    sending.cancel()
                    wanted = {str(number) for number in range(group.sent)}
                    names = ("second", "killed")
                    await until(
                        lambda: set(group.ours).union(*map(group.said, names)) >= wanted, "everything is handled"
                    )
        finally:
            sending.cancel()
            handling.cancel()
            await asyncio.gather(sending, handling, return_exceptions=True)
            await first.close()
        committed, ends = group.committed()
        assert sum(ends) >= len(wanted)
        assert committed == ends

    asyncio.run(scenario())


@pytest.mark.timeout(200)
def test_one_that_was_fenced_comes_back(systems: RealSystems) -> None:
    """A broker that restarts can fence a member against itself; here another one of its name does it."""

    async def scenario() -> None:
        topic = f"blockline-test-{secrets.token_hex(6)}"
        systems.make_topic(topic, 1)
        producer = Producer({"bootstrap.servers": systems.kafka, "acks": "all"})

        async def read_by(reader: GroupReader, payload: bytes) -> None:
            producer.produce(topic, payload)
            assert await asyncio.to_thread(producer.flush, WITHIN_S) == 0
            async with asyncio.timeout(WITHIN_S):
                while payload not in [message.payload for message in await reader.read(100, 1.0)]:
                    pass

        first, other = (GroupReader(systems.kafka, topic, f"{topic}-group", instance="one") for _ in range(2))
        try:
            await first.start()
            await read_by(first, b"before")
            await other.start()
            await read_by(other, b"of the other")
            await other.close()
            await read_by(first, b"after")
        finally:
            await first.close()
            await other.close()

    asyncio.run(scenario())
