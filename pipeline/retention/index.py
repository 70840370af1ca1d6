"""Which run was archived on which day: an SQLite file beside the archive, made anew from it when it is lost."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.retention.records import ArchivedRun, ArchiveError

INDEX: Final = "index.sqlite3"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS run (
    guid TEXT PRIMARY KEY, day TEXT NOT NULL, status TEXT NOT NULL, requester TEXT NOT NULL, ended_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ended ON run (ended_at);
"""


@dataclass(frozen=True, slots=True)
class Archived:
    """Where a run is: in the file of ``day`` (``YYYY-MM-DD``). ``ended_at`` in Unix ms."""

    guid: str
    day: str
    status: str
    requester: str
    ended_at: int


class ArchiveIndex:
    """Opened for each call, so that a process that reads and one that writes needn't know of each other."""

    def __init__(self, folder: Path) -> None:
        """``folder`` of the archive; nothing is made before something is noted."""
        self._path = folder / INDEX

    @property
    def is_there(self) -> bool:
        """Whether anything was ever noted."""
        return self._path.exists()

    def note(self, runs: Iterable[tuple[str, ArchivedRun]]) -> None:
        """Note days and their runs; may be called twice.

        Raises:
            ArchiveError: it can't be written.
        """
        rows = ((run.guid, day, run.status, run.requester, run.ended_at) for day, run in runs)
        try:
            self._path.touch(mode=0o600)
        except OSError as error:
            raise ArchiveError(f"{INDEX} of the archive can't be written ({error.strerror}).") from None
        with self._opened() as connection, connection:
            connection.executescript(_SCHEMA)
            connection.executemany("INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?)", rows)

    def find(self, guid: str) -> Archived | None:
        """Where the run of that guid is.

        Raises:
            ArchiveError: it can't be read.
        """
        found = self._select("WHERE guid = ?", guid)
        return found[0] if found else None

    def listed(self, limit: int) -> list[Archived]:
        """Those that ended last, the latest first.

        Raises:
            ArchiveError: it can't be read.
        """
        return self._select("ORDER BY ended_at DESC, guid LIMIT ?", limit)

    def _select(self, how: str, value: str | int) -> list[Archived]:
        if not self.is_there:
            return []
        with self._opened() as connection:
            rows = connection.execute(f"SELECT guid, day, status, requester, ended_at FROM run {how}", (value,))  # noqa: S608
            return [Archived(*row) for row in rows]

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(sqlite3.connect(self._path)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise ArchiveError(
                f"{INDEX} of the archive can't be used ({error}); without it, it is made anew from the archive's files."
            ) from error
