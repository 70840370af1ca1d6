"""A neighbour that is gone for a minute: everything waits, and goes on."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.integration.journey.actors import broker_of, row
from tests.product import Product

AWAY_S = 60.0
"""Longer than every time-out on the way (10 s) and than a dispatch's lease (30 s)."""
PACE_S = 2.0


@contextmanager
def silent_broker(product: Product) -> Iterator[None]:
    """It keeps its connections and answers nobody: worse than one that is dead."""
    broker = broker_of(product)
    broker.suspend()
    try:
        yield
    finally:
        broker.resume()


@contextmanager
def locked_store(product: Product) -> Iterator[None]:
    """Another process holds the database: the store reads, and takes no write."""
    holder = sqlite3.connect(product.folder / "data" / "atlas.sqlite3", isolation_level=None, timeout=30)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("away", [silent_broker, locked_store])
def test_everything_waits_and_goes_on(tmp_path: Path, away: object) -> None:
    assert callable(away)
    with (
        Product(tmp_path, environment={"BLOCKLINE_EVENTS": "kafka"}) as product,
        product.client(timeout_s=60) as client,
    ):
        started: list[str] = []

        def start(number: int) -> int:
            answer = client.post("/runs", json={"spec": row()}, headers={"Idempotency-Key": f"away-{number}"})
            if answer.status_code in {200, 201} and answer.json()["guid"] not in started:
                started.append(answer.json()["guid"])
            return answer.status_code

        assert start(0) == httpx.codes.CREATED
        with away(product):
            began, number, answers = time.monotonic(), 0, set()
            while time.monotonic() - began < AWAY_S:
                number += 1
                answers.add(start(number))
                time.sleep(PACE_S)  # noqa: TID251  (the minute is the test)
        # What was said meanwhile is either a start or "try again"; whoever tries again with the key has one run.
        assert answers <= {httpx.codes.CREATED, httpx.codes.SERVICE_UNAVAILABLE}
        for again in range(1, number + 1):
            assert start(again) in {200, 201}
        assert len(started) == number + 1
        for run in started:
            ended = client.get(f"/runs/{run}", params={"wait_s": 60}).raise_for_status().json()
            assert ended["status"] == "SUCCESS", ended
            assert ended["revision"] >= 1
        assert client.get("/dead-letters").raise_for_status().json()["items"] == []
