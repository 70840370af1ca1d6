"""How soon a decision acts: on an engine that has nothing else to do, and beside a load of runs.

``applied`` is from the request of ``POST …/decide`` to the answer that says that it counts, ``run ended`` until the
task after the question has run and the run's end was told to whoever waits for it. Both are what a client sees.
"""

import asyncio
import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.measuring import percentile, table
from benchmarks.parked import WORKFLOW, Stage, decisions
from benchmarks.product import Bench, chain, one_run, publish

DECISIONS: Final = 100
CLIENTS: Final = 16
"""Of the load, each with one chain of five after the other."""
START_S: Final = 120


async def park(stage: Stage, count: int) -> None:
    """So many runs that wait for the approver, and are in the inbox."""
    async with stage.client("requester") as requester, stage.client("approver") as approver:
        for _ in range(count):
            await requester.ask("POST", "/api/v1/runs", {"workflow": WORKFLOW})
        async with asyncio.timeout(START_S):
            while len((await approver.ask("GET", "/api/v1/tasks?limit=200"))["items"]) < count:  # noqa: ASYNC110  (polls)
                await asyncio.sleep(0.1)


async def row(stage: Stage, name: str) -> list[object]:
    """Park, let a moment pass, decide."""
    await park(stage, DECISIONS)
    await asyncio.sleep(1)
    applied, ended = await decisions(stage, DECISIONS)
    return [name, len(applied), *(f"{percentile(times, at):.1f}" for times in (applied, ended) for at in (0.5, 0.99))]


async def measure(stage: Stage) -> None:
    """Print the table."""
    await stage.prepare()
    bench = Bench(stage.product)
    five = await publish(bench.client, "five-in-a-row", chain(5))
    await bench.client.aclose()

    async def work() -> None:
        async with bench.lean() as client:
            while True:
                await one_run(client, five)

    rows = [await row(stage, "nothing else to do")]
    load = [asyncio.create_task(work()) for _ in range(CLIENTS)]
    rows.append(await row(stage, f"beside {CLIENTS} clients with chains of five"))
    assert not any(task.done() for task in load), "the load was over before the decisions were"
    for task in load:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*load)
    header = ["engine", "decisions", "applied p50 ms", "p99", "run ended p50 ms", "p99"]
    print(table("How soon a decision acts", header, rows))


def main() -> None:
    """Run it."""
    with TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        stage.product.start()
        try:
            asyncio.run(measure(stage))
        finally:
            stage.product.stop()


if __name__ == "__main__":
    main()
