"""What ``/readyz`` says of the parts that look well while nothing gets through them."""

import asyncio
from collections.abc import Mapping
from typing import Final

from pipeline.local.atlas.database import Database, DatabaseError, Transaction
from pipeline.local.plane.manifest import Kind
from pipeline.local.plane.plane import VertexStatus

LOOK_S: Final = 5.0
"""Between two looks at the sinks (and at a Kafka that somebody else runs)."""
STUCK_S: Final = 60.0
"""A batch is in a sink's hands that long, and nothing of it has been answered for good."""
STORE_S: Final = 2.0
"""A store that doesn't answer a look within this time isn't ready."""

PROBE_BYTES: Final = 64 * 1024
"""Written to find out whether there is room again: about what a start of a run takes."""


class SinkWatch:
    """Since when each sink has been busy without getting anything done; looked at now and then."""

    def __init__(self) -> None:
        """Nothing was looked at: no sink is stuck."""
        self._done: dict[str, int] = {}
        self._since_s: dict[str, float] = {}

    def look(self, status: Mapping[str, VertexStatus], now_s: float) -> None:
        """``now_s``: monotonic."""
        for name, vertex in status.items():
            # A sink works at one batch at a time, so while nothing of it gets done its oldest message waits.
            if vertex.kind is Kind.SINK and (vertex.in_flight == 0 or self._done.get(name) != vertex.processed):
                self._done[name] = vertex.processed
                self._since_s[name] = now_s

    def is_moving(self, now_s: float) -> bool:
        """False when a sink has been at the same messages for more than :data:`STUCK_S`."""
        return all(now_s - since_s <= STUCK_S for since_s in self._since_s.values())


async def is_store_well(database: Database) -> bool:
    """Whether it reads and writes. After a write that failed, one that is undone tells if there is room again."""
    try:
        async with asyncio.timeout(STORE_S):
            await database.read(lambda connection: connection.execute("SELECT 1").fetchone())
            if not database.is_writing:
                await database.write(_write_and_forget)
    except (DatabaseError, TimeoutError):
        return False
    return database.is_writing


def _write_and_forget(transaction: Transaction) -> None:
    """Pages that have to get to the disk. A row that is updated to what it was gets nowhere: SQLite compares.

    Nobody sees the row: it is gone with the same commit, and whoever sends events isn't told of it.
    """
    transaction.connection.execute("INSERT INTO outbox (id, payload) VALUES (-1, zeroblob(?))", (PROBE_BYTES,))
    transaction.connection.execute("DELETE FROM outbox WHERE id = -1")
