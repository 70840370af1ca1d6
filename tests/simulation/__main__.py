"""``python -m tests.simulation --seeds N [--from K] [--jobs J]``: any number of worlds; a bad one is printed."""

import argparse
import logging
import sys
from concurrent.futures import ProcessPoolExecutor

from pipeline.process.clock import SystemClock
from pipeline.testing.world import Report, World
from tests.simulation.real_handlers import RealHandlers

CHUNK = 250
SHOWN = 5


def chunk(seeds: range) -> tuple[int, dict[str, int], list[Report]]:
    """How many worlds were run, how their runs ended, and the reports of the bad ones."""
    logging.disable()  # what goes wrong in a world is meant
    ends: dict[str, int] = {}
    bad = []
    for seed in seeds:
        report = World(seed, RealHandlers()).run()
        for status in report.statuses.values():
            ends[status] = ends.get(status, 0) + 1
        if report.violations:
            bad.append(report)
    return len(seeds), ends, bad


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    clock = SystemClock()
    began_s = clock.monotonic_s()
    last = options.first + options.seeds
    chunks = [range(seed, min(seed + CHUNK, last)) for seed in range(options.first, last, CHUNK)]
    done = 0
    ends: dict[str, int] = {}
    bad: list[Report] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for count, of_chunk, reports in pool.map(chunk, chunks):
            done += count
            bad += reports
            for status, runs in of_chunk.items():
                ends[status] = ends.get(status, 0) + runs
            rate = done / (clock.monotonic_s() - began_s)
            print(f"\r{done} of {options.seeds} seeds, {rate:.0f}/s, {len(bad)} bad ", end="", flush=True)
    print()
    print("runs ended", ", ".join(f"{status} {runs}" for status, runs in sorted(ends.items())))
    for report in bad[:SHOWN]:
        print(f"seed {report.seed}: {report.violations[0]}")
    if bad:
        print(bad[0].as_text())
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
