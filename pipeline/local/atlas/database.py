"""The SQLite file: one writer with group commit, a few readers, none of them on the event loop's thread.

Requests that come while a commit is under way share the next one: each has a savepoint of its own, so a refused one
takes nothing with it, and all of them wait for one fsync (``synchronous = FULL``: what was acknowledged survives a
power cut; a commit costs 0.16 ms on the disk this was measured on).
"""

import asyncio
import contextlib
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pipeline.core.errors import BlocklineError

GROUP_MAX: Final = 64
"""Requests that share a commit."""
READERS: Final = 2
ROOM_BYTES: Final = 1024 * 1024
"""What has to be free before a disk that was full counts as one with room."""
_CACHE_KIB: Final = 16 * 1024
_BUSY_S: Final = 10.0
_FORMAT: Final = 3
_STEPS: Final = {
    1: "ALTER TABLE entity ADD COLUMN custom TEXT;",
    2: "ALTER TABLE entity ADD COLUMN terms TEXT;",
}
"""From each earlier format to the one after it; none is ever taken away."""
_LOG: Final = logging.getLogger(__name__)
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS typedef (
    name TEXT PRIMARY KEY, category TEXT NOT NULL, body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entity (
    id INTEGER PRIMARY KEY,
    guid TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    qualified_name TEXT NOT NULL,
    is_deleted INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    updated_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    classifications TEXT,
    attributes TEXT NOT NULL,
    custom TEXT,
    terms TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS entity_name ON entity (type, qualified_name) WHERE is_deleted = 0;
CREATE TABLE IF NOT EXISTS audit (
    entity INTEGER NOT NULL, version INTEGER NOT NULL, at INTEGER NOT NULL, user TEXT NOT NULL,
    action TEXT NOT NULL, details TEXT NOT NULL, PRIMARY KEY (entity, version)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS user (
    name TEXT PRIMARY KEY, password TEXT NOT NULL, email TEXT, groups TEXT NOT NULL, roles TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS token (
    digest BLOB PRIMARY KEY, user TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (user, name)
) WITHOUT ROWID;
"""

T = TypeVar("T")


class DatabaseError(BlocklineError):
    """The data can't be opened, read or written; of a write, nothing was written."""


class DiskFullError(DatabaseError):
    """As above, for want of room: the same write goes through once there is some."""


@dataclass(slots=True)
class Transaction:
    """What a write works on; its events go out when it is committed."""

    connection: sqlite3.Connection
    next_event: int
    events: list[tuple[int, bytes]] = field(default_factory=list)

    def tell(self, payloads: Sequence[bytes]) -> None:
        """Put notifications into the outbox, in this order."""
        rows = list(enumerate(payloads, self.next_event))
        self.connection.executemany("INSERT INTO outbox (id, payload) VALUES (?, ?)", rows)
        self.next_event += len(rows)
        self.events += rows


@dataclass(slots=True)
class _Job:
    work: Callable[[Transaction], Any]
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None


class Database:
    """Belongs to the event loop it was opened in. One process may have it open; who sees to that is the caller."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, readable by its owner only, and start the writer.

        Raises:
            DatabaseError: it isn't such a file, or one of a later version.
        """
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._on_commit: list[Callable[[Sequence[tuple[int, bytes]]], None]] = []
        self._is_closed = False
        self._has_failed = False
        self._local = threading.local()
        self._read_connections: list[sqlite3.Connection] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        self._connection = self._open()
        found = self._connection.execute("SELECT count(*), coalesce(max(id), 0) FROM outbox").fetchone()
        self.events_at_start: int = found[0]
        """Events of earlier processes that aren't acked."""
        self._next_event = found[1] + 1
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="atlas-reader")
        self._writer = threading.Thread(target=self._write_all, name="atlas-writer", daemon=True)
        self._writer.start()

    @property
    def is_writing(self) -> bool:
        """Whether the writer runs and its last attempt wasn't refused by the disk; the next write may say otherwise."""
        return self._writer.is_alive() and not self._has_failed

    def on_commit(self, call: Callable[[Sequence[tuple[int, bytes]]], None]) -> None:
        """``call`` gets the events of each commit, on the event loop, before the writers' answers go out."""
        self._on_commit.append(call)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """What ``work`` returns, once it is on disk; what it raises leaves no trace.

        ``work`` runs in the writer's thread and must touch nothing but the transaction and what it brought along.
        Cancelling doesn't stop it.

        Raises:
            DatabaseError: the disk is full or gone, or the database was closed.
        """
        if self._is_closed:
            raise DatabaseError("The store is being stopped.")
        job = _Job(work, self._loop.create_future())
        self._jobs.put(job)
        result: T = await job.future
        return result

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` returns; it sees every write that was answered before.

        Raises:
            DatabaseError: the disk is gone, or the database was closed.
        """
        if self._is_closed:
            raise DatabaseError("The store is being stopped.")
        return await self._loop.run_in_executor(self._readers, self._read, work)

    async def close(self) -> None:
        """Finish what was handed in, then close; may be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in (*self._read_connections, self._connection):
            connection.close()
        await asyncio.sleep(0)  # the last answers are on the loop

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            _prepare(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.DatabaseError):
                raise DatabaseError(f"The file of the entities can't be used: {error}.") from error
            raise
        return connection

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open()
            connection.execute("PRAGMA query_only = ON")
            self._read_connections.append(connection)
        try:
            return work(connection)
        except sqlite3.Error as error:
            _LOG.warning("a read of the embedded Atlas failed: %s", error)
            raise DatabaseError("The store can't be read now.") from error

    def _write_all(self) -> None:
        """The writer's thread."""
        while (first := self._jobs.get()) is not None:
            group: list[_Job] = [first]
            is_last = False
            with contextlib.suppress(queue.Empty):
                while len(group) < GROUP_MAX and not is_last:
                    job = self._jobs.get_nowait()
                    if job is None:
                        is_last = True
                    else:
                        group.append(job)
            events = self._write_group(group)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._settle, group, events)
            if is_last:
                return

    def _write_group(self, group: Sequence[_Job]) -> list[tuple[int, bytes]]:
        connection, events = self._connection, list[tuple[int, bytes]]()
        changes = connection.total_changes
        try:
            if connection.in_transaction:  # the last group couldn't even be rolled back
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            for job in group:
                # Alone, the transaction itself is what is rolled back: two statements fewer.
                self._write_one(job, events, is_alone=len(group) == 1)
            if connection.in_transaction:
                connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  (logged; a dead writer would leave everybody waiting for ever)
            refused = next((job.error for job in group if isinstance(job.error, DatabaseError)), None)
            if refused is None:
                refused = _refusal(error)
                self._note(refused, error)
            self._roll_back()
            for job in group:
                job.error = refused
            return []
        if self._has_failed and connection.total_changes > changes:  # else nothing had to be written
            self._look_again(group)
        return events

    def _look_again(self, group: Sequence[_Job]) -> None:
        if not any(isinstance(job.error, DatabaseError) for job in group) and self._has_room():
            self._has_failed = False
            _LOG.warning("The store is written again.")

    def _has_room(self) -> bool:
        """A small write that fits in where a large one was refused doesn't mean that there is room."""
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize >= ROOM_BYTES

    def _note(self, refused: DatabaseError, error: Exception) -> None:
        """Once until it is over: whoever waits for room tries again and again."""
        if not self._has_failed:
            _LOG.error("%s (%s)", refused, error, exc_info=_unexpected(error))
        self._has_failed = True

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            _LOG.error("a write of the embedded Atlas can't be rolled back now: %s", error)

    def _write_one(self, job: _Job, events: list[tuple[int, bytes]], *, is_alone: bool) -> None:
        connection = self._connection
        transaction = Transaction(connection, self._next_event)
        if not is_alone:
            connection.execute("SAVEPOINT job")
        try:
            job.result = job.work(transaction)
        except Exception as error:  # noqa: BLE001  (it belongs to whoever asked, and is raised there)
            job.error = error
            if isinstance(error, sqlite3.OperationalError):
                job.error = _refusal(error)
                self._note(job.error, error)
            connection.execute("ROLLBACK" if is_alone else "ROLLBACK TO job")
        if not is_alone:
            connection.execute("RELEASE job")
        if job.error is None:
            self._next_event = transaction.next_event
            events += transaction.events

    def _settle(self, group: Sequence[_Job], events: Sequence[tuple[int, bytes]]) -> None:
        if events:
            for call in self._on_commit:
                try:
                    call(events)
                except Exception:  # noqa: BLE001  (logged; it's on disk, and whoever wrote waits for the answer)
                    _LOG.exception("somebody couldn't be told of a commit")
        for job in group:
            if job.future.done():
                continue
            if job.error is None:
                job.future.set_result(job.result)
            else:
                job.future.set_exception(job.error)


def _refusal(error: Exception) -> DatabaseError:
    """What whoever wrote is told."""
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError("The disk is full: the store takes nothing new until there is room.")
    return DatabaseError("The store can't be written now.")


def _unexpected(error: Exception) -> Exception | None:
    return None if isinstance(error, sqlite3.Error) else error


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _FORMAT:
        raise DatabaseError("The data was written by a later version of this program.")
    if version < _FORMAT:
        steps = _SCHEMA if version == 0 else " ".join(_STEPS[number] for number in range(version, _FORMAT))
        # All or nothing: killed half-way, the next start would find a column that it is to add.
        connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {_FORMAT}; COMMIT;")
