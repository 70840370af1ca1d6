"""Which Atlas the suite asks: the embedded one, and the one that ``BLOCKLINE_TEST_ATLAS`` names, if it does
(``http://user:password@host:port``).
"""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.local.atlas.build import build_atlas
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.users import ENGINE_NAME, UserStore
from pipeline.process.clock import SystemClock
from pipeline.store.typedefs import register

REAL = os.environ.get("BLOCKLINE_TEST_ATLAS", "")
TOKEN = "a-token-of-the-engine"
TYPE = "BlocklineContract"
CLASSIFICATION = "BlocklineContractTag"
_ATTRIBUTES = {
    "rev": ("int", True, False), "due": ("long", True, True), "at": ("date", False, True),
    "status": ("string", True, True), "note": ("string", False, False), "is_good": ("boolean", False, False),
    "parts": ("array<string>", False, False),
}  # fmt: skip
TYPEDEFS: dict[str, Any] = {
    "classificationDefs": [
        {"category": "CLASSIFICATION", "name": CLASSIFICATION, "superTypes": [], "attributeDefs": []},
    ],
    "entityDefs": [
        {
            "category": "ENTITY",
            "name": TYPE,
            "superTypes": ["Asset"],
            "attributeDefs": [
                {
                    "name": name,
                    "typeName": type_name,
                    "isOptional": True,
                    "cardinality": "LIST" if type_name.startswith("array") else "SINGLE",
                    "valuesMinCount": 0,
                    "valuesMaxCount": 1_000_000 if type_name.startswith("array") else 1,
                    "isUnique": False,
                    "isIndexable": is_indexed,
                    "includeInNotification": is_told,
                }
                for name, (type_name, is_told, is_indexed) in _ATTRIBUTES.items()
            ],
        }
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Rest:
    """An Atlas with our types; names begin with what no other test uses."""

    client: httpx.AsyncClient
    user: str
    prefix: str

    def entity(self, name: str, **attributes: Any) -> dict[str, Any]:
        named = {"qualifiedName": self.prefix + name, "name": name}
        return {"typeName": TYPE, "attributes": {**named, **attributes}}

    async def call(self, method: str, path: str, *, status: int = 200, **request: Any) -> Any:
        response = await self.client.request(method, f"/api/atlas/v2/{path}", **request)
        assert response.status_code == status, response.text
        return response.json()

    async def save(self, *entities: dict[str, Any], status: int = 200) -> Any:
        return await self.call("POST", "entity/bulk", json={"entities": entities}, status=status)

    async def saved(self, entity: dict[str, Any]) -> str:
        """The guid of an entity, created or updated."""
        answer = await self.save({**entity, "guid": "-1"})
        return str(answer["guidAssignments"]["-1"])

    async def attributes(self, guid: str) -> dict[str, Any]:
        entity = (await self.call("GET", f"entity/guid/{guid}"))["entity"]
        return {name: value for name, value in entity["attributes"].items() if value is not None}

    async def find(self, filters: Any, **more: Any) -> list[str]:
        """Names of what a search finds among this test's entities."""
        mine = {"attributeName": "qualifiedName", "operator": "startsWith", "attributeValue": self.prefix}
        both = {"condition": "AND", "criterion": [mine, filters] if filters else [mine]}
        body = {"typeName": TYPE, "excludeDeletedEntities": True, "limit": 100, "entityFilters": both, **more}
        found = await self.call("POST", "search/basic", json=body)
        return [header["attributes"]["name"] for header in found.get("entities", ())]


Story = Callable[[Rest], Awaitable[None]]


@pytest.fixture(params=["embedded", "real"] if REAL else ["embedded"])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    """Runs a test's story against an Atlas."""

    def run(story: Story) -> None:
        if request.param == "real":
            url = httpx.URL(REAL)
            asyncio.run(_with_types(httpx.AsyncClient(base_url=url, timeout=60), url.username, story))
        else:
            asyncio.run(_embedded(tmp_path / "atlas.sqlite3", story))

    return run


async def _embedded(path: Path, story: Story) -> None:
    database = Database(path)
    try:
        app = await build_atlas(database, await UserStore.open(database), TOKEN, SystemClock())
        headers = {"authorization": f"Bearer {TOKEN}"}
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://embedded", headers=headers)
        await _with_types(client, ENGINE_NAME, story)
    finally:
        await database.close()


async def _with_types(client: httpx.AsyncClient, user: str, story: Story) -> None:
    async with client:
        await register(client)
        there = await client.get(f"/api/atlas/v2/types/entitydef/name/{TYPE}")
        if there.status_code == 404:
            answer = await client.post("/api/atlas/v2/types/typedefs", json=TYPEDEFS)
            assert answer.status_code == 200, answer.text
        await story(Rest(client, user, f"blockline-contract/{secrets.token_hex(8)}/"))
