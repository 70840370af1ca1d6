"""Runs that wait for a person: what they cost at rest, how soon a decision acts, what lists and the timer cost.

``python -m benchmarks.parked 10000`` parks copies whose wake-ups are spread over the hour, as with runs that were
started at any time, and starts the engine on them. ``--by-engine`` has the engine itself start and park all of them.
``--ended 10000`` adds runs that were decided (1,000 without). ``--data FOLDER`` keeps the data there, and takes it up
the next time.
"""

import argparse
import asyncio
import contextlib
import sqlite3
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks import copies
from benchmarks.lean_client import LeanClient
from benchmarks.measuring import percentile, table, usage
from cli.data_folder import DataFolder
from pipeline.core.limits import WAKE_UP_MAX_MS
from pipeline.local.atlas.index import column_of, table_of
from pipeline.process.clock import SystemClock
from pipeline.store import types
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from sources.timer.handler import TimerHandler
from tests.product import Product

PARKED: Final = 10_000
REST_S: Final = 10
WATCH_S: Final = 60
DECISIONS: Final = 200
DECISION_EVERY_S: Final = 0.05
CALLS: Final = 10
TRIED: Final = 1_000
"""Decided runs that are there at least: they say how long the parked ones will take to write."""
START_MS: Final = 20_000
STARTERS: Final = 32
PASSWORD: Final = "of-the-benchmark-1"  # noqa: S105
WORKFLOW: Final = "ask"
QUESTION: Final = [
    {"title": "May it?"},
    {"body": "It is asked by a benchmark."},
    {"approvers": {"users": ["approver"]}},
    {"rule": "ANY"},
    {"dueIn": "P30D"},
]
SPEC: Final = {
    "dag": {
        "entrypoint": "ask",
        "tasks": [
            {"name": "ask", "type": "APPROVAL", "arguments": QUESTION},
            {"name": "yes", "type": "PASS", "depends": "ask.SUCCESS", "endStatus": "APPROVED", "arguments": []},
            {"name": "no", "type": "PASS", "depends": "ask.FAILED_ANY", "endStatus": "REJECTED", "arguments": []},
        ],
    }
}


class Stage:
    """A product and three people on it: ``admin``, ``requester`` who starts, ``approver`` who is asked."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs."""
        self.product = Product(folder)
        self.data = DataFolder(folder / "data")

    def client(self, name: str) -> LeanClient:
        """A connection of somebody's own."""
        return LeanClient(self.product.port, name, self.product.password if name == "admin" else PASSWORD)

    async def prepare(self) -> None:
        """Passwords and the workflow; once."""
        async with self.client("admin") as admin:
            for name in ("requester", "approver"):
                await admin.ask("PUT", f"/api/v1/users/{name}", {"password": PASSWORD})
            stored = await admin.ask("POST", "/api/v1/workflows", {"name": WORKFLOW, "spec": SPEC})
            await admin.ask("POST", f"/api/v1/workflows/{stored['guid']}/publish")

    async def park(self, count: int) -> list[str]:
        """Start runs, by the engine; their guids, once each of them waits for its approver."""
        guids: list[str] = []
        left, wanted = iter(range(count)), self._open() + count

        async def starts() -> None:
            async with self.client("requester") as requester:
                for _ in left:
                    started = await requester.ask("POST", "/api/v1/runs", {"workflow": WORKFLOW})
                    guids.append(started["guid"])

        await asyncio.gather(*(starts() for _ in range(min(STARTERS, count))))
        while self._open() < wanted:  # noqa: ASYNC110  (another process' work)
            await asyncio.sleep(1)
        await asyncio.sleep(REST_S)  # the mails are written, and the continuations that wrote them recorded
        return guids

    def _open(self) -> int:
        """Open questions; asked of the file, so that the engine has nothing to do for it."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data.database}?mode=ro", uri=True)) as connection:
            (count,) = connection.execute(
                f"SELECT count(*) FROM {table_of(types.ITEM)} WHERE {column_of(types.ITEM_STATUS)} = 'OPEN'"  # noqa: S608
            ).fetchone()
            return int(count)

    async def decide(self, guid: str) -> None:
        """The approver says yes, and the run ends of it."""
        async with self.client("approver") as approver:
            found = await approver.ask("GET", f"/api/v1/tasks?run={guid}")
            body = {"action": "APPROVED"}
            await approver.ask("POST", f"/api/v1/tasks/{found['items'][0]['guid']}/decide", body)
            while (await approver.ask("GET", f"/api/v1/runs/{guid}?wait_s=30"))["status"] == "PENDING":
                pass


def fill(stage: Stage, parked: str, ended: str, counts: tuple[int, int]) -> None:
    """Copies of a run that was decided, and of a parked one with wake-ups evenly over the hour that begins about when
    the copies are there: else the first minutes would have to be caught up with.
    """
    clock, (parked_count, ended_count) = SystemClock(), counts
    folder = stage.data.hold()
    try:
        began_s = clock.monotonic_s()
        tried = max(ended_count, TRIED)
        copies.write(folder, copies.read(folder, ended), tried)
        took_ms = (clock.monotonic_s() - began_s) * 1000 * parked_count / tried
        first_ms = clock.now_ms() + round(took_ms) + START_MS
        original = copies.read(folder, parked)
        copies.write(folder, original, parked_count, lambda place: first_ms + WAKE_UP_MAX_MS * place // parked_count)
    finally:
        folder.release()


def watch(stage: Stage) -> tuple[float, float]:
    """CPU seconds of a minute in which nobody does anything, and MiB after it."""
    time.sleep(REST_S)  # noqa: TID251  (what a start has left to do is over)
    before = usage(stage.product.pid)
    time.sleep(WATCH_S)  # noqa: TID251  (what it costs to do nothing is measured)
    after = usage(stage.product.pid)
    return after.cpu_s - before.cpu_s, after.resident_mib


async def decisions(stage: Stage, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds from a decision to the answer that says it was applied, and until the run has ended."""
    applied, ended = list[float](), list[float]()
    async with stage.client("approver") as approver, stage.client("approver") as waiter:
        found: list[Any] = []
        cursor = ""
        while len(found) < count:
            page = await approver.ask("GET", f"/api/v1/tasks?limit=200{cursor}")
            found += page["items"]
            if not page["next_cursor"]:
                break
            cursor = f"&cursor={page['next_cursor']}"
        for item in found[:count]:
            began_s = time.perf_counter()
            said = await approver.ask("POST", f"/api/v1/tasks/{item['guid']}/decide", {"action": "APPROVED"})
            applied.append((time.perf_counter() - began_s) * 1000)
            assert said["status"] == "APPLIED", said
            run = await waiter.ask("GET", f"/api/v1/runs/{item['run']}?wait_s=30")
            assert run["status"] == "APPROVED", run
            ended.append((time.perf_counter() - began_s) * 1000)
            await asyncio.sleep(DECISION_EVERY_S)
    return applied, ended


Call = Callable[[], Awaitable[Any]]


async def costs(stage: Stage, call: Call) -> str:
    """Median milliseconds of a call, and the CPU milliseconds of the engine for it."""
    await call()
    times = []
    before = usage(stage.product.pid)
    for _ in range(CALLS):
        began_s = time.perf_counter()
        await call()
        times.append((time.perf_counter() - began_s) * 1000)
    cpu_ms = (usage(stage.product.pid).cpu_s - before.cpu_s) * 1000 / CALLS
    return f"{statistics.median(times):.0f} / {cpu_ms:.0f}"


async def queries(stage: Stage) -> list[tuple[str, str]]:
    """What lists and the timer cost, by name."""
    async with (
        stage.client("admin") as admin,
        stage.client("requester") as requester,
        stage.client("approver") as approver,
    ):
        some = (await approver.ask("GET", "/api/v1/tasks?limit=1"))["items"][0]["run"]
        deep = (await approver.ask("GET", "/api/v1/tasks?limit=200"))["next_cursor"]
        asked = (
            ("runs, all", admin, "runs"),
            ("runs, of a workflow", admin, f"runs?workflow={WORKFLOW}"),
            ("runs, PENDING", admin, "runs?status=PENDING"),
            ("runs, WITHDRAWN (none)", admin, "runs?status=WITHDRAWN"),
            ("runs, of a workflow, WITHDRAWN (none)", admin, f"runs?workflow={WORKFLOW}&status=WITHDRAWN"),
            ("runs, of a requester, WITHDRAWN (none)", admin, "runs?requester=requester&status=WITHDRAWN"),
            ("runs, of an asset (none)", admin, "runs?asset_guid=nothing"),
            ("runs, since", admin, "runs?since=2020-01-01T00:00:00Z"),
            ("runs, as their requester", requester, "runs"),
            ("runs, as an approver", approver, "runs"),
            ("inbox", approver, "tasks"),
            ("inbox, its second 200", approver, f"tasks?limit=200&cursor={deep or ''}"),
            ("inbox, EXPIRED (none)", approver, "tasks?status=EXPIRED"),
            ("inbox, of a run", approver, f"tasks?run={some}"),
            ("workflows", admin, "workflows"),
        )
        rows = [
            (name, await costs(stage, partial(client.ask, "GET", f"/api/v1/{path}"))) for name, client, path in asked
        ]
    access = AtlasAccess.basic(stage.product.url, "admin", stage.product.password)
    store = AtlasEntityStore.over(access)
    try:
        clock = SystemClock()
        # The first poll of a timer always sweeps.
        rows.append(("timer's poll with its sweep", await costs(stage, lambda: TimerHandler(store, clock).poll())))
        timer = TimerHandler(store, clock)
        rows.append(("timer's poll", await costs(stage, timer.poll)))
    finally:
        await store.aclose()
    return rows


def prepare(stage: Stage, arguments: argparse.Namespace) -> list[object]:
    """The data folder as it is to be measured; what the engine held before and after it parked the runs itself."""
    stage.product.start()
    asyncio.run(stage.prepare())
    parked, ended = asyncio.run(stage.park(2))
    asyncio.run(stage.decide(ended))
    row: list[object] = []
    if arguments.by_engine:
        before = usage(stage.product.pid)
        began_s = time.monotonic()
        asyncio.run(stage.park(arguments.runs - 1))
        after = usage(stage.product.pid)
        took_s = time.monotonic() - began_s - REST_S
        cpu_ms = (after.cpu_s - before.cpu_s) * 1000 / arguments.runs
        cpu_s, rest_mib = watch(stage)
        row = [arguments.runs, f"{took_s:.0f}", f"{cpu_ms:.1f}", f"{before.resident_mib:.0f}"]
        row += [f"{after.resident_mib:.0f}", f"{rest_mib:.0f}", f"{cpu_s / WATCH_S * 100:.2f}"]
    stage.product.stop()
    if not arguments.by_engine:
        fill(stage, parked, ended, (arguments.runs - 1, arguments.ended))
    return row


def measure(stage: Stage, arguments: argparse.Namespace) -> None:
    """Start on what is there, and print the tables."""
    start_s = stage.product.start()
    try:
        started = usage(stage.product.pid)
        cpu_s, mib = watch(stage)
        header = ["parked", "ended", "start s", "its CPU s", "MiB", "MiB later", "CPU s a minute", "% of a core"]
        row = [arguments.runs, max(arguments.ended, TRIED), f"{start_s:.1f}", f"{started.cpu_s:.1f}"]
        row += [f"{started.resident_mib:.0f}", f"{mib:.0f}", f"{cpu_s:.2f}", f"{cpu_s / WATCH_S * 100:.2f}"]
        print(table("At rest", header, [row]), flush=True)
        rows = asyncio.run(queries(stage))
        print(table("A query", ["what", "ms / CPU ms"], rows), flush=True)
        applied, ended = asyncio.run(decisions(stage, min(DECISIONS, arguments.runs // 2)))
        figures = [f"{percentile(times, share):.0f}" for times in (applied, ended) for share in (0.5, 0.99)]
        header = ["decisions", "applied p50 ms", "p99", "run ended p50 ms", "p99"]
        print(table("A decision", header, [[len(applied), *figures]]), flush=True)
    finally:
        stage.product.stop()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parked")
    parser.add_argument("runs", type=int, nargs="?", default=PARKED)
    parser.add_argument("--ended", type=int, default=0)
    parser.add_argument("--by-engine", action="store_true")
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = arguments.data or Path(name)
        stage = Stage(folder)
        if not (folder / "data").exists():
            row = prepare(stage, arguments)
            if row:
                header = ["parked by the engine", "s", "CPU ms each", "MiB before", "after", "a minute later"]
                print(table("Parking", [*header, "% of a core"], [row]), flush=True)
        measure(stage, arguments)


if __name__ == "__main__":
    main()
