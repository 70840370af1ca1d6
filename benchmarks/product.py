"""The engine as a user has it: ``blockline up`` on an empty data folder, driven through the API.

A transition is one task reaching a terminal status.
"""

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx

from benchmarks.lean_client import LeanClient
from benchmarks.measuring import Usage, percentile, table, usage
from tests.product import Product

LONE_RUNS: Final = 50
LOAD_RUNS: Final = 1000
LOAD_CLIENTS: Final = 64
WAIT_S: Final = 60


def chain(length: int) -> dict[str, Any]:
    """A spec of ``length`` PASS tasks in a row."""
    tasks: list[dict[str, Any]] = [{"name": "t0", "type": "PASS", "arguments": []}]
    tasks += [{"name": f"t{i}", "type": "PASS", "depends": f"t{i - 1}", "arguments": []} for i in range(1, length)]
    return {"dag": {"entrypoint": "t0", "tasks": tasks}}


def diamond(width: int) -> dict[str, Any]:
    """A spec of 1 → ``width`` → 1 PASS tasks."""
    middle = [{"name": f"m{i}", "type": "PASS", "depends": "first", "arguments": []} for i in range(width)]
    last = {"name": "last", "type": "PASS", "depends": " && ".join(f"m{i}" for i in range(width)), "arguments": []}
    return {
        "dag": {"entrypoint": "first", "tasks": [{"name": "first", "type": "PASS", "arguments": []}, *middle, last]}
    }


async def publish(client: httpx.AsyncClient, name: str, spec: dict[str, Any]) -> str:
    """Store and publish a workflow; its name."""
    stored = (await client.post("/workflows", json={"name": name, "spec": spec})).raise_for_status().json()
    (await client.post(f"/workflows/{stored['guid']}/publish")).raise_for_status()
    return name


async def one_run(client: LeanClient, workflow: str) -> float:
    """Start a run and wait for its end; milliseconds from the request to the answer that says it ended."""
    began = time.perf_counter()
    run = started = await client.ask("POST", "/api/v1/runs", {"workflow": workflow})
    while run["status"] == "PENDING":
        run = await client.ask("GET", f"/api/v1/runs/{started['guid']}?wait_s={WAIT_S}")
    assert run["status"] == "SUCCESS", run
    return (time.perf_counter() - began) * 1000


def counters(metrics: str) -> dict[str, float]:
    """Sums of the Prometheus counters by name, labels added up."""
    sums: dict[str, float] = {}
    for line in metrics.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            base = name.partition("{")[0]
            sums[base] = sums.get(base, 0.0) + float(value)
    return sums


class Bench:
    """One started product and what was measured on it."""

    def __init__(self, product: Product) -> None:
        """``product`` runs already."""
        self.product = product
        self.client = httpx.AsyncClient(
            base_url=f"{product.url}/api/v1",
            auth=("admin", product.password),
            timeout=WAIT_S + 30,
        )

    async def metrics(self) -> dict[str, float]:
        """Counters as of now."""
        return counters((await self.client.get(f"{self.product.url}/metrics")).raise_for_status().text)

    async def series(self) -> dict[str, float]:
        """Every counter with its labels, as of now."""
        text = (await self.client.get(f"{self.product.url}/metrics")).raise_for_status().text
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def lean(self) -> LeanClient:
        """A client of its own connection, as admin."""
        return LeanClient(self.product.port, "admin", self.product.password)

    async def lone(self, workflow: str, runs: int = LONE_RUNS) -> tuple[float, float]:
        """p50 and p99 in ms of one run after the other."""
        async with self.lean() as client:
            await one_run(client, workflow)
            times = [await one_run(client, workflow) for _ in range(runs)]
        return percentile(times, 0.5), percentile(times, 0.99)

    async def load(
        self, workflow: str, tasks: int, *, clients: int = LOAD_CLIENTS, runs: int = LOAD_RUNS
    ) -> list[object]:
        """A row: so many runs from so many clients."""
        left = iter(range(runs))
        times: list[float] = []

        async def work() -> None:
            async with self.lean() as client:
                times.extend([await one_run(client, workflow) for _ in left])

        before, used = await self.metrics(), usage(self.product.pid)
        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(clients)))
        wall_s = time.perf_counter() - began
        after, now = await self.metrics(), usage(self.product.pid)
        transitions = runs * tasks
        changed = after["blockline_sink_state_changes_total"] - before["blockline_sink_state_changes_total"]
        writes = after["blockline_sink_write_requests_total"] - before["blockline_sink_write_requests_total"]
        return [
            workflow,
            f"{transitions / wall_s:.0f}",
            f"{(now.cpu_s - used.cpu_s) * 1000 / transitions:.2f}",
            f"{percentile(times, 0.5):.0f}",
            f"{percentile(times, 0.99):.0f}",
            f"{changed / transitions:.2f}",
            f"{writes / transitions:.3f}",
            f"{runs}",
        ]


async def measure(product: Product, start_s: float, again_s: float, rest: Usage) -> None:
    """Print all tables."""
    bench = Bench(product)
    five = await publish(bench.client, "five-in-a-row", chain(5))
    ten = await publish(bench.client, "one-ten-one", diamond(10))
    p50, p99 = await bench.lone(five)
    print(table("Alone", ["what", "p50 ms", "p99 ms"], [["run of 5 tasks, alone", f"{p50:.1f}", f"{p99:.1f}"]]))
    rows = [await bench.load(five, 5), await bench.load(ten, 12)]
    header = [
        "workflow",
        "transitions/s",
        "CPU ms each",
        "run p50 ms",
        "run p99 ms",
        "changes each",
        "writes each",
        "creates",
    ]
    print(table(f"{LOAD_RUNS} runs from {LOAD_CLIENTS} clients", header, rows))
    after = usage(product.pid)
    print(
        table(
            "Process",
            ["first start s", "warm start s", "MiB at rest", "MiB after the load"],
            [[f"{start_s:.1f}", f"{again_s:.1f}", f"{rest.resident_mib:.0f}", f"{after.resident_mib:.0f}"]],
        )
    )
    await bench.client.aclose()


def main() -> None:
    """Run it."""
    with TemporaryDirectory() as folder:
        product = Product(Path(folder))
        start_s = product.start()
        product.stop()
        again_s = product.start()
        try:
            time.sleep(3)  # noqa: TID251  (memory at rest is measured after start-up's own work is over)
            asyncio.run(measure(product, start_s, again_s, usage(product.pid)))
        finally:
            product.stop()


if __name__ == "__main__":
    main()
