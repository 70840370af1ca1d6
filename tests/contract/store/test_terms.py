"""Glossary terms of assets. A real Atlas has their relationship from its own glossary model, which isn't this project's
to register: here the test does. Before that, terms are refused, since Atlas would take no notice of them.
"""

import asyncio
from pathlib import Path

import httpx
import pytest

from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.store.port import EntityStore, StoreRefusedError
from tests.contract.store.conftest import REAL, store_of


async def with_glossary() -> None:
    """As Atlas' own model has it, without the attributes of an assignment."""
    ends = [{"type": types.TERM, "name": "assignedEntities"}, {"type": "Referenceable", "name": types.MEANINGS}]
    one, two = ({**end, "isContainer": False, "cardinality": "SET"} for end in ends)
    body = {"name": types.ASSIGNMENT, "relationshipCategory": "ASSOCIATION", "endDef1": one, "endDef2": two}
    async with httpx.AsyncClient(base_url=REAL, timeout=60) as client:
        answer = await client.post("/api/atlas/v2/types/typedefs", json={"relationshipDefs": [body]})
        assert answer.status_code in {200, 409}, answer.text


async def refuses_without_glossary(folder: Path) -> None:
    """Only a real Atlas may have none."""
    async with httpx.AsyncClient(base_url=REAL, timeout=60) as client:
        answer = await client.delete(f"/api/atlas/v2/types/typedef/name/{types.ASSIGNMENT}")
        assert answer.status_code in {204, 404}, answer.text
    async with store_of("real", folder) as store:
        table = EntityWrite(type_name="Table", qualified_name="bare", attributes={"name": "bare"}, terms=())
        with pytest.raises(StoreRefusedError, match="no glossary"):
            await store.upsert([table])
        assert await store.get_by_name("Table", "bare") is None


@pytest.mark.parametrize("kind", ["memory", "gathering", "embedded", "in process", *(["real"] if REAL else [])])
def test_terms_are_replaced_as_a_whole(kind: str, tmp_path: Path) -> None:
    async def terms_of(store: EntityStore, guid: str) -> set[str]:
        return set((await store.get([guid], has_terms=True))[guid].terms)

    async def main() -> None:
        if kind == "real":
            await refuses_without_glossary(tmp_path)
            await with_glossary()
        async with store_of(kind, tmp_path) as store:
            names = ("one@Glossary", "two@Glossary")
            guids = await store.upsert(
                [EntityWrite(type_name=types.TERM, qualified_name=name, attributes={"name": name}) for name in names]
            )
            one, two = (guids[name] for name in names)
            table = EntityWrite(type_name="Table", qualified_name="t", attributes={"name": "t"})
            guid = (await store.upsert([table]))["t"]
            assert await terms_of(store, guid) == set()
            for _ in range(2):
                await store.upsert([table.model_copy(update={"guid": guid, "terms": (one, two)})])
                assert await terms_of(store, guid) == {one, two}
            await store.upsert([table.model_copy(update={"guid": guid, "attributes": {"name": "t", "rowCount": 1}})])
            assert await terms_of(store, guid) == {one, two}, "left out: they stay"
            await store.upsert([table.model_copy(update={"guid": guid, "terms": (two,)})])
            assert await terms_of(store, guid) == {two}
            unknown = table.model_copy(update={"guid": guid, "terms": ("00000000-0000-4000-8000-000000000000",)})
            with pytest.raises(StoreRefusedError):
                await store.upsert([unknown])
            await store.upsert([table.model_copy(update={"guid": guid, "terms": ()})])
            assert await terms_of(store, guid) == set()

    asyncio.run(main())
