"""The number of sinks changes between two starts, with runs that wait for people and runs under way."""

import time
from pathlib import Path

import pytest

from tests.at_work import Load, check, finish, prepare, work
from tests.product import Product

SEED = 20261127
PARKED = 12
RUNS = 20
ENDS_WITHIN_S = 150.0


@pytest.mark.timeout(400)
def test_two_sinks_then_four_then_one(tmp_path: Path) -> None:
    product = Product(tmp_path, arguments=("--shards", "2"))
    load = Load(product, SEED)

    def more_runs() -> None:
        wanted, deadline = len(load.runs) + RUNS, time.monotonic() + 60
        while len(load.runs) < wanted:
            assert time.monotonic() < deadline, f"{len(load.runs)} runs: {product.tail()}"
            load.over.wait(0.05)

    def change() -> None:
        more_runs()
        product.kill()
        product.arguments = ("--shards", "1")
        product.start()
        more_runs()

    try:
        product.start()
        prepare(product)
        with product.client() as client:
            for number in range(PARKED):
                asked = client.post("/runs", json={"workflow": "ask", "input": {"n": f"parked-{number}"}})
                load.runs[asked.raise_for_status().json()["guid"]] = "ask"
        product.stop()
        product.arguments = ("--shards", "4")
        product.start()
        work(load, change)
        ended = finish(load, ENDS_WITHIN_S)
        with product.client() as client:
            letters = client.get("/dead-letters").raise_for_status().json()["items"]
    finally:
        product.kill()
    check(load, ended)
    assert letters == []
    assert len(load.decisions) >= PARKED
    assert (tmp_path / "data" / "shards.lock").read_text() == "1"
