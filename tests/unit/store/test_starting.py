import asyncio

import pytest

from pipeline.core.errors import InvalidError
from pipeline.messages.envelopes import EntityWrite, Requester
from pipeline.store.memory import MemoryEntityStore
from pipeline.store.starting import REQUEST_BYTES_MAX, asset_snapshot, build_request

SPEC = {"dag": {"entrypoint": "a", "exitpoints": ["a"], "tasks": [{"name": "a", "type": "PASS"}]}}
BLOCKS = {"PASS": {"lease_ms": 1}, "MAIL": {"lease_ms": 2}}


def request_of(store: MemoryEntityStore, asset_guid: str | None) -> dict[str, object]:
    return asyncio.run(
        build_request(
            store,
            spec=SPEC,
            input={"a": 1},
            requester=Requester(name="ann", groups=("g",)),
            asset_guid=asset_guid,
            workflow=None,
            comment=None,
            created_at=5,
            blocks=BLOCKS,
        )
    )


def table(store: MemoryEntityStore, **attributes: object) -> str:
    write = EntityWrite(type_name="Table", qualified_name="t", attributes={"name": "t", **attributes})
    return asyncio.run(store.upsert([write]))["t"]


def test_a_request_keeps_the_blocks_it_uses_and_the_snapshot() -> None:
    store = MemoryEntityStore(lambda: 1)
    guid = table(store, ownerUsers=["ann"])
    request = request_of(store, guid)
    assert request["blocks"] == {"PASS": {"lease_ms": 1}}
    assert request["requester"] == {"name": "ann", "email": None, "groups": ["g"]}
    assert request["asset"] == {
        "guid": guid,
        "typeName": "Table",
        "attributes": {"name": "t", "qualifiedName": "t", "ownerUsers": ["ann"]},
        "classifications": [],
    }


def test_a_deleted_asset_is_none() -> None:
    store = MemoryEntityStore(lambda: 1)
    guid = table(store)
    asyncio.run(store.delete([guid]))
    assert asyncio.run(asset_snapshot(store, guid)) is None
    with pytest.raises(InvalidError) as error:
        request_of(store, guid)
    assert (error.value.problems[0].pointer, error.value.problems[0].code) == ("/asset_guid", "Run.NoAsset")


def test_an_asset_that_leaves_no_room_is_refused_with_the_sizes() -> None:
    store = MemoryEntityStore(lambda: 1)
    guid = table(store, description="x" * REQUEST_BYTES_MAX)
    with pytest.raises(InvalidError, match=str(REQUEST_BYTES_MAX)) as error:
        request_of(store, guid)
    assert error.value.problems[0].code == "Engine.TooLarge"
