"""What an Atlas says of its changes, and that the codec reads it: of the embedded one from its outbox, and of a real
one from its topic, with ``BLOCKLINE_TEST_ATLAS`` and ``BLOCKLINE_TEST_KAFKA``.
"""

import asyncio
import contextlib
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.cdc.assigned import AssignedReader
from pipeline.cdc.buffer import Received
from pipeline.cdc.codec import Notification, read
from pipeline.cdc.offsets import Position
from pipeline.cdc.parts import Assembler
from pipeline.messages.canonical import decode
from pipeline.messages.envelopes import EntityWrite
from pipeline.process.clock import SystemClock
from pipeline.store import types
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from pipeline.store.typedefs import register
from tests.contract.store.conftest import REAL, TOKEN, embedded_atlas
from tests.texts import random_text

KAFKA = os.environ.get("BLOCKLINE_TEST_KAFKA", "")
TOPIC = "ATLAS_ENTITIES"
Told = tuple[str, str, dict[str, Any]]


@dataclass(frozen=True)
class Teller:
    """An Atlas that is listened to; ``prefix`` begins the names that no other test uses."""

    store: AtlasEntityStore
    client: httpx.AsyncClient
    next_messages: Callable[[], Awaitable[list[bytes]]]
    prefix: str

    async def write(self, *writes: tuple[str, str, dict[str, Any]]) -> dict[str, str]:
        """Guids by the names of what is written."""
        entities = [
            EntityWrite(type_name=kind, qualified_name=self.prefix + name, attributes={"name": name, **attributes})
            for kind, name, attributes in writes
        ]
        guids = await self.store.upsert(entities)
        return {name.removeprefix(self.prefix): guid for name, guid in guids.items()}

    async def told(self, guids: dict[str, str]) -> list[Told]:
        """All that has been said of these so far, in order: name, operation, attributes."""
        names = {guid: name for name, guid in guids.items()}
        told = [read(payload) for payload in await self._said()]
        return [
            (names[each.guid], each.operation.name, self._attributes(each))
            for each in told
            if each is not None and each.guid in names
        ]

    async def told_of_tags(self, guid: str) -> list[dict[str, Any]]:
        """The messages of one entity's classifications so far, in the order in which they were made."""
        messages = [decode(payload)["message"] for payload in await self._said() if guid.encode() in payload]
        tags = [each for each in messages if each["operationType"].startswith("CLASSIFICATION_")]
        return sorted(tags, key=lambda each: int(each["eventTime"]))

    async def _said(self) -> list[bytes]:
        """All whole messages since the last look, until one that is made now."""
        (end,) = (await self.write((types.WORKFLOW, f"end {secrets.token_hex(4)}", {}))).values()
        said: list[bytes] = []
        parts = Assembler(SystemClock())
        async with asyncio.timeout(20):
            while True:
                for number, payload in enumerate(await self.next_messages()):
                    whole = parts.put_together(Received(Position("", 0, number), payload, 0))
                    if whole is None:
                        continue
                    told = read(whole.payload)
                    if told is not None and told.guid == end:
                        return said
                    said.append(whole.payload)

    def _attributes(self, told: Notification) -> dict[str, Any]:
        assert told.qualified_name == told.attributes.get("qualifiedName")
        assert told.at > 0
        return {name: value for name, value in told.attributes.items() if name != "qualifiedName"}


Story = Callable[[Teller], Awaitable[None]]


@contextlib.asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Teller]:
    seen = 0

    async def next_messages() -> list[bytes]:
        nonlocal seen
        with contextlib.closing(sqlite3.connect(folder / "atlas.sqlite3")) as connection:
            rows = connection.execute("SELECT id, payload FROM outbox WHERE id > ? ORDER BY id", (seen,)).fetchall()
        seen = rows[-1][0] if rows else seen
        return [payload for _, payload in rows]

    async with embedded_atlas(folder) as url:
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with listened(AtlasAccess.bearer(url, TOKEN), next_messages, base_url=url, headers=headers) as teller:
            yield teller


@contextlib.asynccontextmanager
async def real() -> AsyncIterator[Teller]:
    reader = AssignedReader(KAFKA, name="test", start="end", topic=TOPIC)

    async def next_messages() -> list[bytes]:
        return [message.payload for message in await reader.read(100, 1.0)]

    url = httpx.URL(REAL)
    plain = str(url.copy_with(userinfo=b""))
    async with httpx.AsyncClient(base_url=url) as client:
        await register(client)
    await reader.start()
    try:
        async with asyncio.timeout(20):
            await reader.started()
        access = AtlasAccess.basic(plain, url.username, url.password)
        async with listened(access, next_messages, base_url=plain, auth=(url.username, url.password)) as teller:
            yield teller
    finally:
        await reader.close()


@contextlib.asynccontextmanager
async def listened(
    access: AtlasAccess, next_messages: Callable[[], Awaitable[list[bytes]]], **client: Any
) -> AsyncIterator[Teller]:
    store = AtlasEntityStore.over(access)
    try:
        async with httpx.AsyncClient(timeout=60, **client) as plain:
            yield Teller(store, plain, next_messages, f"blockline-contract/{secrets.token_hex(8)}/")
    finally:
        await store.aclose()


@pytest.fixture(params=["embedded", "real"] if REAL and KAFKA else ["embedded"])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    """Runs a test's story against an Atlas that is listened to."""

    def run(story: Story) -> None:
        async def main() -> None:
            async with real() if request.param == "real" else embedded(tmp_path) as teller:
                await story(teller)

        asyncio.run(main())

    return run


Tell = Callable[[Story], None]
ITEM = {"description": "title", types.ITEM_STATUS: "OPEN", types.ITEM_RECIPIENT: "sam", types.ITEM_DUE_AT: 7}


_OPTIONAL = {"isOptional": True, "cardinality": "SINGLE", "valuesMinCount": 0, "valuesMaxCount": 1}


def test_a_bulk_tells_of_each_entity_what_the_engine_needs(tell: Tell) -> None:
    async def story(teller: Teller) -> None:
        run = {types.RUN_REQUEST: "r", types.RUN_CONFIG: "c1", types.RUN_STATUS: "PENDING", types.RUN_WAKE_AT: 5}
        command = {types.COMMAND_REQUEST: "r", types.COMMAND_STATUS: "OPEN", types.COMMAND_AT: 9}
        guids = await teller.write(
            (types.RUN, "run", {**run, types.RUN_CREATED_BY: "sam"}),
            *((types.ITEM, name, ITEM) for name in ("a", "b")),
            (types.COMMAND, "command", command),
        )
        written = {types.RUN_CONFIG: "c2", types.RUN_STATUS: "PENDING", types.RUN_WAKE_AT: 0}
        await teller.write((types.RUN, "run", written), (types.ITEM, "a", {types.ITEM_STATUS: "CLOSED"}))
        told = await teller.told(guids)
        del command[types.COMMAND_AT]
        assert sorted(told[:4], key=lambda each: each[0]) == [
            ("a", "CREATE", {"name": "a", "description": "title"}),
            ("b", "CREATE", {"name": "b", "description": "title"}),
            ("command", "CREATE", {"name": "command", **command}),
            ("run", "CREATE", {"name": "run", **run}),
        ]
        assert sorted(told[4:], key=lambda each: each[0]) == [
            ("a", "UPDATE", {"name": "a"}),
            ("run", "UPDATE", {"name": "run", **written}),  # the status too, though it stayed
        ]

    tell(story)


def test_what_changes_nothing_is_not_told(tell: Tell) -> None:
    async def story(teller: Teller) -> None:
        guids = await teller.write((types.RUN, "run", {types.RUN_WAKE_AT: 5}))
        await teller.write((types.RUN, "run", {types.RUN_WAKE_AT: 5}))
        await teller.write((types.RUN, "run", {types.RUN_WAKE_AT: 6}))
        assert await teller.told(guids) == [
            ("run", "CREATE", {"name": "run", types.RUN_WAKE_AT: 5}),
            ("run", "UPDATE", {"name": "run", types.RUN_WAKE_AT: 6}),
        ]

    tell(story)


def test_a_partial_update_tells_what_it_carried_and_no_name(tell: Tell) -> None:
    async def story(teller: Teller) -> None:
        guids = await teller.write((types.ITEM, "item", ITEM))
        path = f"/api/atlas/v2/entity/uniqueAttribute/type/{types.ITEM}"
        action = {types.ITEM_ACTION: "APPROVED"}
        for attributes in ({types.ITEM_COMMENT: "fine"}, action, action, {**action, types.ITEM_COMMENT: "so"}):
            body = {"entity": {"typeName": types.ITEM, "attributes": attributes}}
            named = {"attr:qualifiedName": f"{teller.prefix}item"}
            (await teller.client.put(path, params=named, json=body)).raise_for_status()
        assert (await teller.told(guids))[1:] == [
            ("item", "UPDATE", {}),
            ("item", "UPDATE", action),
            ("item", "UPDATE", action),  # of the two equal ones, one; then the one whose comment changed
        ]

    tell(story)


def test_a_deletion_tells_what_it_was_called(tell: Tell) -> None:
    async def story(teller: Teller) -> None:
        guids = await teller.write((types.ITEM, "item", ITEM))
        await teller.store.delete(list(guids.values()))
        assert (await teller.told(guids))[1:] == [("item", "DELETE", {"name": "item", "description": "title"})]

    tell(story)


def test_classifications_are_told_with_all_that_is_notified_and_mean_nothing_to_us(tell: Tell) -> None:
    level = {**_OPTIONAL, "name": "level", "typeName": "string"}
    tag = {"category": "CLASSIFICATION", "name": "BlocklineToldTag", "superTypes": [], "attributeDefs": [level]}

    async def story(teller: Teller) -> None:
        made = await teller.client.post("/api/atlas/v2/types/typedefs", json={"classificationDefs": [tag]})
        assert made.status_code in {200, 409}, made.text
        guids = await teller.write((types.ITEM, "item", ITEM))
        [guid] = guids.values()
        path = f"/api/atlas/v2/entity/guid/{guid}/classification"
        for method, value in (("POST", "high"), ("PUT", "low")):
            body = [{"typeName": tag["name"], "attributes": {"level": value}}]
            (await teller.client.request(method, f"{path}s", json=body)).raise_for_status()
        (await teller.client.delete(f"{path}/{tag['name']}")).raise_for_status()
        told = await teller.told_of_tags(guid)
        assert [each["operationType"].removeprefix("CLASSIFICATION_") for each in told] == ["ADD", "UPDATE", "DELETE"]
        entities = [each["entity"] for each in told]
        assert [each.get("classificationNames") for each in entities] == [[tag["name"]], [tag["name"]], None]
        assert [each["classifications"][0]["attributes"] for each in entities[:2]] == [
            {"level": "high"},
            {"level": "low"},
        ]
        for each in entities:
            attributes = each["attributes"]
            assert (attributes["qualifiedName"], attributes["name"]) == (f"{teller.prefix}item", "item")
            assert attributes["description"] == "title"

    tell(story)


def test_long_ones_come_compressed_or_in_parts_and_are_read_all_the_same(tell: Tell) -> None:
    async def story(teller: Teller) -> None:
        texts = {"compressed": "abcdefghij " * 150_000, "in parts": random_text(1_500_000), "small": "c"}
        guids = await teller.write(*((types.RUN, name, {types.RUN_CONFIG: text}) for name, text in texts.items()))
        told = {name: attributes[types.RUN_CONFIG] for name, _, attributes in await teller.told(guids)}
        assert told == texts

    tell(story)
