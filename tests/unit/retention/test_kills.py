"""The archive on a real disk and a store in SQLite: killed at random points, and without room."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.process.clock import SystemClock
from pipeline.retention.archive import Archive
from pipeline.retention.records import ArchiveError
from pipeline.testing.chance import Chance
from tests.golden.archived import ARCHIVED
from tests.unit.retention.on_disk import RUNS, Disk

KILLS = 6
PASS_S = 60


def child(folder: Path) -> "subprocess.Popen[bytes]":
    """One pass in a process of its own; it says when it begins."""
    return subprocess.Popen([sys.executable, "-m", "tests.unit.retention.on_disk", str(folder)], stdout=subprocess.PIPE)


def test_killed_at_random_points_nothing_is_lost_and_nothing_is_left(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    guids = asyncio.run(disk.fill())
    chance, clock = Chance(29), SystemClock()
    longest_ms = 500
    for _ in range(KILLS):
        process = child(tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == b"begins\n"
        asyncio.run(clock.sleep(chance.between(0, longest_ms) / 1000))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        whole = asyncio.run(disk.whole())
        archived = {run.guid for _, run in Archive(disk.archive).runs()}
        assert set(guids) == whole | archived
    process = child(tmp_path)
    process.communicate(timeout=PASS_S)
    assert process.returncode == 0
    assert asyncio.run(disk.rows()) == [0, 0], "neither entities nor audit are left"
    archive = Archive(disk.archive)
    assert len(guids) == RUNS
    for guid in guids:
        run = archive.run(guid, "*")
        assert run is not None
        assert {entity.type_name for entity in run.entities} == {"WorkflowRun", "Task"}
    assert archive.being_purged() == []


def test_without_room_nothing_half_written_stays(tmp_path: Path) -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        "from pathlib import Path; from pipeline.retention.archive import Archive;"
        "from pipeline.retention.records import ArchiveError; from tests.golden.archived import ARCHIVED;"
        "archive = Archive(Path(sys.argv[1])).hold()\n"
        "try: archive.keep('2026-11-27', [ARCHIVED])\n"
        "except ArchiveError as error: print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "so nothing leaves the store" in answer.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["retention.lock"]
    archive = Archive(tmp_path).hold()
    archive.keep("2026-11-27", [ARCHIVED])
    archive.release()
    assert [run for _, run in archive.runs()] == [ARCHIVED]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveError, match="The archive can't be used"):
        Archive(tmp_path / "file" / "archive").hold()
