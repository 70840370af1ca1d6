"""``blockline retention run``, and the same by itself in ``blockline up``."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from api.ports import ArchivedRun as ArchivedSince
from cli.adapters import AtlasAudit
from cli.atlas import ApacheAtlas, AtlasSide, EmbeddedAtlas
from cli.context import Context
from cli.data_folder import DataFolder
from pipeline.core.clock import Clock
from pipeline.core.errors import BlocklineError
from pipeline.core.limits import RETENTION_FIRST_S, RETENTION_PASS_S, RETENTION_REST_S
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.guard import Guard
from pipeline.local.atlas.users import UserStore
from pipeline.messages.seal import Seal
from pipeline.process.clock import SystemClock
from pipeline.process.settings import ServerSettings, archive_folder, engine_key, server_settings, vertex_settings
from pipeline.retention.archive import Archive
from pipeline.retention.counting import ARCHIVED, FAILED, PURGED
from pipeline.retention.index import ArchiveIndex
from pipeline.retention.records import AuditLine
from pipeline.retention.selection import Selection
from pipeline.retention.sweep import Batch, Retention
from pipeline.store.port import EntityStore

_UNUSED_TOKEN: Final = "nobody-connects"  # noqa: S105  (no server listens)
_LOG: Final = logging.getLogger("blockline.retention")


class Housekeeping:
    """Retention as one process runs it."""

    def __init__(
        self, store: EntityStore, seal: Seal, audit: AtlasAudit, settings: ServerSettings, clock: Clock
    ) -> None:
        """``settings.retention_days`` isn't 0."""

        async def lines(guid: str) -> list[AuditLine]:
            return [AuditLine(entry.at, entry.by, entry.action) for entry in await audit(guid)]

        self._clock = clock
        self._archive = Archive(archive_folder(settings))
        selection = Selection(store, seal, lines)
        self._retention = Retention(store, selection, self._archive, clock, settings.retention_days)

    async def a_pass(self, *, is_dry: bool = False) -> Batch:
        """Everything that may go, with a rest after each batch; the sum.

        Raises:
            BlocklineError: as :meth:`pipeline.retention.sweep.Retention.a_pass`.
        """
        archived = purged = kept = 0
        if not is_dry:
            self._archive.hold()
        try:
            async for batch in self._retention.a_pass(is_dry=is_dry):
                archived, purged, kept = archived + batch.archived, purged + batch.purged, kept + batch.kept
                if not is_dry:
                    ARCHIVED.inc(batch.archived)
                    PURGED.inc(batch.purged)
                    await self._clock.sleep(RETENTION_REST_S)
        finally:
            self._archive.release()
        return Batch(archived, purged, kept)

    async def for_ever(self) -> None:
        """A pass an hour; one that fails is counted and said, and the next goes on where it stopped."""
        await self._clock.sleep(RETENTION_FIRST_S)
        while True:
            try:
                done = await self.a_pass()
            except BlocklineError as error:
                FAILED.inc()
                _LOG.warning("retention stopped before its end, and tries again in an hour: %s", error)
            else:
                if done.archived:
                    _LOG.info("%d ended runs were archived, %d of them purged", done.archived, done.purged)
            await self._clock.sleep(RETENTION_PASS_S)


class KnownArchive:
    """See :data:`api.ports.ArchivedRuns`: the archive's index."""

    def __init__(self, folder: Path) -> None:
        """``folder`` of the archive; it needn't be there."""
        self._index = ArchiveIndex(folder)

    async def __call__(self, guid: str) -> ArchivedSince | None:
        """See the port."""
        found = await asyncio.to_thread(self._index.find, guid)
        return None if found is None else ArchivedSince(found.day, found.requester)


def run(context: Context) -> int:
    """One pass now; ``--dry-run`` says what it would do."""
    flags = {name: context.argument(name) for name in ("data", "atlas")}
    settings, is_dry = server_settings(context.environment, flags), bool(context.argument("dry_run"))
    if not settings.retention_days:
        context.say("BLOCKLINE_RETENTION_DAYS is 0: runs are kept in the store for ever.")
        return 0
    vertex = vertex_settings(context.environment)
    key = engine_key(vertex) if vertex.engine_key else None
    done = asyncio.run(_once(settings, key, is_dry=is_dry))
    if context.is_json:
        context.data({"archived": done.archived, "purged": done.purged, "kept": done.kept, "is_dry_run": is_dry})
    elif is_dry:
        context.say(f"{done.archived} runs would be archived and purged; {done.kept} are old enough and must stay.")
    else:
        context.say(f"{done.archived} runs archived, {done.purged} purged; {done.kept} are old enough and must stay.")
    return 0


async def _once(settings: ServerSettings, key: bytes | None, *, is_dry: bool) -> Batch:
    clock, folder = SystemClock(), DataFolder(Path(settings.data))
    async with _atlas(settings, folder, clock) as atlas:
        store = atlas.store()
        audit = AtlasAudit(atlas.access, atlas.transport)
        try:
            seal = Seal(key or folder.engine_key())
            return await Housekeeping(store, seal, audit, settings, clock).a_pass(is_dry=is_dry)
        finally:
            await audit.aclose()
            await store.aclose()


@contextlib.asynccontextmanager
async def _atlas(settings: ServerSettings, folder: DataFolder, clock: Clock) -> AsyncIterator[AtlasSide]:
    """The Atlas that is meant; the embedded one only while no `blockline up` has it, which does this by itself."""
    if settings.atlas:
        yield ApacheAtlas(settings, clock)
        return
    folder.hold()
    database = Database(folder.database)
    try:
        embedded = EmbeddedAtlas(database, _UNUSED_TOKEN, clock, Guard(await UserStore.open(database), clock))
        await embedded.start()
        yield embedded
    finally:
        await database.close()
        folder.release()
