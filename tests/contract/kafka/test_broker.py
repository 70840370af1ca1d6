"""The local broker and what is built on it, against the real binary."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pipeline.cdc.admin import TopicAdmin
from pipeline.cdc.assigned import AssignedReader, TopicFollower
from pipeline.cdc.buffer import Received
from pipeline.cdc.consumer import EventReader
from pipeline.cdc.offsets import Position
from pipeline.cdc.producer import BrokerUnavailableError
from pipeline.cdc.topics import number_of
from pipeline.local.atlas import notifications
from pipeline.local.broker import BrokerFailedError, LocalBroker, _program
from pipeline.local.broker_topics import TopicRotation
from pipeline.process.clock import SystemClock
from pipeline.store import types
from tests.texts import random_text

RECORDED = Path(__file__).parents[2] / "golden" / "notifications"
DEADLINE_S = 20.0

HOST = """
import asyncio, sys
from pipeline.local.broker import LocalBroker
from pipeline.process.clock import SystemClock
async def main():
    broker = LocalBroker(SystemClock())
    await broker.start()
    print(broker.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def with_broker(
    scenario: Callable[[LocalBroker], Coroutine[Any, Any, None]], rotation: TopicRotation | None = None
) -> None:
    async def main() -> None:
        broker = LocalBroker(SystemClock(), rotation=rotation)
        pid = None
        try:
            await broker.start()
            await scenario(broker)
            pid = broker.pid
        finally:
            await broker.stop()
        assert not broker.is_up
        assert broker.pid is None
        assert pid is None or not is_alive(pid)

    asyncio.run(main())


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


async def eventually(what: Callable[[], bool | Awaitable[bool]]) -> None:
    """Poll with a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = what()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


async def read_all(reader: EventReader, count: int) -> list[Received]:
    taken: list[Received] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(taken) < count:
            taken += await reader.read(100, DEADLINE_S)
    return taken


def test_what_is_sent_is_read_in_order_at_the_place_that_was_told() -> None:
    async def scenario(broker: LocalBroker) -> None:
        reader = AssignedReader(broker.bootstrap, name="cdc", gate=broker.rotation)
        await reader.start()
        try:
            places = await asyncio.gather(*(broker.send(b"%d" % number) for number in range(500)))
            taken = await read_all(reader, 500)
            assert [message.payload for message in taken] == [b"%d" % number for number in range(500)]
            assert [message.position for message in taken] == list(places)
            assert await reader.pending() == 500
            reader.done(places[10:])
            assert await reader.pending() == 500
            reader.done(places)
            assert await reader.pending() == 0
        finally:
            await reader.close()

    with_broker(scenario)


def test_topics_rotate_without_loss_and_free_the_old_one() -> None:
    async def scenario(broker: LocalBroker) -> None:
        admin = TopicAdmin(broker.bootstrap)
        source = AssignedReader(broker.bootstrap, name="cdc", gate=broker.rotation)
        live = AssignedReader(broker.bootstrap, name="api", start="end", gate=broker.rotation)
        await source.start()
        await live.start()
        try:
            await live.started()
            sent: list[bytes] = []
            for start in range(0, 400, 10):  # in portions: the next topic is made while the last fifth is sent
                portion = [b"%d" % number for number in range(start, start + 10)]
                await asyncio.gather(*map(broker.send, portion))
                sent += portion
                await asyncio.sleep(0.005)
            taken = await read_all(source, len(sent))
            assert [message.payload for message in taken] == sent
            assert [message.payload for message in await read_all(live, len(sent))] == sent
            used = sorted({message.position.topic for message in taken}, key=lambda topic: number_of(topic) or 0)
            assert len(used) > 2
            positions = [message.position for message in taken]
            source.done(positions)
            broker.acked(positions[:-1])

            async def only_the_current_is_left() -> bool:
                return await admin.names() & set(used) == {broker.rotation.current} & set(used)

            await eventually(only_the_current_is_left)
            assert await source.pending() == 0
            await broker.send(b"after")
            assert [message.payload for message in await read_all(source, 1)] == [b"after"]
        finally:
            await source.close()
            await live.close()

    with_broker(scenario, TopicRotation(events_max=100))


def test_a_broker_that_dies_is_started_anew_and_says_so() -> None:
    async def scenario(broker: LocalBroker) -> None:
        restarted = asyncio.Event()
        broker.on_restart(restarted.set)
        source = AssignedReader(broker.bootstrap, name="cdc", gate=broker.rotation)
        live = AssignedReader(broker.bootstrap, name="api", start="end", gate=broker.rotation)
        await source.start()
        await live.start()
        await live.started()
        try:
            before = await broker.send(b"before")
            for reader in (source, live):
                assert [message.payload for message in await read_all(reader, 1)] == [b"before"]
            pid, address = broker.pid, broker.bootstrap
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(DEADLINE_S):
                await restarted.wait()
            assert (broker.starts, broker.bootstrap) == (2, address)
            after = await broker.send(b"after")
            assert (number_of(after.topic) or 0) > (number_of(before.topic) or 0)
            for reader in (source, live):
                assert [message.payload for message in await read_all(reader, 1)] == [b"after"]
        finally:
            await source.close()
            await live.close()

    with_broker(scenario)


def test_what_is_under_way_when_the_broker_dies_fails_or_arrives() -> None:
    async def scenario(broker: LocalBroker) -> None:
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        sends = [asyncio.create_task(broker.send(b"%d" % number)) for number in range(20)]
        await asyncio.sleep(0.05)
        os.kill(broker.pid, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE_S):
            results = await asyncio.gather(*sends, return_exceptions=True)
        assert all(isinstance(result, Position | BrokerUnavailableError) for result in results)
        assert any(isinstance(result, BrokerUnavailableError) for result in results)

    with_broker(scenario)


def test_a_broker_that_dies_after_a_rotation_takes_its_places_with_it() -> None:
    async def scenario(broker: LocalBroker) -> None:
        first = [await broker.send(b"%d" % number) for number in range(5)]
        await eventually(lambda: broker._next is not None)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        stopped = Path(f"/proc/{broker.pid}/stat")
        await eventually(lambda: stopped.read_text().rsplit(")", 1)[1].split()[0] == "T")
        assert broker._producer is not None
        # Not kept in a variable: a client that lives on would make its topic again on the next broker.
        late = [broker._producer.submit(b"late %d" % number) for number in range(3)]
        rotating = asyncio.create_task(broker.send(b"rotates"))
        await eventually(lambda: broker.rotation.current != first[0].topic)
        os.kill(broker.pid, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE_S):
            results = await asyncio.gather(*late, rotating, return_exceptions=True)
        assert all(isinstance(result, Position | BrokerUnavailableError) for result in results)
        assert isinstance(results[-1], BrokerUnavailableError)
        assert not set(first) & set(results), "a place is given once"
        await eventually(lambda: broker.starts == 2 and broker.is_up)
        again = await broker.send(b"again")
        assert again.topic > first[0].topic
        admin = TopicAdmin(broker.bootstrap)
        assert first[0].topic not in await admin.names()
        sent = [again, *[await broker.send(b"more %d" % number) for number in range(4)]]
        await eventually(lambda: broker._next is not None)
        sent.append(await broker.send(b"rotates again"))
        broker.acked(sent)

        async def is_swept() -> bool:
            return again.topic not in await admin.names()

        await eventually(is_swept)
        assert broker.starts == 2

    with_broker(scenario, TopicRotation(events_max=5))


def test_it_is_up_only_while_it_takes_messages(tmp_path: Path) -> None:
    async def main() -> None:
        program = tmp_path / "broker"
        program.symlink_to(_program())
        broker = LocalBroker(SystemClock(), program=program)
        told: list[int] = []

        def fails() -> None:
            told.append(0)
            raise ValueError("nobody thought of this")

        broker.on_restart(fails)
        broker.on_restart(lambda: told.append(1))
        assert not broker.is_up
        try:
            await broker.start()
            assert broker.is_up
            assert broker.pid is not None
            program.unlink()
            os.kill(broker.pid, signal.SIGKILL)
            await eventually(lambda: broker.starts > 2)
            assert not broker.is_up
            program.symlink_to(_program())
            await eventually(lambda: broker.is_up)
            await eventually(lambda: told == [0, 1])
            await broker.send(b"goes")
        finally:
            await broker.stop()

    asyncio.run(main())


class FaultyGate:
    """Fails once in a way that nobody thought of."""

    def __init__(self) -> None:
        self.asked = 0
        self.left = 0

    def enter(self, reader: str, topic: str) -> bool:
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError(f"{reader} can't enter {topic}")
        return True

    def leave(self, reader: str) -> None:
        self.left += 1


def test_a_reader_survives_what_nobody_thought_of() -> None:
    async def scenario(broker: LocalBroker) -> None:
        gate = FaultyGate()
        reader = AssignedReader(broker.bootstrap, name="cdc", gate=gate)
        assert not reader.is_alive
        await reader.start()
        try:
            await broker.send(b"a")
            assert [message.payload for message in await read_all(reader, 1)] == [b"a"]
            assert reader.is_alive
            assert (gate.asked, gate.left) == (2, 1)
        finally:
            await reader.close()
        assert not reader.is_alive

    with_broker(scenario)


def test_a_long_notification_comes_over_the_broker_in_its_parts() -> None:
    async def scenario(broker: LocalBroker) -> None:
        note = random_text(1_500_000)
        parts = notifications.updated(types.RUN, "g", {"qualifiedName": "r", "note": note}, 7)
        follower = TopicFollower(broker.bootstrap, SystemClock(), name="api", gate=broker.rotation)
        await follower.start()
        try:
            await follower.started()
            for part in (parts[0], b"garbage", *parts[1:]):
                await broker.send(part)
            async with asyncio.timeout(DEADLINE_S):
                told = await anext(aiter(follower.notifications()))
            assert told.attributes["note"] == note
        finally:
            await follower.close()

    with_broker(scenario)


def test_a_follower_sees_only_what_happens_from_now_on() -> None:
    async def scenario(broker: LocalBroker) -> None:
        await broker.send((RECORDED / "pyatlan-entity_create-1.json").read_bytes())
        follower = TopicFollower(broker.bootstrap, SystemClock(), name="api", gate=broker.rotation)
        await follower.start()
        try:
            await follower.started()
            await broker.send((RECORDED / "001-create.json").read_bytes())
            await broker.send(b"garbage")
            await broker.send((RECORDED / "pyatlan-entity_update-1.json").read_bytes())
            async with asyncio.timeout(DEADLINE_S):
                told = await anext(aiter(follower.notifications()))
            assert (told.operation, told.at) == ("UPDATE", 1795440963066)
        finally:
            await follower.close()

    with_broker(scenario)


def test_a_program_that_is_no_broker_is_refused_with_a_sentence() -> None:
    async def main() -> None:
        broker = LocalBroker(SystemClock(), program=Path("/bin/true"))
        try:
            with pytest.raises(BrokerFailedError, match="ended at once"):
                await broker.start()
        finally:
            await broker.stop()

    asyncio.run(main())


def test_it_ends_with_the_process_that_started_it() -> None:
    host = subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    with host:
        assert host.stdout is not None
        pid = int(host.stdout.readline())
        assert is_alive(pid)
        os.kill(host.pid, signal.SIGKILL)
        host.wait()

        async def is_gone() -> None:
            await eventually(lambda: not is_alive(pid))

        asyncio.run(is_gone())
