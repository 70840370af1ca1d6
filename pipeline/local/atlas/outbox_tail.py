"""How far one reader of the outbox has come: fed from memory while it keeps up, else from the disk."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from pipeline.local.atlas.database import Database

FRESH_BYTES_MAX: Final = 16 * 1024 * 1024
"""Committed events kept in memory until they are taken; beyond that they are read from the disk again."""
_PAGE: Final = 500

Row = tuple[int, bytes]
"""A row's number, which rises, and its payload."""


class Tail:
    """The rows of the outbox in their order, each once; from where :meth:`go_back` says on again. Belongs to the event
    loop of its database. Begins with what is on disk.
    """

    def __init__(self, database: Database, disk: asyncio.Lock, is_over: Callable[[int], bool]) -> None:
        """``disk`` is held by whoever deletes rows, too. ``is_over``: whether a row that is on disk needn't come."""
        self._database = database
        self._disk = disk
        self._is_over = is_over
        self._fresh: deque[Row] = deque()
        self._fresh_bytes = 0
        self._is_behind = True
        self._last_committed = 0
        self._last_read = 0
        self.taken = 0
        """The last row that the reader has taken; it says so itself."""
        self.generation = 0
        """Rises with each :meth:`go_back`: what was given before it comes again."""
        self.has_more = asyncio.Event()
        """Set while :meth:`next` may have something to give."""
        self.has_more.set()
        database.on_commit(self._committed)

    @property
    def has_waiting(self) -> bool:
        """Whether there may be rows that weren't given."""
        return self._is_behind or bool(self._fresh)

    def go_back(self, row: int) -> None:
        """Everything after ``row`` comes (again), from the disk."""
        self._drop()
        self.taken = row
        self.generation += 1
        self.has_more.set()

    async def next(self) -> Sequence[Row]:
        """What comes after the row last taken; nothing where there is nothing now."""
        self.has_more.clear()
        if not self._is_behind:
            events = tuple(self._fresh)
            self._fresh.clear()
            self._fresh_bytes = 0
            return events
        generation, after, committed = self.generation, self.taken, self._last_committed
        async with self._disk:
            rows: list[Row] = await self._database.read(
                lambda connection: connection.execute(
                    "SELECT id, payload FROM outbox WHERE id > ? ORDER BY id LIMIT ?", (after, _PAGE)
                ).fetchall()
            )
            wanted = [row for row in rows if not self._is_over(row[0])]
        if generation == self.generation and len(rows) < _PAGE and committed == self._last_committed:
            self._is_behind = False
            self._last_read = rows[-1][0] if rows else after
        else:
            self.has_more.set()
        if rows and not wanted and generation == self.generation:
            self.taken = rows[-1][0]
        return wanted

    def _committed(self, events: Sequence[Row]) -> None:
        self._last_committed = events[-1][0]
        if not self._is_behind:
            # The disk may have given a commit before the event loop heard of it.
            fresh = [event for event in events if event[0] > self._last_read]
            self._fresh.extend(fresh)
            self._fresh_bytes += sum(len(payload) for _, payload in fresh)
            if self._fresh_bytes > FRESH_BYTES_MAX:
                self._drop()
        self.has_more.set()

    def _drop(self) -> None:
        self._fresh.clear()
        self._fresh_bytes = 0
        self._is_behind = True
