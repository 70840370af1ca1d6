"""``python -m benchmarks.real``: the engine on a real Kafka and a real Apache Atlas, which it starts if none run.

What Atlas itself gives is measured first, in the same run: by that everything else is to be judged. In the end
10,000 transitions with a restart of the broker and one of Atlas among them; nothing may be lost, nothing stay.
"""

import argparse
import asyncio
import os
import secrets
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx

from benchmarks.measuring import percentile, table
from benchmarks.product import WAIT_S, Bench, chain, publish
from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from pipeline.store.typedefs import register
from tests.product import Product
from tests.real import __main__ as real
from tests.real.configuration import PASSWORD, USER
from tests.real.systems import ATLAS, FOLDER_VARIABLE, KAFKA, RealSystems, attached

TASKS: Final = 5
BATCHES: Final = (1, 10, 100)
BATCH_S: Final = 5.0
CREATES: Final = 5
"""Bulks of new entities."""
WARM_S: Final = 15.0
"""A Java that has just started is slow for that long."""
TEXT: Final = "x" * 3_000
"""As long as the document of a chain of five."""
LONE_RUNS: Final = 20
REGISTER_S: Final = 300.0
"""An Atlas that has just started makes an index for each attribute."""
AGAIN_S: Final = 0.5
GIVES_UP_S: Final = 1_800.0


async def updates(store: AtlasEntityStore, batch: int, lasting_s: float) -> list[float]:
    """Seconds of each bulk of ``batch`` updates, one after the other."""
    prefix = f"yardstick/{secrets.token_hex(6)}"
    took: list[float] = []
    began = time.perf_counter()
    number = 0
    while time.perf_counter() - began < lasting_s or number < 2:
        writes = [
            EntityWrite(
                type_name=types.OUTPUT,
                qualified_name=f"{prefix}/{each}",
                attributes={"name": "yardstick", types.OUTPUT_TEXT: f"{number} {TEXT}"},
            )
            for each in range(batch)
        ]
        sent = time.perf_counter()
        await store.upsert(writes)
        if number:
            took.append(time.perf_counter() - sent)
        number += 1
    return took


async def yardstick(systems: RealSystems) -> None:
    """What this Atlas on this machine gives at this time; it has our types afterwards."""
    async with httpx.AsyncClient(base_url=systems.atlas, auth=(USER, PASSWORD), timeout=REGISTER_S) as client:
        await register(client)
    store = AtlasEntityStore.over(AtlasAccess.basic(systems.atlas, USER, PASSWORD))
    try:
        await updates(store, 100, WARM_S)
        rows = []
        for batch in BATCHES:
            took = await updates(store, batch, BATCH_S)
            rate = batch * len(took) / sum(took)
            rows.append([batch, f"{rate:.0f}", f"{percentile(took, 0.5) * 1000:.0f}"])
    finally:
        await store.aclose()
    print(
        table("Atlas alone, one writer, 3 kB", ["entities in a bulk", "updates/s", "p50 ms a bulk"], rows), flush=True
    )


async def alone(systems: RealSystems) -> tuple[float, float]:
    """What Atlas gives one writer now: updates/s of bulks of 100, and how many of them where a fifth as many entities
    are created in between, as a chain of five has it.
    """
    store = AtlasEntityStore.over(AtlasAccess.basic(systems.atlas, USER, PASSWORD))
    try:
        took = await updates(store, BATCHES[-1], BATCH_S)
        made = [await creates(store, BATCHES[-1] // TASKS) for _ in range(CREATES)]
    finally:
        await store.aclose()
    bulk_s = sum(took) / len(took)
    return BATCHES[-1] / bulk_s, BATCHES[-1] / (bulk_s + sum(made) / len(made))


async def creates(store: AtlasEntityStore, batch: int) -> float:
    """Seconds of one bulk of ``batch`` new entities of a type on which nobody acts."""
    prefix = f"yardstick/{secrets.token_hex(6)}"
    attributes = {"name": "yardstick", types.OUTPUT_TEXT: TEXT, types.OUTPUT_RUN_GUID: prefix}
    names = [f"{prefix}/{each}" for each in range(batch)]
    sent = time.perf_counter()
    await store.upsert(
        [EntityWrite(type_name=types.OUTPUT, qualified_name=name, attributes=attributes) for name in names]
    )
    return time.perf_counter() - sent


async def load(bench: Bench, workflow: str, systems: RealSystems, clients: int, runs: int) -> list[object]:
    """A row as of the embedded profile, with the size of the sink's batches; what Atlas alone gives is measured before
    and after. Prints where the time went.
    """
    yards = [await alone(systems)]
    before = await bench.series()
    began = time.perf_counter()
    _, rate, cpu, p50, p99, *_ = await bench.load(workflow, TASKS, clients=clients, runs=runs)
    wall_s = time.perf_counter() - began
    after = await bench.series()
    yards.append(await alone(systems))
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    changed, writes = (
        sum(value for name, value in grown.items() if name.startswith(start))
        for start in ("blockline_sink_state_changes_total", "blockline_sink_write_requests_total")
    )
    print(requests(grown, clients, runs * TASKS, wall_s), flush=True)
    limit, mixed = (sum(yard) / len(yards) for yard in zip(*yards, strict=True))
    told = runs * TASKS / wall_s
    return [
        *(clients, runs, rate, f"{yards[0][0]:.0f}, {yards[1][0]:.0f}", f"{told / limit:.2f}", f"{told / mixed:.2f}"),
        *(cpu, p50, p99, f"{changed / (runs * TASKS):.2f}", f"{changed / writes:.1f}"),
    ]


def requests(grown: dict[str, float], clients: int, transitions: int, wall_s: float) -> str:
    """What Atlas was asked during a load, by kind."""
    seconds = "blockline_store_request_seconds"
    rows = []
    for kind in ("write", "read", "search", "other"):
        for outcome in ("done", "failed"):
            labels = f'{{kind="{kind}",outcome="{outcome}"}}'
            count, spent_s = (grown.get(f"{seconds}_{what}{labels}", 0.0) for what in ("count", "sum"))
            if count:
                entities = grown.get(f'blockline_store_entities_total{{kind="{kind}"}}', 0.0)
                each = f"{entities / count:.1f}" if entities and outcome == "done" else ""
                mean_ms = f"{spent_s / count * 1000:.0f}"
                share = f"{spent_s / wall_s:.2f}"
                rows.append([kind, outcome, f"{count:.0f}", f"{count / transitions:.3f}", each, mean_ms, share])
    header = ["asked", "outcome", "requests", "a transition", "entities in one", "ms each", "of them at a time"]
    return table(f"What Atlas was asked, {clients} clients", header, rows)


@dataclass
class Storm:
    """Runs that are asked for until they are acknowledged, and watched until they have ended."""

    client: httpx.AsyncClient
    workflow: str
    runs: int
    world: str = field(default_factory=lambda: secrets.token_hex(6))
    ended: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: int = 0

    async def blow(self, clients: int) -> None:
        """All of them, from so many clients."""
        left = iter(range(self.runs))

        async def work() -> None:
            for number in left:
                await self._one(number)

        async with asyncio.timeout(GIVES_UP_S):
            await asyncio.gather(*(work() for _ in range(clients)))

    async def _one(self, number: int) -> None:
        key = {"Idempotency-Key": f"{self.world}-{number}"}
        run = await self._ask("POST", "/runs", json={"workflow": self.workflow}, headers=key)
        while run["status"] == "PENDING":
            run = await self._ask("GET", f"/runs/{run['guid']}", params={"wait_s": WAIT_S})
        self.ended[run["guid"]] = run

    async def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """The answer; asks again while it is a 503, or none."""
        while True:
            try:
                answer = await self.client.request(method, path, **request)
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                found: dict[str, Any] = answer.raise_for_status().json()
                return found
            self.refused += 1
            await asyncio.sleep(AGAIN_S)


async def restarts(bench: Bench, workflow: str, systems: RealSystems, clients: int, runs: int) -> None:
    """A storm with a restart of the broker after a third of it, and one of Atlas after two."""
    storm = Storm(bench.client, workflow, runs)
    took: dict[str, float] = {}

    async def restart(piece: str, after: int) -> None:
        while len(storm.ended) < after:  # noqa: ASYNC110  (polled: nothing measured hangs on it)
            await asyncio.sleep(AGAIN_S)
        began = time.perf_counter()
        await asyncio.to_thread(_again, systems, piece)
        took[piece] = time.perf_counter() - began

    began = time.perf_counter()
    await asyncio.gather(storm.blow(clients), restart(KAFKA, runs // 3), restart(ATLAS, runs * 2 // 3))
    wall_s = time.perf_counter() - began
    letters = (await bench.client.get("/dead-letters")).raise_for_status().json()["items"]
    tasks = [task["status"] for run in storm.ended.values() for task in run["dag"]["tasks"]]
    wrong = [guid for guid, run in storm.ended.items() if run["status"] != "SUCCESS"]
    row = [
        *(len(storm.ended), tasks.count("SUCCESS"), len(wrong), len(letters), f"{wall_s:.0f}"),
        *(f"{took[piece]:.0f}" for piece in (KAFKA, ATLAS)),
        *(f"{len(tasks) / (wall_s - took[ATLAS]):.0f}", storm.refused),
    ]
    header = ["runs ended", "tasks done", "wrong", "dead letters", "s", "s broker away", "s Atlas away"]
    print(table("With restarts", [*header, "transitions/s but for Atlas' restart", "asked again"], [row]), flush=True)
    assert (len(storm.ended), tasks.count("SUCCESS"), wrong, letters) == (runs, runs * TASKS, [], [])


def _again(systems: RealSystems, piece: str) -> None:
    systems.stop(piece)
    systems.start(piece)


async def lone(bench: Bench, workflow: str, systems: RealSystems) -> None:
    """One run after the other, and single updates of Atlas before and after them."""
    store = AtlasEntityStore.over(AtlasAccess.basic(systems.atlas, USER, PASSWORD))
    try:
        single = await updates(store, 1, BATCH_S)
        p50, p99 = await bench.lone(workflow, LONE_RUNS)
        single += await updates(store, 1, BATCH_S)
    finally:
        await store.aclose()
    store_ms = percentile(single, 0.5) * 1000
    header = ["what", "p50 ms", "p99 ms", "p50 ms of a single update", "six of them"]
    row = [f"{TASKS} tasks", f"{p50:.0f}", f"{p99:.0f}", f"{store_ms:.0f}", f"{6 * store_ms:.0f}"]
    print(table("Alone: six writes, one after the other", header, [row]), flush=True)


async def measure(product: Product, systems: RealSystems, given: argparse.Namespace) -> None:
    """Everything but the yardstick."""
    bench = Bench(product)
    five = await publish(bench.client, f"five-{secrets.token_hex(4)}", chain(TASKS))
    await lone(bench, five, systems)
    rows = [await load(bench, five, systems, clients, given.runs // 4) for clients in given.clients]
    header = [
        "clients",
        "runs",
        "transitions/s",
        "Atlas alone before, after",
        "ratio",
        "to updates and creates",
        "CPU ms each",
        "run p50 ms",
        "run p99 ms",
        "changes each",
        "runs a bulk",
    ]
    print(table("Chains of five", header, rows), flush=True)
    if given.is_calm:
        await bench.client.aclose()
        return
    await restarts(bench, five, systems, given.clients[-1], given.runs)
    await bench.client.aclose()


def main(arguments: list[str]) -> int:
    """Run it; exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real", description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000, help="of the storm; a load has a quarter")
    parser.add_argument("--clients", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--calm", action="store_true", dest="is_calm", help="no storm")
    given = parser.parse_args(arguments)
    if FOLDER_VARIABLE not in os.environ:
        return real.main(["run", sys.executable, "-m", "benchmarks.real", *arguments])
    systems = attached()
    with TemporaryDirectory() as folder:
        account = {"BLOCKLINE_ATLAS_USER": USER, "BLOCKLINE_ATLAS_PASSWORD": PASSWORD}
        where = ("--atlas", systems.atlas, "--kafka", systems.kafka)
        asyncio.run(yardstick(systems))
        with Product(Path(folder), environment=account, arguments=where) as product:
            asyncio.run(measure(product, systems, given))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
