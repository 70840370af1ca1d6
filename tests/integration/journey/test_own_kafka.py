"""``up --kafka``: a broker that somebody else runs, and that goes away for a while."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from pipeline.cdc.assigned import AssignedReader
from pipeline.cdc.codec import read
from pipeline.cdc.topics import TOPIC
from pipeline.local.broker import LocalBroker
from pipeline.process.clock import SystemClock
from pipeline.store import types
from tests.integration.journey.actors import Stage, row
from tests.mail_server import MailServer
from tests.product import Product

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def kafka() -> Iterator[LocalBroker]:
    """A broker in a thread of its own: as far from the product as somebody else's."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> LocalBroker:
        broker = LocalBroker(SystemClock())
        await broker.start()
        return broker

    broker = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    yield broker
    asyncio.run_coroutine_threadsafe(broker.stop(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@contextlib.contextmanager
def own(folder: Path, kafka: LocalBroker, *, events: str) -> Iterator[Stage]:
    environment = {"BLOCKLINE_EVENTS": events}
    with (
        MailServer() as mail,
        Product(folder, arguments=("--kafka", kafka.bootstrap), environment=environment) as product,
    ):
        stage = Stage(product, mail)
        stage.people()
        stage.publishes("five", row())
        yield stage


@contextlib.contextmanager
def silent(kafka: LocalBroker) -> Iterator[None]:
    """It keeps its connections and answers nobody."""
    assert kafka.pid is not None
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(kafka.pid, signal.SIGCONT)


def test_runs_end_over_a_kafka_of_ones_own_also_after_it_was_away(tmp_path: Path, kafka: LocalBroker) -> None:
    with own(tmp_path, kafka, events="kafka") as stage:
        assert stage.run(stage.starts("rosa", "five"), wait_s=30)["status"] == "SUCCESS"
        with silent(kafka):
            run = stage.starts("rosa", "five")
            assert stage.run(run, wait_s=1)["status"] == "PENDING"
        assert stage.run(run, wait_s=50)["status"] == "SUCCESS"


def test_runs_dont_wait_for_a_kafka_that_is_away_and_it_gets_every_event_later(
    tmp_path: Path, kafka: LocalBroker
) -> None:
    async def events_of(run: str) -> list[str]:
        """What the topic says about the run, as somebody else reads it: the statuses of its last task."""
        reader = AssignedReader(kafka.bootstrap, name="somebody", topic=TOPIC)
        await reader.start()
        found: list[str] = []
        async with asyncio.timeout(30):
            while not found or found[-1] != "SUCCESS":
                for message in await reader.read(100, 1):
                    told = read(message.payload)
                    text = None if told is None or told.guid != run else told.attributes.get(types.RUN_CONFIG)
                    found += [orjson.loads(text)["dag"]["tasks"][-1]["status"]] if text else []
        await reader.close()
        return found

    with own(tmp_path, kafka, events="outbox") as stage:
        with silent(kafka):
            run = stage.starts("rosa", "five")
            assert stage.run(run, wait_s=30)["status"] == "SUCCESS"
        found = asyncio.run(events_of(run))
    assert found[0] == "PENDING"
    assert found[-1] == "SUCCESS"
