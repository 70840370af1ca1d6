"""The engine with a great many ended runs in its store: what a start and a list cost.

``python -m benchmarks.scale 100000``. One run is made by the engine itself, through the API; the others are copies.
"""

import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx

from benchmarks import copies
from benchmarks.measuring import table, usage
from cli.data_folder import DataFolder
from tests.product import Product

RUNS: Final = 100_000
REST_S: Final = 5
WATCH_S: Final = 30
CALLS: Final = 10
SPEC: Final = {"dag": {"entrypoint": "a", "tasks": [{"name": "a", "type": "PASS", "arguments": []}]}}


def make_one(product: Product) -> str:
    """A run of the engine's own that has ended; its guid."""
    with product.client(timeout_s=60) as client:
        guid = str(client.post("/runs", json={"spec": SPEC}).raise_for_status().json()["guid"])
        run = client.get(f"/runs/{guid}", params={"wait_s": 60}).raise_for_status().json()
        assert run["status"] == "SUCCESS", run
        return guid


def timed(client: httpx.Client, **query: Any) -> float:
    """Median milliseconds of a list of runs, after one that isn't counted."""
    times = []
    for _ in range(CALLS + 1):
        began = time.perf_counter()
        client.get("/runs", params={"limit": 50, **query}).raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times[1:])


def measure(product: Product, runs: int) -> list[object]:
    """A row: a start, then a watch on a product that has nothing to do."""
    start_s = product.start()
    try:
        started = usage(product.pid)
        with product.client(timeout_s=60) as client:
            lists = [timed(client), timed(client, requester="admin"), timed(client, status="FAILURE")]
        time.sleep(REST_S)  # noqa: TID251  (what the lists have left to do is over)
        before = usage(product.pid)
        time.sleep(WATCH_S)  # noqa: TID251  (what it costs to do nothing is measured)
        after = usage(product.pid)
    finally:
        product.stop()
    idle = (after.cpu_s - before.cpu_s) / WATCH_S * 100
    figures = [f"{start_s:.1f}", f"{started.cpu_s:.1f}", f"{started.resident_mib:.0f}", f"{idle:.1f}"]
    return [runs, *figures, *(f"{each:.0f}" for each in lists)]


def main() -> None:
    """Run it."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with TemporaryDirectory() as name:
        product = Product(Path(name))
        product.start()
        guid = make_one(product)
        product.stop()
        rows = [measure(product, 1)]
        folder = DataFolder(Path(name) / "data").hold()
        copies.write(folder, copies.read(folder, guid), count)
        folder.release()
        rows.append(measure(product, count + 1))
    header = ["ended runs", "start s", "CPU s of it", "MiB", "idle % of a core", "list ms", "of one", "of no status"]
    print(table("A store with many ended runs", header, rows))


if __name__ == "__main__":
    main()
