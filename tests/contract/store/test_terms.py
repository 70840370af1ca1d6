"""Glossary terms of assets, on the stores that have the relationship from the start (a real Atlas gets it with its own
glossary model, which isn't this project's to register).
"""

import asyncio
from pathlib import Path

import pytest

from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.store.port import EntityStore, StoreRefusedError
from tests.contract.store.conftest import store_of


@pytest.mark.parametrize("kind", ["memory", "gathering", "embedded", "in process"])
def test_terms_are_replaced_as_a_whole(kind: str, tmp_path: Path) -> None:
    async def terms_of(store: EntityStore, guid: str) -> set[str]:
        return set((await store.get([guid], has_terms=True))[guid].terms)

    async def main() -> None:
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
