"""``up --kafka``: a broker that somebody else runs, and that goes away for a while."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.local.broker import LocalBroker
from pipeline.process.clock import SystemClock
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


def test_runs_end_over_a_kafka_of_ones_own_also_after_it_was_away(tmp_path: Path, kafka: LocalBroker) -> None:
    with MailServer() as mail, Product(tmp_path, arguments=("--kafka", kafka.bootstrap)) as product:
        stage = Stage(product, mail)
        stage.people()
        stage.publishes("five", row())
        assert stage.run(stage.starts("rosa", "five"), wait_s=30)["status"] == "SUCCESS"
        assert kafka.pid is not None
        os.kill(kafka.pid, signal.SIGSTOP)
        try:
            run = stage.starts("rosa", "five")
            assert stage.run(run, wait_s=1)["status"] == "PENDING"
        finally:
            os.kill(kafka.pid, signal.SIGCONT)
        assert stage.run(run, wait_s=50)["status"] == "SUCCESS"
