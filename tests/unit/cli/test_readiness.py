"""A sink that only tries again, and a store that can't be written, are told of; and that they are well again."""

import asyncio
from pathlib import Path

import pytest

from cli.readiness import STUCK_S, SinkWatch, is_store_well
from pipeline.directory.port import Person
from pipeline.local.atlas.database import Database, DiskFullError
from pipeline.local.atlas.users import UserStore
from pipeline.local.plane.manifest import Kind
from pipeline.local.plane.plane import VertexStatus


def status(processed: int, in_flight: int, kind: Kind = Kind.SINK) -> dict[str, VertexStatus]:
    vertex = VertexStatus(
        name="v", kind=kind, is_up=True, buffered=0, in_flight=in_flight, processed=processed, retries=0, fallbacks=0,
        dropped=0, unrouted=0, discarded=0, let_go=0, duplicates=0, restarts=0, blocks=0,
    )  # fmt: skip
    return {"v": vertex}


def test_a_sink_that_gets_nothing_done_is_stuck_until_it_does() -> None:
    watch = SinkWatch()
    assert watch.is_moving(1e9)
    watch.look(status(0, 0), 0)
    watch.look(status(0, 3), 10)
    watch.look(status(0, 3), STUCK_S)
    assert watch.is_moving(STUCK_S)
    assert not watch.is_moving(STUCK_S + 1)
    watch.look(status(1, 2), STUCK_S + 2)
    assert watch.is_moving(STUCK_S + 3)
    watch.look(status(1, 2), 3 * STUCK_S)
    assert not watch.is_moving(3 * STUCK_S)
    watch.look(status(3, 0), 3 * STUCK_S + 1)
    assert watch.is_moving(3 * STUCK_S + 2)


@pytest.mark.parametrize("kind", [Kind.MAP, Kind.SOURCE])
def test_a_long_task_of_another_vertex_is_no_stuck_sink(kind: Kind) -> None:
    watch = SinkWatch()
    watch.look(status(0, 3, kind), 0)
    watch.look(status(0, 3, kind), 100 * STUCK_S)
    assert watch.is_moving(100 * STUCK_S)


def test_a_full_disk_is_told_of_and_that_it_has_room_again(tmp_path: Path) -> None:
    async def story() -> None:
        database = Database(tmp_path / "atlas.sqlite3")
        try:
            users = await UserStore.open(database)
            await users.add(Person("sam"), "pw")
            assert await is_store_well(database)
            database._connection.execute("PRAGMA query_only = ON")
            await asyncio.gather(users.add(Person("bo"), "pw"), return_exceptions=True)
            assert not await is_store_well(database)
            database._connection.execute("PRAGMA query_only = OFF")
            assert await is_store_well(database)
            assert await users.get("sam") == Person("sam")
        finally:
            await database.close()
        assert not await is_store_well(database)

    asyncio.run(story())


def test_a_store_without_room_isnt_well_before_it_has_some(tmp_path: Path) -> None:
    async def story() -> None:
        database = Database(tmp_path / "atlas.sqlite3")
        try:
            users = await UserStore.open(database)
            await users.add(Person("sam"), "pw")
            (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
            database._connection.execute(f"PRAGMA max_page_count = {pages}")
            adding = [users.add(Person(f"sam-{number}"), "pw") for number in range(60)]
            refused = await asyncio.gather(*adding, return_exceptions=True)
            assert any(isinstance(each, DiskFullError) for each in refused)
            for _ in range(2):
                assert not await is_store_well(database)
            database._connection.execute(f"PRAGMA max_page_count = {pages * 1000}")
            assert await is_store_well(database)
            await users.add(Person("bo"), "pw")
        finally:
            await database.close()

    asyncio.run(story())
