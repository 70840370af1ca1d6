"""What the doctor says of a data folder in which nothing runs, and that it leaves it as it is."""

import asyncio
from pathlib import Path

import pytest

from cli.data_folder import KEY, DataFolder
from cli.doctor_folder import ROOM_FAIL_BYTES, ROOM_WARN_BYTES, folder_findings, room
from cli.findings import Grade
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.users import UserStore


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A folder that was used and given back."""
    data = tmp_path / "data"

    async def story(folder: DataFolder) -> None:
        database = Database(folder.database)
        await UserStore.open(database)
        await database.close()

    folder = DataFolder(data).hold()
    folder.engine_key()
    asyncio.run(story(folder))
    folder.release()
    return data


def found(data: Path) -> dict[str, tuple[Grade, str]]:
    return {each.check: (each.grade, each.detail) for each in folder_findings(data)}


def fails(data: Path) -> set[str]:
    return {check for check, (grade, _) in found(data).items() if grade is Grade.FAIL}


def files(data: Path) -> dict[str, tuple[int, int]]:
    return {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in data.iterdir()}


def test_a_folder_that_is_well_is_left_as_it_is(stopped: Path) -> None:
    before = files(stopped)
    said = found(stopped)
    assert {grade for grade, _ in said.values()} == {Grade.OK}, said
    assert said["lock"][1] == "nothing runs"
    assert files(stopped) == before


def test_a_folder_that_is_in_use(stopped: Path) -> None:
    folder = DataFolder(stopped).hold()
    assert "runs on it" in found(stopped)["lock"][1]
    folder.release()


def test_a_sink_that_was_killed_and_one_that_has_held_nothing(stopped: Path) -> None:
    (stopped / "shards.lock").write_text("2")
    (stopped / "lease-0.lock").write_text("held")
    leases = [each for each in folder_findings(stopped) if each.check == "leases"]
    assert [each.grade for each in leases] == [Grade.WARN, Grade.OK]
    assert "sink 0 was killed while it held slots 0 to 127" in leases[0].detail
    assert "sink 1 takes slots 128 to 255" in leases[1].detail


def test_a_key_that_is_none_or_that_others_may_read(stopped: Path) -> None:
    (stopped / KEY).chmod(0o644)
    assert found(stopped)["key"][0] is Grade.WARN
    (stopped / KEY).write_text("no key")
    assert fails(stopped) == {"key"}
    (stopped / KEY).unlink()
    assert fails(stopped) == {"key"}


def test_a_file_that_is_no_database(stopped: Path) -> None:
    (stopped / "atlas.sqlite3").write_bytes(b"this is no database" * 1000)
    assert "put a backup back" in found(stopped)["store"][1]
    assert fails(stopped) == {"store"}


def test_a_folder_that_holds_nothing_is_not_made(tmp_path: Path) -> None:
    assert fails(tmp_path / "nowhere") == {"folder"}
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("free_bytes", "grade"),
    [(ROOM_WARN_BYTES, Grade.OK), (ROOM_WARN_BYTES - 1, Grade.WARN), (ROOM_FAIL_BYTES - 1, Grade.FAIL)],
)
def test_room(free_bytes: int, grade: Grade) -> None:
    assert room(free_bytes).grade is grade
