"""What all benchmarks share: CPU and memory of a process tree, percentiles, tables."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds and resident MiB of a process and its children, as of now."""

    cpu_s: float
    resident_mib: float


def usage(pid: int) -> Usage:
    """Of the whole tree below ``pid``, itself included; children that ended count through their parent."""
    root = psutil.Process(pid)
    cpu_s = resident = 0.0
    for process in [root, *root.children(recursive=True)]:
        times = process.cpu_times()
        cpu_s += times.user + times.system
        resident += process.memory_info().rss
    own = root.cpu_times()
    return Usage(cpu_s + own.children_user + own.children_system, resident / 2**20)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0..1) of them lie, by nearest rank."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def machine() -> str:
    """Cores and load average, to stand beside every figure: the machine is rarely quiet."""
    one, five, fifteen = os.getloadavg()
    return f"{os.cpu_count()} cores, load average {one:.2f} {five:.2f} {fifteen:.2f}"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table with aligned columns."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([f"\n{title} ({machine()})", *lines])
