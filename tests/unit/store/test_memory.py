import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from pipeline.messages.envelopes import EntityWrite, Operation
from pipeline.store import types
from pipeline.store.memory import Change, MemoryEntityStore
from pipeline.store.port import Filter, Query, StoreRefusedError

T = TypeVar("T")


class Clock:
    now = 1000


@pytest.fixture
def told() -> list[Change]:
    return []


@pytest.fixture
def store(told: list[Change]) -> MemoryEntityStore:
    return MemoryEntityStore(lambda: Clock.now, told.append, user="engine")


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def do() -> T:
        return await work()

    return asyncio.run(do())


def a_run(name: str = "r1", **attributes: object) -> EntityWrite:
    return EntityWrite(type_name=types.RUN, qualified_name=name, attributes={"name": name, **attributes})


def test_a_repeated_write_is_an_update_and_one_that_changes_nothing_is_no_event(
    store: MemoryEntityStore, told: list[Change]
) -> None:
    async def scene() -> tuple[dict[str, str], dict[str, str]]:
        first = await store.upsert([a_run(workflowRunStatus="PENDING", workflowRunExpiresAt=5)])
        again = await store.upsert([a_run(workflowRunStatus="PENDING")])
        return first, again

    first, again = run(scene)
    assert first == again
    assert [change.operation for change in told] == [Operation.CREATE]
    assert told[0].attributes == {"workflowRunStatus": "PENDING"}, "only notified attributes are told"


def test_omitted_attributes_keep_their_values_and_none_is_an_omission(
    store: MemoryEntityStore, told: list[Change]
) -> None:
    async def scene() -> object:
        guid = (await store.upsert([a_run(workflowRunStatus="PENDING", workflowRunWakeAt=7)]))["r1"]
        await store.upsert([a_run(workflowRunWakeAt=9, workflowRunStatus=None)])
        return (await store.get([guid]))[guid].attributes

    assert run(scene) == {
        "name": "r1",
        "qualifiedName": "r1",
        "workflowRunStatus": "PENDING",
        "workflowRunWakeAt": 9,
    }
    assert told[1].attributes == {"workflowRunWakeAt": 9}


def test_a_bulk_is_all_or_nothing(store: MemoryEntityStore, told: list[Change]) -> None:
    nameless = EntityWrite(type_name=types.RUN, qualified_name="r2")
    with pytest.raises(StoreRefusedError, match="name"):
        run(lambda: store.upsert([a_run(), nameless]))
    assert run(lambda: store.get_by_name(types.RUN, "r1")) is None
    assert not told


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ((Filter(types.RUN_WAKE_AT, "lte", 10),), ["r1", "r2"]),
        ((Filter(types.RUN_WAKE_AT, "gt", 0), Filter(types.RUN_WAKE_AT, "lte", 10)), ["r1"]),
        ((Filter(types.RUN_STATUS, "is_null"),), ["r1"]),
        ((Filter(types.RUN_STATUS, "eq", "PENDING"),), ["r2", "r3"]),
        ((Filter(types.RUN_STATUS, "neq", "PENDING"),), ["r1"]),
        ((Filter("__createdBy", "eq", "engine"), Filter("name", "startsWith", "r3")), ["r3"]),
    ],
)
def test_unset_numbers_read_as_zero(store: MemoryEntityStore, filters: tuple[Filter, ...], found: list[str]) -> None:
    async def scene() -> list[str]:
        await store.upsert(
            [
                a_run("r1", workflowRunWakeAt=5),
                a_run("r2", workflowRunStatus="PENDING"),
                a_run("r3", workflowRunStatus="PENDING", workflowRunWakeAt=50),
            ]
        )
        return [entity.qualified_name for entity in await store.find(Query(types.RUN, filters))]

    assert run(scene) == found


def test_pages_sorting_and_wanted_attributes(store: MemoryEntityStore) -> None:
    async def scene() -> list[object]:
        await store.upsert([a_run(f"r{at}", workflowRunWakeAt=at, workflowRunStatus="PENDING") for at in (3, 1, 2)])
        query = Query(types.RUN, sort_by=types.RUN_WAKE_AT, is_descending=True, limit=2, offset=1)
        return [dict(entity.attributes) for entity in await store.find(query)]

    assert run(scene) == [{"name": "r2", "qualifiedName": "r2"}, {"name": "r1", "qualifiedName": "r1"}]


def test_a_deleted_entity_is_found_by_guid_only_and_its_name_is_free(store: MemoryEntityStore) -> None:
    async def scene() -> tuple[bool, object, bool]:
        guid = (await store.upsert([a_run()]))["r1"]
        await store.delete([guid, "unknown"])
        await store.delete([guid])
        gone = await store.get_by_name(types.RUN, "r1")
        again = (await store.upsert([a_run()]))["r1"]
        return (await store.get([guid]))[guid].is_deleted, gone, again != guid

    assert run(scene) == (True, None, True)


def test_the_store_says_who_wrote(store: MemoryEntityStore) -> None:
    async def scene() -> tuple[str, str]:
        guid = (await store.upsert([a_run()]))["r1"]
        await store.as_user("bob").upsert([a_run(workflowRunStatus="PENDING")])
        entity = (await store.get([guid]))[guid]
        return entity.created_by, entity.updated_by

    assert run(scene) == ("engine", "bob")
