"""One pass of retention: what ended long enough ago goes into the archive, and then out of the store.

The order makes it safe to be interrupted anywhere: a batch is on disk before anything is deleted, what is to be deleted
is on disk (the journal) before the first deletion, and the next pass begins by finishing what the journal holds.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.core.clock import Clock
from pipeline.core.instants import instant_text
from pipeline.core.limits import RETENTION_BATCH_BYTES_MAX, RETENTION_BATCH_RUNS
from pipeline.retention.archive import Archive
from pipeline.retention.index import ArchiveIndex
from pipeline.retention.records import ArchivedRun
from pipeline.retention.selection import Selection, over_before
from pipeline.store.port import Entity, EntityStore

DAY_MS: Final = 24 * 3600 * 1000


def day_of(at_ms: int) -> str:
    """The day of an instant in UTC, as the archive's files are called."""
    return instant_text(at_ms).partition("T")[0]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch did, in runs; ``kept`` were old enough and must stay for now."""

    archived: int = 0
    purged: int = 0
    kept: int = 0


class Retention:
    """Belongs to one event loop; whoever runs a pass holds the archive."""

    def __init__(self, store: EntityStore, selection: Selection, archive: Archive, clock: Clock, days: int) -> None:
        """``days``: how long ago a run must have ended, at least 1."""
        self._store = store
        self._selection = selection
        self._archive = archive
        self._index = ArchiveIndex(archive.folder)
        self._clock = clock
        self._days = days

    async def a_pass(self, *, is_dry: bool = False) -> AsyncIterator[Batch]:
        """Batch after batch until nothing is left that may go; the caller decides how long it rests in between.

        A dry one says what would be archived, and touches neither archive nor store.

        Raises:
            ArchiveError: the archive can't be written or read; of what isn't in it, nothing has left the store.
            StoreUnavailableError: as the store's port; the next pass goes on.
        """
        if not is_dry:
            await self._finish()
        before_ms, offset = self._clock.now_ms() - self._days * DAY_MS, 0
        while True:
            found = await self._store.find(over_before(before_ms, RETENTION_BATCH_RUNS, offset))
            batch, left = await self._batch(found, before_ms, is_dry=is_dry)
            offset += left
            if found:
                yield batch
            if len(found) < RETENTION_BATCH_RUNS and batch.archived + batch.kept == len(found):
                break
        if not is_dry:
            await asyncio.to_thread(self._archive.fold)

    async def _finish(self) -> None:
        """What an interruption has left to do."""
        if not self._index.is_there:
            await asyncio.to_thread(lambda: self._index.note(self._archive.runs()))
        await self._remove(await asyncio.to_thread(self._archive.being_purged))
        await asyncio.to_thread(self._archive.fold)

    async def _batch(self, found: Sequence[Entity], before_ms: int, *, is_dry: bool) -> tuple[Batch, int]:
        """One batch, and how many of its runs the next search would find again."""
        runs, size, kept, looked_at = list[ArchivedRun](), 0, 0, 0
        entities = await self._store.get([header.guid for header in found])
        for header in found:
            entity = entities.get(header.guid)
            run = None if entity is None else await self._selection.whole(entity, before_ms, self._clock.now_ms())
            looked_at += 1
            if run is None:
                kept += 1
                continue
            runs.append(run)
            size += len(run.line())
            if size >= RETENTION_BATCH_BYTES_MAX:
                break
        if is_dry:
            return Batch(len(runs), 0, kept), looked_at
        purged = await self._move(runs) if runs else 0
        return Batch(len(runs), purged, kept), kept + len(runs) - purged

    async def _move(self, runs: list[ArchivedRun]) -> int:
        """Into the archive, out of the store; how many left it."""
        day = day_of(self._clock.now_ms())
        await asyncio.to_thread(self._archive.keep, day, runs)
        await asyncio.to_thread(self._index.note, [(day, run) for run in runs])
        # Who asked for something meanwhile has changed the run: it stays, and is archived anew another time.
        now = await self._store.get([run.guid for run in runs])
        going = [run for run in runs if run.guid in now and now[run.guid].updated_at == run.entities[0].updated_at]
        guids = [entity.guid for run in going for entity in reversed(run.entities)]
        if guids:
            await asyncio.to_thread(self._archive.purging, guids)
            await self._remove(guids)
        return len(going)

    async def _remove(self, guids: list[str]) -> None:
        if not guids:
            return
        await self._store.delete(guids)
        await self._store.purge(guids)
        await asyncio.to_thread(self._archive.purging, [])
