"""What a process a vertex costs: the default, ``--isolated`` and the default again, one after the other."""

import asyncio
import contextlib
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psutil

from benchmarks.measuring import percentile, table, usage
from benchmarks.product import Bench, chain, one_run, publish
from tests.product import Product

RUNS: Final = 200
CLIENTS: Final = 32
LONE_RUNS: Final = 20
TASKS: Final = 5
_MIB: Final = 1024 * 1024


def pss_mib(pid: int) -> tuple[int, float]:
    """How many processes there are in the tree, and their memory, what they share counted once."""
    process = psutil.Process(pid)
    count, pss = 0, 0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            pss += one.memory_full_info().pss
            count += 1
    return count, pss / _MIB


async def measure(product: Product) -> list[str]:
    """Lone runs, then a load: p50 of the first, transitions a second, CPU a transition."""
    bench = Bench(product)
    workflow = await publish(bench.client, "five-in-a-row", chain(TASKS))
    async with bench.lean() as client:
        lone = [await one_run(client, workflow) for _ in range(LONE_RUNS)]
    left = iter(range(RUNS))

    async def work() -> None:
        async with bench.lean() as client:
            for _ in left:
                await one_run(client, workflow)

    used, began = usage(product.pid), time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CLIENTS)))
    wall_s, now = time.perf_counter() - began, usage(product.pid)
    await bench.client.aclose()
    cpu_ms = (now.cpu_s - used.cpu_s) * 1000 / (RUNS * TASKS)
    return [f"{percentile(lone, 0.5):.0f}", f"{RUNS * TASKS / wall_s:.0f}", f"{cpu_ms:.2f}"]


def row(name: str, *arguments: str) -> list[object]:
    """One product from its first start to its end."""
    with TemporaryDirectory() as folder:
        product = Product(Path(folder), arguments=arguments)
        start_s = product.start()
        try:
            start_cpu_s = usage(product.pid).cpu_s
            time.sleep(3)  # noqa: TID251  (memory at rest is measured after start-up's own work is over)
            count, at_rest = pss_mib(product.pid)
            measured = asyncio.run(measure(product))
            _, after = pss_mib(product.pid)
        finally:
            product.stop()
    return [name, f"{start_s:.1f}", f"{start_cpu_s:.1f}", count, f"{at_rest:.0f}", f"{after:.0f}", *measured]


def main() -> None:
    """Run it."""
    rows = [row("default"), row("isolated", "--isolated"), row("default, again")]
    header = [
        *("what", "start s", "CPU s of it", "processes", "MiB PSS at rest", "after the load"),
        *("lone run p50 ms", "transitions/s", "CPU ms each"),
    ]
    print(table(f"{RUNS} runs of {TASKS} tasks from {CLIENTS} clients", header, rows))


if __name__ == "__main__":
    main()
