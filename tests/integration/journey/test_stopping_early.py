"""Who changes their mind while it starts: it ends in peace, leaves nobody behind, and starts on the same data."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cli.data_folder import DataFolder
from tests.integration.journey.actors import ROOT, until

pytestmark = pytest.mark.timeout(180)
STARTING_S = 90
SIGNALS = {"ctrl-c": signal.SIGINT, "sigterm": signal.SIGTERM}
REACHED = {"imports": "up.lock", "start": "engine.key", "store": "atlas.sqlite3"}
"""Files of the data folder that appear one after the other."""


def left_of(group: int) -> list[int]:
    """Processes of a group."""
    left = []
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) == group:
                left.append(pid)
        except (ProcessLookupError, PermissionError):
            continue
    return left


@pytest.mark.parametrize("asked_by", SIGNALS)
@pytest.mark.parametrize("during", REACHED)
def test_it_is_stopped_while_it_starts(tmp_path: Path, asked_by: str, during: str) -> None:
    data = tmp_path / "data"
    log = tmp_path / "log"
    with log.open("wb") as out:
        starting = subprocess.Popen(
            [sys.executable, "-m", "cli", "up", "--data", str(data), "--port", "0"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=out,
            start_new_session=True,
        )
    try:
        until(lambda: (data / REACHED[during]).exists() or starting.poll() is not None, "it starts", STARTING_S)
        starting.send_signal(SIGNALS[asked_by])
        assert starting.wait(60) == 0
        assert log.read_text() == ""
        until(lambda: not left_of(starting.pid), "nobody is left")
        DataFolder(data).hold().release()
    finally:
        if starting.poll() is None:
            os.killpg(starting.pid, signal.SIGKILL)
            starting.wait()
