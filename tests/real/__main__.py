"""``python -m tests.real``: real Kafka, Solr and Apache Atlas for the tests, from published artifacts.

``run COMMAND…`` starts them on empty data, runs the command, and stops them, however it ends. ``start`` starts them and
leaves them running (``--keep``: with what they had), ``stop`` stops them, ``status`` says what runs.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.real.artifacts import RealError, cache_folder
from tests.real.systems import PIECES, RealSystems

_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    """Exit code: the command's, else 0, or 1 with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m tests.real", description=__doc__)
    parser.add_argument("--folder", type=Path, default=cache_folder().with_name("real-systems"))
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    commands.add_parser("start").add_argument("--keep", action="store_true")
    commands.add_parser("stop")
    commands.add_parser("status")
    given = parser.parse_args(arguments)
    for number in _ENDINGS:
        signal.signal(number, _interrupt)
    try:
        if given.command == "run":
            return _run(given.arguments)
        if given.command == "start":
            return _start(given.folder, is_keeping=given.keep)
        if given.command == "stop":
            RealSystems.of(given.folder).stop_all()
        return _status(given.folder)
    except RealError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(command: list[str]) -> int:
    """The command among systems of its own, on free ports and empty data."""
    folder = Path(tempfile.mkdtemp(prefix="blockline-real-"))
    # Stops everything once this process is gone, also after a kill -9: its input ends then.
    reaper = subprocess.Popen(
        [sys.executable, "-m", "tests.real.reaper", str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        began = time.monotonic()
        systems = RealSystems.of(folder)
        systems.start_all()
        print(f"Kafka, Solr and Apache Atlas are ready ({time.monotonic() - began:.0f} s)", flush=True)
        return subprocess.run(command, env={**os.environ, **systems.environment()}, check=False).returncode
    finally:
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        if reaper.stdin is not None:
            reaper.stdin.close()
        reaper.wait()


def _start(folder: Path, *, is_keeping: bool) -> int:
    systems = RealSystems.of(folder)
    if not is_keeping:
        systems.remove()
        systems = RealSystems.of(folder)
    try:
        systems.start_all()
    except BaseException:
        systems.stop_all()
        raise
    for name, value in systems.environment().items():
        print(f"export {name}={value}")
    return 0


def _status(folder: Path) -> int:
    systems = RealSystems.of(folder)
    for piece in PIECES:
        process = systems.process(piece)
        print(f"{piece:<6} {'stopped' if process is None else f'runs as process {process.pid}'}")
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
