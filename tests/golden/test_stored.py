"""What an earlier version wrote to the disk is read for ever, and becomes what today's version would have made."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.atlas.database import Database, DatabaseError
from tests.golden.stored import VERSIONS, recorded_at


async def opened(file: Path) -> None:
    await Database(file).close()


def kept(file: Path) -> dict[str, Any]:
    """Every row of every table, without the columns that came later, which are empty."""
    connection = sqlite3.connect(file)
    connection.row_factory = sqlite3.Row
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    rows = {name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')] for name in names}  # noqa: S608
    connection.close()
    return {
        name: [{column: value for column, value in row.items() if value is not None} for row in found]
        for name, found in rows.items()
    }


def shape(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The columns of the tables that every data folder has, and the format."""
    connection = sqlite3.connect(file)
    tables = ("typedef", "entity", "audit", "outbox", "user", "token")
    found = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in tables}
    found["format"] = connection.execute("PRAGMA user_version").fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_an_older_folder_becomes_one_of_today_and_loses_nothing(version: str, tmp_path: Path) -> None:
    file = recorded_at(version, tmp_path / "old")
    before = kept(file)
    assert len(before["entity"]) >= 7
    asyncio.run(opened(file))
    asyncio.run(opened(tmp_path / "new.sqlite3"))
    assert kept(file) == before
    assert shape(file) == shape(tmp_path / "new.sqlite3")


def test_a_folder_of_a_later_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = recorded_at("v1", tmp_path / "old")
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = kept(file)
    with pytest.raises(DatabaseError, match="written by a later version"):
        asyncio.run(opened(file))
    assert kept(file) == before
    assert shape(file)["format"] == [(99,)]
