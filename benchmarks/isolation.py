"""``python -m benchmarks.isolation``: what a block type that behaves badly takes off the others.

Each neighbour runs in a product of its own: its runs are started at a steady rate while chains of ``PASS`` are
measured. The first row has no neighbour; the last one has none again, so that what the machine did meanwhile shows.
"""

import argparse
import asyncio
import contextlib
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.measuring import percentile, table, usage
from benchmarks.neighbours import BODIES, install
from benchmarks.product import Bench, chain, one_run, publish
from tests.product import Product

RUNS: Final = 300
CLIENTS: Final = 16
TASKS: Final = 5
BAD_RUNS_A_SECOND: Final = 10
BAD_AT_ONCE: Final = 5
HEAD_START_S: Final = 2.0
_SOURCES: Final = ("api", "cli", "pipeline", "sinks", "sources", "udfs")
_HERE: Final = Path(__file__).resolve().parents[1]


def bad_spec(block_type: str) -> dict[str, Any]:
    """Some tasks of the type at once."""
    return {"dag": {"entrypoint": "b0", "tasks": [{"name": "b0", "type": "PASS"}] + [
        {"name": f"b{n}", "type": block_type, "depends": "b0"} for n in range(1, BAD_AT_ONCE + 1)
    ]}}  # fmt: skip


async def disturb(bench: Bench, workflow: str) -> None:
    """Start runs of it for ever; nobody waits for them."""
    async with bench.lean() as client:
        while True:
            await client.ask("POST", "/api/v1/runs", {"workflow": workflow})
            await asyncio.sleep(1 / BAD_RUNS_A_SECOND)


async def measure(product: Product, neighbour: str | None) -> list[str]:
    """Chains beside the neighbour: transitions a second, p50 and p99, CPU; what the neighbour did meanwhile."""
    bench = Bench(product)
    good = await publish(bench.client, "five-in-a-row", chain(TASKS))
    async with bench.lean() as client:
        await one_run(client, good)
    tasks = []
    if neighbour:
        bad = await publish(bench.client, "bad-neighbour", bad_spec(neighbour))
        tasks.append(asyncio.create_task(disturb(bench, bad)))
        await asyncio.sleep(HEAD_START_S)
    left, times = iter(range(RUNS)), list[float]()

    async def work() -> None:
        async with bench.lean() as client:
            times.extend([await one_run(client, good) for _ in left])

    used, began = usage(product.pid), time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CLIENTS)))
    wall_s, now = time.perf_counter() - began, usage(product.pid)
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    series = await bench.series()
    await bench.client.aclose()
    own = f'vertex="runner-{(neighbour or "none").lower()}"'
    restarts = sum(value for name, value in series.items() if "plane_restarts" in name and own in name)
    others = sum(value for name, value in series.items() if "plane_restarts" in name and own not in name)
    return [
        f"{RUNS * TASKS / wall_s:.0f}",
        f"{percentile(times, 0.5):.0f}",
        f"{percentile(times, 0.99):.0f}",
        f"{(now.cpu_s - used.cpu_s) * 1000 / (RUNS * TASKS):.2f}",
        f"{restarts:.0f}",
        f"{others:.0f}",
    ]


def row(neighbour: str | None, *arguments: str) -> list[object]:
    """One product from its start to its end."""
    with TemporaryDirectory() as folder:
        sources = Path(folder) / "sources"
        for name in _SOURCES:
            shutil.copytree(_HERE / name, sources / name)
        if neighbour:
            install(sources / "udfs" / "runners", neighbour)
        product = Product(Path(folder) / "product", arguments=arguments, sources=sources)
        product.start()
        try:
            figures = asyncio.run(measure(product, neighbour))
        finally:
            product.kill()  # a handler that hangs would make a clean stop long, and nothing of it is kept
    return [f"{neighbour}: {BODIES[neighbour][0]}" if neighbour else "nobody", *figures]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--isolated", action="store_true", help="every vertex its own process")
    arguments = ("--isolated",) if parser.parse_args().isolated else ()
    rows = [row(neighbour, *arguments) for neighbour in (None, *BODIES, None)]
    header = ["neighbour", "transitions/s", "run p50 ms", "p99 ms", "CPU ms each", "its deaths", "others' deaths"]
    title = f"{RUNS} runs of {TASKS} tasks from {CLIENTS} clients beside {BAD_RUNS_A_SECOND} bad runs/s"
    print(table(title, header, rows))


if __name__ == "__main__":
    main()
