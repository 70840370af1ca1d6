"""One run of 10 to 500 tasks, in a row and side by side: time, CPU and bytes written, as a table and a plot.

``python -m benchmarks.tasks``; ``--plot FILE.svg`` draws it. Each write of a run holds its document, so a row of tasks
costs at most tasks x document; more than that would be a mistake.
"""

import argparse
import asyncio
import sqlite3
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil

from benchmarks.measuring import machine, table, usage
from benchmarks.product import Bench, chain, one_run, publish
from cli.data_folder import DataFolder
from pipeline.store import types
from tests.product import Product

TASKS: Final = (10, 20, 50, 100, 200, 500)
TIMES: Final = 3
MIB: Final = 2**20
_WIDTH: Final = 640
_HEIGHT: Final = 400
_MARGIN: Final = 60
_COLOURS: Final = {"in a row": "#0b57d0", "side by side": "#b3261e"}


@dataclass(frozen=True, slots=True)
class Figure:
    """Of one run: what it took, and the bytes of its document at the end."""

    tasks: int
    ms: float
    cpu_ms: float
    written: int
    changes: float
    document: int


def fan(tasks: int) -> dict[str, Any]:
    """A spec of one PASS task and all others after it; a task may depend on too few for one that joins them."""
    leaves = [{"name": f"t{i}", "type": "PASS", "depends": "t0", "arguments": []} for i in range(1, tasks)]
    return {"dag": {"entrypoint": "t0", "tasks": [{"name": "t0", "type": "PASS", "arguments": []}, *leaves]}}


def _document_bytes(folder: DataFolder) -> int:
    """Of the newest run."""
    with sqlite3.connect(f"file:{folder.database}?mode=ro", uri=True) as connection:
        (size,) = connection.execute(
            "SELECT length(json_extract(attributes, ?)) FROM entity WHERE type = ? ORDER BY id DESC LIMIT 1",
            (f"$.{types.RUN_CONFIG}", types.RUN),
        ).fetchone()
    connection.close()
    return int(size)


def _written(product: Product) -> int:
    """Bytes that the engine's process has handed to the disk."""
    return int(psutil.Process(product.pid).io_counters().write_bytes)


async def figure(bench: Bench, workflow: str, tasks: int) -> Figure:
    """The median of a few runs, after one that isn't counted."""
    product, folder = bench.product, DataFolder(bench.product.folder / "data")
    figures = []
    async with bench.lean() as client:
        await one_run(client, workflow)
        await asyncio.sleep(1)  # its events are handled
        for _ in range(TIMES):
            changed = (await bench.metrics())["blockline_sink_state_changes_total"]
            written, before = _written(product), usage(product.pid)
            ms = await one_run(client, workflow)
            await asyncio.sleep(1)  # so are these
            after = usage(product.pid)
            written = _written(product) - written
            changed = (await bench.metrics())["blockline_sink_state_changes_total"] - changed
            cpu_ms = (after.cpu_s - before.cpu_s) * 1000
            figures.append(Figure(tasks, ms, cpu_ms, written, changed, _document_bytes(folder)))
    names = ("ms", "cpu_ms", "written", "changes", "document")
    middle = {name: statistics.median(getattr(each, name) for each in figures) for name in names}
    return Figure(tasks, middle["ms"], middle["cpu_ms"], int(middle["written"]), middle["changes"],
                  int(middle["document"]))  # fmt: skip


async def measure(product: Product) -> Mapping[str, Sequence[Figure]]:
    """All of them, by shape."""
    bench = Bench(product)
    figures: dict[str, list[Figure]] = {}
    for tasks in TASKS:
        in_a_row = await publish(bench.client, f"row-{tasks}", chain(tasks))
        beside = await publish(bench.client, f"fan-{tasks}", fan(tasks))
        figures.setdefault("in a row", []).append(await figure(bench, in_a_row, tasks))
        figures.setdefault("side by side", []).append(await figure(bench, beside, tasks))
    await bench.client.aclose()
    return figures


def rows(figures: Sequence[Figure]) -> list[list[object]]:
    """For the table: what is written as a share of tasks x document, too."""
    return [
        [
            each.tasks,
            f"{each.ms:.0f}",
            f"{each.cpu_ms / each.tasks:.1f}",
            f"{each.changes:.0f}",
            f"{each.document / 1024:.1f}",
            f"{each.written / MIB:.2f}",
            f"{each.written / each.tasks / 1024:.1f}",
            f"{each.written / (each.tasks * each.document):.2f}",
        ]
        for each in figures
    ]


def plot(figures: Mapping[str, Sequence[Figure]]) -> str:
    """CPU a task over the number of tasks, as SVG; the numbers stand side by side, whatever is between them."""
    most = max(each.cpu_ms / each.tasks for line in figures.values() for each in line)
    right, bottom = _WIDTH - _MARGIN, _HEIGHT - _MARGIN

    def place(each: Figure) -> tuple[float, float]:
        x = _MARGIN + (right - _MARGIN) * TASKS.index(each.tasks) / (len(TASKS) - 1)
        return x, bottom - (bottom - _MARGIN) * each.cpu_ms / each.tasks / most

    parts = [f'<path d="M{_MARGIN} {_MARGIN}V{bottom}H{right}" fill="none" stroke="#666"/>']
    parts += [f'<text x="{_MARGIN}" y="{_MARGIN - 12}">CPU ms a task (at most {most:.1f}), by tasks of the run</text>']
    for number, (name, line) in enumerate(figures.items()):
        colour, points = _COLOURS[name], [place(each) for each in line]
        shape = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
        parts.append(f'<polyline points="{shape}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>'
            f'<text x="{x:.0f}" y="{y - 8:.0f}" text-anchor="middle">{each.cpu_ms / each.tasks:.1f}</text>'
            for each, (x, y) in zip(line, points, strict=True)
        ]
        parts.append(f'<text x="{_MARGIN + 12}" y="{_MARGIN + 20 + 16 * number}" fill="{colour}">{name}</text>')
    parts += [f'<text x="{place(each)[0]:.0f}" y="{bottom + 18}" text-anchor="middle">{each.tasks}</text>'
              for each in figures["in a row"]]  # fmt: skip
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="11">\n<title>{machine()}</title>\n<rect width="100%" height="100%" fill="#fff"/>\n{inside}\n'
        "</svg>\n"
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tasks")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        product = Product(Path(name))
        product.start()
        try:
            time.sleep(TIMES)  # noqa: TID251  (what a start has left to do is over)
            figures = asyncio.run(measure(product))
        finally:
            product.stop()
    header = ["tasks", "ms", "CPU ms a task", "changes", "document KiB", "MiB written", "KiB a task"]
    for shape, line in figures.items():
        print(table(f"One run, its tasks {shape}", [*header, "of tasks x document"], rows(line)))
    if arguments.plot is not None:
        arguments.plot.write_text(plot(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
