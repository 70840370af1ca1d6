"""One writer with group commit: what fails takes nothing with it, what was answered is on disk."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pipeline.local.atlas.database import Database, DatabaseError, Transaction

DEADLINE_S = 10


def tell(path: Path, story: Callable[[Database], Awaitable[None]]) -> None:
    async def run() -> None:
        database = Database(path / "atlas.sqlite3")
        try:
            await story(database)
        finally:
            await database.close()
            await database.close()

    before = threading.active_count()
    asyncio.run(run())
    assert threading.active_count() <= before, "its threads are gone"


def put(name: str, *, fails: bool = False) -> Callable[[Transaction], str]:
    def work(transaction: Transaction) -> str:
        transaction.connection.execute("INSERT INTO typedef (name, category, body) VALUES (?, 'ENUM', '')", (name,))
        transaction.tell([name.encode()])
        if fails:
            raise KeyError(name)
        return name

    return work


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM typedef ORDER BY name")]


def events(connection: sqlite3.Connection) -> list[tuple[int, bytes]]:
    return connection.execute("SELECT id, payload FROM outbox ORDER BY id").fetchall()


def test_one_that_fails_in_a_group_spoils_nothing(tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        gate = threading.Event()
        told: list[tuple[int, bytes]] = []
        database.on_commit(told.extend)
        blocked = asyncio.create_task(database.write(lambda _: gate.wait(10)))
        await asyncio.sleep(0)
        writes = [asyncio.create_task(database.write(put(str(n), fails=n % 3 == 0))) for n in range(9)]
        await asyncio.sleep(0)
        gate.set()
        results = await asyncio.gather(*writes, return_exceptions=True)
        await blocked
        assert [each for each in results if isinstance(each, str)] == ["1", "2", "4", "5", "7", "8"]
        assert all(isinstance(results[n], KeyError) for n in (0, 3, 6))
        assert await database.read(names) == ["1", "2", "4", "5", "7", "8"]
        assert [payload for _, payload in await database.read(events)] == [b"1", b"2", b"4", b"5", b"7", b"8"]
        assert told == await database.read(events)

    tell(tmp_path, story)


def test_a_disk_that_refuses_even_to_roll_back_ends_nothing(tmp_path: Path) -> None:
    def refuses_to_end(action: int, argument: str | None, *_: str | None) -> int:
        is_refused = action == sqlite3.SQLITE_TRANSACTION and argument in ("COMMIT", "ROLLBACK")
        return sqlite3.SQLITE_DENY if is_refused else sqlite3.SQLITE_OK

    async def story(database: Database) -> None:
        assert database.is_writing
        await database.write(put("before"))
        database._connection.set_authorizer(refuses_to_end)
        for name in ("a", "b"):
            with pytest.raises(DatabaseError):
                await asyncio.wait_for(database.write(put(name)), DEADLINE_S)
            assert not database.is_writing
        database._connection.set_authorizer(None)
        await asyncio.wait_for(database.write(put("after")), DEADLINE_S)
        assert database.is_writing
        assert await database.read(names) == ["after", "before"]
        assert [payload for _, payload in await database.read(events)] == [b"before", b"after"]

    tell(tmp_path, story)


def test_whoever_fails_to_hear_of_a_commit_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        told: list[int] = []

        def fails(rows: object) -> None:
            raise ValueError(rows)

        database.on_commit(fails)
        database.on_commit(lambda rows: told.append(len(rows)))
        assert await asyncio.wait_for(database.write(put("a")), DEADLINE_S) == "a"
        assert told == [1]

    tell(tmp_path, story)


def test_a_group_shares_one_commit(tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        commits: list[int] = []
        database.on_commit(lambda told: commits.append(len(told)))
        gate = threading.Event()
        blocked = asyncio.create_task(database.write(lambda _: gate.wait(10)))
        await asyncio.sleep(0)
        writes = [asyncio.create_task(database.write(put(str(n)))) for n in range(20)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(blocked, *writes)
        assert sum(commits) == 20
        assert len(commits) <= 2

    tell(tmp_path, story)


def test_a_read_sees_what_was_answered(tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        for n in range(20):
            await database.write(put(f"{n:02}"))
            assert len(await database.read(names)) == n + 1
        with pytest.raises(DatabaseError):
            await database.read(lambda connection: connection.execute("DELETE FROM typedef").fetchall())

    tell(tmp_path, story)


def test_a_cancelled_write_is_done_all_the_same(tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        writing = asyncio.create_task(database.write(put("a")))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await database.write(put("b"))
        assert await database.read(names) == ["a", "b"]

    tell(tmp_path, story)


def test_what_was_handed_in_before_the_end_is_written(tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        writes = [asyncio.create_task(database.write(put(str(n)))) for n in range(100)]
        await asyncio.sleep(0)
        await database.close()
        assert len(await asyncio.gather(*writes)) == 100
        with pytest.raises(DatabaseError):
            await database.write(put("late"))
        with pytest.raises(DatabaseError):
            await database.read(names)

    tell(tmp_path, story)


def test_events_are_numbered_on(tmp_path: Path) -> None:
    async def first(database: Database) -> None:
        assert database.events_at_start == 0
        await database.write(put("a"))
        await database.write(put("b"))

    async def second(database: Database) -> None:
        assert database.events_at_start == 2
        await database.write(put("c"))
        assert [row for row, _ in await database.read(events)] == [1, 2, 3]

    tell(tmp_path, first)
    tell(tmp_path, second)


def test_a_file_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    async def opens(path: Path) -> None:
        Database(path)

    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not a database, whatever it is" * 100)
    later = tmp_path / "later"
    with sqlite3.connect(later) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for path in (garbage, later):
        with pytest.raises(DatabaseError) as refused:
            asyncio.run(opens(path))
        assert str(tmp_path) not in str(refused.value)


def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        await database.write(put("a"))
        modes.extend(file.stat().st_mode & 0o077 for file in tmp_path.iterdir())  # noqa: ASYNC240  (nothing else runs)

    modes: list[int] = []
    tell(tmp_path, story)
    assert set(modes) == {0}
