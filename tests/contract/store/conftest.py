"""The stores that the suite asks: memory, gathered requests to it, the adapter on the embedded Atlas over TCP, and with
``BLOCKLINE_TEST_ATLAS=http://user:password@host:port`` the adapter on that Atlas too.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.core.limits import STORE_WRITE_TIMEOUT_S
from pipeline.local.atlas.app import build_app
from pipeline.local.atlas.build import build_atlas, build_service
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.guard import Guard
from pipeline.local.atlas.users import UserStore
from pipeline.local.atlas.wire import ServiceWire
from pipeline.messages.envelopes import EntityWrite
from pipeline.process.clock import SystemClock
from pipeline.store import types
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from pipeline.store.gathering import GatheringStore
from pipeline.store.memory import MemoryEntityStore
from pipeline.store.port import EntityStore, Filter, Query
from pipeline.store.typedefs import register
from pipeline.store.wire import HttpWire
from tests.served import listening

REAL = os.environ.get("BLOCKLINE_TEST_ATLAS", "")
TOKEN = "a-token-of-the-engine"


@dataclass(frozen=True)
class World:
    """A store, and names that no other test uses."""

    store: EntityStore
    prefix: str

    def run(self, name: str, **attributes: Any) -> EntityWrite:
        """A run to write; ``name`` is its name and the end of its qualified name."""
        return EntityWrite(
            type_name=types.RUN,
            qualified_name=f"{self.prefix}{name}",
            attributes={"name": name, **attributes},
        )

    async def find(self, *filters: Filter, **more: Any) -> list[str]:
        """Names of what a search for runs finds among this test's."""
        mine = Filter("qualifiedName", "startsWith", self.prefix)
        query = Query(types.RUN, (mine, *filters), **more)
        return [str(entity.attributes["name"]) for entity in await self.store.find(query)]


Story = Callable[[World], Awaitable[None]]


@contextlib.asynccontextmanager
async def embedded_atlas(folder: Path) -> AsyncIterator[str]:
    """The URL of an embedded Atlas that listens on 127.0.0.1."""
    database = Database(folder / "atlas.sqlite3")
    try:
        app = await build_atlas(database, await UserStore.open(database), TOKEN, SystemClock())
        async with listening(app) as (host, port):
            yield f"http://{host}:{port}"
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def in_process(folder: Path) -> AsyncIterator[EntityStore]:
    """The embedded Atlas as the product asks it: inside of one process."""
    database = Database(folder / "atlas.sqlite3")
    try:
        service = await build_service(database, SystemClock())
        app = build_app(service, Guard(await UserStore.open(database), SystemClock()), TOKEN)
        access = AtlasAccess.bearer("http://127.0.0.1", TOKEN)
        over_http = HttpWire(access, httpx.ASGITransport(app), timeout_s=STORE_WRITE_TIMEOUT_S)
        store = AtlasEntityStore(ServiceWire(service, over_http))
        yield store
        await store.aclose()
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def store_of(kind: str, folder: Path) -> AsyncIterator[EntityStore]:
    """A store of that kind with the engine's types."""
    if kind in {"memory", "gathering"}:
        memory = MemoryEntityStore(SystemClock().now_ms)
        yield memory if kind == "memory" else GatheringStore(memory)
        return
    async with contextlib.AsyncExitStack() as stack:
        if kind == "in process":
            yield await stack.enter_async_context(in_process(folder))
            return
        if kind == "embedded":
            access = AtlasAccess.bearer(await stack.enter_async_context(embedded_atlas(folder)), TOKEN)
        else:
            url = httpx.URL(REAL)
            async with httpx.AsyncClient(base_url=url, timeout=60) as client:
                await register(client, with_catalog=True)
            access = AtlasAccess.basic(str(url.copy_with(userinfo=b"")), url.username, url.password)
        store = AtlasEntityStore.over(access)
        stack.push_async_callback(store.aclose)
        yield store


@pytest.fixture(params=["memory", "gathering", "embedded", "in process", *(["real"] if REAL else [])])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    """Runs a test's story against a store."""

    def run(story: Story) -> None:
        async def main() -> None:
            async with store_of(request.param, tmp_path) as store:
                await story(World(store, f"blockline-contract/{secrets.token_hex(8)}/"))

        asyncio.run(main())

    return run
