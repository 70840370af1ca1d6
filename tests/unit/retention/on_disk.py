"""Ended runs in a store on disk, and a pass of retention over them: what is killed is ``python -m`` of this module."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from pipeline.core.clock import Clock
from pipeline.local.atlas.app import build_app
from pipeline.local.atlas.build import build_service
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.guard import Guard
from pipeline.local.atlas.users import UserStore
from pipeline.local.atlas.wire import ServiceWire
from pipeline.messages.envelopes import EntityWrite
from pipeline.messages.seal import Seal, Sealed
from pipeline.process.clock import SystemClock
from pipeline.retention.archive import Archive
from pipeline.retention.selection import Selection
from pipeline.retention.sweep import DAY_MS, Retention
from pipeline.store import types
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from pipeline.store.wire import HttpWire

RUNS = 120
DAYS = 30
SEAL = Seal(b"a key of thirty-two bytes or more")


class LaterClock(SystemClock):
    """Two months from now: what was written today ended long ago."""

    def now_ms(self) -> int:
        return super().now_ms() + 2 * DAYS * DAY_MS


class Disk:
    """A folder with a store and an archive."""

    def __init__(self, folder: Path) -> None:
        self.archive = folder / "archive"
        self._database = folder / "atlas.sqlite3"

    async def fill(self) -> list[str]:
        """Runs that have ended, each with an inbox item; their guids."""
        async with self.store(SystemClock()) as store:
            names = [f"blockline/runs/{number}" for number in range(RUNS)]
            guids = await store.upsert([_run(name, {}) for name in names])
            now = SystemClock().now_ms()
            await store.upsert([_run(name, _ended(guid, now)) for name, guid in guids.items()])
            await store.upsert([_item(guid) for guid in guids.values()])
        return list(guids.values())

    async def whole(self) -> set[str]:
        """Guids of the runs that are there with everything."""
        async with self._opened() as database:
            rows = await database.read(
                lambda connection: connection.execute(
                    "SELECT run.guid FROM entity run JOIN entity item ON item.qualified_name = run.guid || '/item' "
                    "WHERE run.is_deleted = 0 AND item.is_deleted = 0"
                ).fetchall()
            )
        return {guid for (guid,) in rows}

    async def rows(self) -> list[int]:
        """How many entities and lines of audit there are."""
        async with self._opened() as database:
            return await database.read(
                lambda connection: [
                    connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608
                    for name in ("entity", "audit")
                ]
            )

    async def a_pass(self) -> None:
        """One, without rests."""
        async with self.store(LaterClock()) as store:
            archive = Archive(self.archive).hold()
            print("begins", flush=True)
            async for _ in Retention(store, Selection(store, SEAL), archive, LaterClock(), DAYS).a_pass():
                pass
            archive.release()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Database]:
        database = Database(self._database)
        try:
            yield database
        finally:
            await database.close()

    @asynccontextmanager
    async def store(self, clock: Clock) -> AsyncIterator[AtlasEntityStore]:
        """The store, as the product has it."""
        async with self._opened() as database:
            service = await build_service(database, clock)
            app = build_app(service, Guard(await UserStore.open(database), clock), "token")
            access = AtlasAccess.bearer("http://127.0.0.1", "token")
            store = AtlasEntityStore(ServiceWire(service, HttpWire(access, httpx.ASGITransport(app), timeout_s=10)))
            yield store
            await store.aclose()


def _run(name: str, attributes: dict[str, object]) -> EntityWrite:
    return EntityWrite(type_name=types.RUN, qualified_name=name, attributes={"name": name, **attributes})


def _ended(guid: str, at: int) -> dict[str, object]:
    document = {"engine": {"status": "SUCCESS", "ended_at": at, "revision": 1}, "run": {}}
    config = SEAL.seal(Sealed.DOCUMENT, guid, document)
    return {types.RUN_CONFIG: config, types.RUN_STATUS: "SUCCESS", types.RUN_WAKE_AT: 0}


def _item(guid: str) -> EntityWrite:
    attributes = {"name": "item", types.ITEM_RUN_GUID: guid, types.ITEM_STATUS: "DECIDED"}
    return EntityWrite(type_name=types.ITEM, qualified_name=f"{guid}/item", attributes=attributes)


if __name__ == "__main__":
    asyncio.run(Disk(Path(sys.argv[1])).a_pass())
