"""Run after run: whether memory stays flat, what a run that is over takes on disk, and what retention gives back.

``python -m benchmarks.ended 50000``: the engine itself makes all of them. ``--tasks 5`` for longer ones.
"""

import argparse
import asyncio
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil

from benchmarks.lean_client import LeanClient
from benchmarks.measuring import table
from benchmarks.product import chain, one_run
from cli.atlas import EmbeddedAtlas
from cli.data_folder import DataFolder
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.guard import Guard
from pipeline.local.atlas.users import UserStore
from pipeline.messages.seal import Seal
from pipeline.process.clock import SystemClock
from pipeline.retention.archive import Archive
from pipeline.retention.records import AuditLine
from pipeline.retention.selection import Selection
from pipeline.retention.sweep import DAY_MS, Retention
from tests.product import Product

RUNS: Final = 50_000
ROWS: Final = 10
CLIENTS: Final = 64
REST_S: Final = 5
PURGED: Final = 2_000
"""Runs that retention is measured with: a pass takes its time on purpose."""
MIB: Final = 2**20
_NO_TOKEN: Final = "nobody-connects"  # noqa: S105
_WORKFLOW: Final = "over"


def _resident(product: Product) -> tuple[float, float, float]:
    """MiB of the engine's process and of its children (the broker), and CPU seconds of both."""
    engine = psutil.Process(product.pid)
    children = engine.children(recursive=True)
    cpu_s = sum(times.user + times.system for times in (each.cpu_times() for each in (engine, *children)))
    return engine.memory_info().rss / MIB, sum(child.memory_info().rss for child in children) / MIB, cpu_s


def _disk(path: Path) -> tuple[int, int]:
    """Bytes of the file with its log, and how many of them are free for what comes."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        (page,), (free,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "freelist_count"))
    connection.close()
    log = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0), page * free


async def _make(product: Product, count: int) -> None:
    """Start and await so many runs."""
    left = iter(range(count))

    async def work() -> None:
        async with LeanClient(product.port, "admin", product.password) as client:
            for _ in left:
                await one_run(client, _WORKFLOW)

    await asyncio.gather(*(work() for _ in range(CLIENTS)))
    await asyncio.sleep(REST_S)


def _publish(product: Product, tasks: int) -> None:
    with product.client() as client:
        stored = client.post("/workflows", json={"name": _WORKFLOW, "spec": chain(tasks)}).raise_for_status().json()
        client.post(f"/workflows/{stored['guid']}/publish").raise_for_status()


def _row(product: Product, folder: DataFolder, runs: int) -> list[object]:
    engine, broker, cpu_s = _resident(product)
    size, _ = _disk(folder.database)
    return [runs, f"{engine:.0f}", f"{broker:.0f}", f"{cpu_s:.1f}", f"{size / MIB:.1f}", f"{size / max(runs, 1):.0f}"]


class _Later(SystemClock):
    """Two days from now: what ended today may go."""

    def now_ms(self) -> int:
        return super().now_ms() + 2 * DAY_MS


async def _purge(folder: DataFolder, archive: Archive, most: int) -> int:
    """Retention, as the engine runs it but for its rests; runs that left."""
    clock, database = _Later(), Database(folder.database)
    try:
        embedded = EmbeddedAtlas(database, _NO_TOKEN, clock, Guard(await UserStore.open(database), clock))
        await embedded.start()
        store = embedded.store()

        async def audit(_: str) -> list[AuditLine]:
            return []

        selection = Selection(store, Seal(folder.engine_key()), audit)
        purged = 0
        archive.hold()
        async for batch in Retention(store, selection, archive, clock, 1).a_pass():
            purged += batch.purged
            if purged >= most:
                break
        archive.release()
        await store.aclose()
        return purged
    finally:
        await database.close()


def _retention(folder: DataFolder) -> list[object]:
    """A row: what purging some runs gives back."""
    folder.hold()
    size, free = _disk(folder.database)
    archive = Archive(folder.path / "archive")
    purged = asyncio.run(_purge(folder, archive, PURGED))
    after, free_after = _disk(folder.database)
    kept = sum(path.stat().st_size for path in archive.folder.rglob("*") if path.is_file())
    folder.release()
    return [
        purged,
        f"{size / MIB:.1f}",
        f"{after / MIB:.1f}",
        f"{(free_after - free) / max(purged, 1):.0f}",
        f"{kept / max(purged, 1):.0f}",
    ]


def _biggest(folder: DataFolder, runs: int) -> list[list[object]]:
    """What takes the room, in bytes a run; None where this SQLite can't say."""
    rows: list[list[object]] = []
    with sqlite3.connect(f"file:{folder.database}?mode=ro", uri=True) as connection:
        try:
            found: list[tuple[Any, ...]] = connection.execute(
                "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 12"
            ).fetchall()
        except sqlite3.OperationalError:
            found = []
        rows = [[name, f"{size / runs:.0f}"] for name, size in found]
    connection.close()
    return rows


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ended")
    parser.add_argument("runs", type=int, nargs="?", default=RUNS)
    parser.add_argument("--tasks", type=int, default=1)
    arguments = parser.parse_args()
    each = max(1, arguments.runs // ROWS)
    header = ["ended runs", "MiB engine", "MiB broker", "CPU s so far", "MiB on disk", "bytes a run"]
    with TemporaryDirectory() as name:
        product, folder = Product(Path(name)), DataFolder(Path(name) / "data")
        product.start()
        try:
            _publish(product, arguments.tasks)
            rows = [_row(product, folder, 0)]
            for made in range(each, arguments.runs + 1, each):
                asyncio.run(_make(product, each))
                rows.append(_row(product, folder, made))
                print(rows[-1], flush=True)
        finally:
            product.stop()
        print(table(f"Runs of {arguments.tasks} PASS, {CLIENTS} clients", header, rows))
        print(table("On disk", ["what", "bytes a run"], _biggest(folder, arguments.runs)))
        row = _retention(folder)
    header = ["runs purged", "MiB before", "after", "bytes a run free again", "bytes a run in the archive"]
    print(table("Retention", header, [row]))


if __name__ == "__main__":
    main()
