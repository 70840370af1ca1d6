"""What the port means: one suite over every store."""

import asyncio
from collections.abc import Callable

import pytest

from pipeline.messages.envelopes import EntityWrite
from pipeline.process.clock import SystemClock
from pipeline.store import types
from pipeline.store.port import Filter, Query, StoreRefusedError
from pipeline.store.typedefs import engine_typedefs
from tests.contract.store.conftest import Story, World

Tell = Callable[[Story], None]
DOCUMENT = '{"v":1,"text":"Grüße, 世界 \\" \\\\ \\u0000"}' * 40


def test_an_upsert_creates_and_updates_by_name(tell: Tell) -> None:
    async def story(world: World) -> None:
        write = world.run("a", **{types.RUN_REQUEST: DOCUMENT, types.RUN_WAKE_AT: 17})
        guids = await world.store.upsert([write])
        guid = guids[write.qualified_name]
        again = world.run("a", **{types.RUN_STATUS: "PENDING", types.RUN_WAKE_AT: 18})
        assert await world.store.upsert([again]) == guids
        entity = (await world.store.get([guid]))[guid]
        assert (entity.type_name, entity.guid, entity.qualified_name) == (types.RUN, guid, write.qualified_name)
        assert entity.attributes[types.RUN_REQUEST] == DOCUMENT  # left out of the second: it keeps its value
        assert entity.attributes[types.RUN_STATUS] == "PENDING"
        assert entity.attributes[types.RUN_WAKE_AT] == 18
        assert not entity.is_deleted
        assert entity.created_by
        assert entity.created_by == entity.updated_by
        assert 0 < entity.created_at <= entity.updated_at

    tell(story)


def test_an_upsert_names_all_guids_also_of_what_did_not_change(tell: Tell) -> None:
    async def story(world: World) -> None:
        writes = [world.run(name, **{types.RUN_WAKE_AT: 1}) for name in "abc"]
        first = await world.store.upsert(writes)
        assert len(set(first.values())) == 3
        assert await world.store.upsert([*writes, world.run("d")]) == {
            **first,
            f"{world.prefix}d": (await world.store.upsert([world.run("d")]))[f"{world.prefix}d"],
        }

    tell(story)


@pytest.mark.parametrize("type_name", sorted(types.ENGINE_TYPES))
def test_every_attribute_that_a_type_of_ours_declares_is_written_and_read(tell: Tell, type_name: str) -> None:
    (definition,) = (each for each in engine_typedefs()["entityDefs"] if each["name"] == type_name)
    given: dict[str, str | int] = {
        attribute["name"]: "text" if attribute["typeName"] == "string" else 1_800_000_000
        for attribute in definition["attributeDefs"]
    }

    async def story(world: World) -> None:
        name = f"{world.prefix}all"
        write = EntityWrite(type_name=type_name, qualified_name=name, attributes={"name": "n", **given})
        guid = (await world.store.upsert([write]))[name]
        entity = (await world.store.get([guid]))[guid]
        assert {key: entity.attributes.get(key) for key in given} == given

    tell(story)


def test_several_types_go_in_one_upsert(tell: Tell) -> None:
    async def story(world: World) -> None:
        def write(type_name: str, **attributes: object) -> EntityWrite:
            name = f"{world.prefix}{type_name}"
            return EntityWrite(type_name=type_name, qualified_name=name, attributes={"name": "n", **attributes})

        text = '"' + "ä\\n" * 250_000 + '"'
        guids = await world.store.upsert(
            [
                write(types.RUN),
                write(types.WORKFLOW, **{types.WORKFLOW_VERSION: 3, types.WORKFLOW_STATUS: "DRAFT"}),
                write(types.ITEM, **{types.ITEM_DUE_AT: 1_800_000_000_123, types.ITEM_RECIPIENT: "sam"}),
                write(types.COMMAND, **{types.COMMAND_AT: 5, types.COMMAND_STATUS: "OPEN"}),
                write(types.OUTPUT, **{types.OUTPUT_TEXT: text, types.OUTPUT_BYTES: len(text)}),
                write(types.DEAD_LETTER, **{types.DEAD_LETTER_BYTES: 7, types.DEAD_LETTER_REASON: "why"}),
            ]
        )
        found = {entity.type_name: entity for entity in (await world.store.get(list(guids.values()))).values()}
        assert found[types.WORKFLOW].attributes[types.WORKFLOW_VERSION] == 3
        assert found[types.ITEM].attributes[types.ITEM_DUE_AT] == 1_800_000_000_123
        assert found[types.COMMAND].attributes[types.COMMAND_STATUS] == "OPEN"
        assert found[types.OUTPUT].attributes[types.OUTPUT_TEXT] == text
        named = await world.store.get_by_name(types.OUTPUT, f"{world.prefix}{types.OUTPUT}")
        assert named is not None
        assert named.attributes[types.OUTPUT_TEXT] == text
        assert found[types.DEAD_LETTER].attributes[types.DEAD_LETTER_BYTES] == 7
        assert types.RUN in found

    tell(story)


def test_none_keeps_a_value_and_empty_clears_it(tell: Tell) -> None:
    async def story(world: World) -> None:
        given = {types.RUN_CREATED_BY: "sam", types.RUN_WORKFLOW_GUID: "w", types.RUN_WAKE_AT: 9}
        (guid,) = (await world.store.upsert([world.run("a", **given)])).values()
        await world.store.upsert(
            [world.run("a", **{types.RUN_CREATED_BY: None, types.RUN_WORKFLOW_GUID: "", types.RUN_WAKE_AT: 0})]
        )
        entity = (await world.store.get([guid]))[guid]
        assert entity.attributes[types.RUN_CREATED_BY] == "sam"
        assert entity.attributes[types.RUN_WORKFLOW_GUID] == ""
        assert entity.attributes[types.RUN_WAKE_AT] == 0

    tell(story)


def test_nothing_to_write_is_no_error(tell: Tell) -> None:
    async def story(world: World) -> None:
        assert await world.store.upsert([]) == {}
        assert await world.store.get([]) == {}
        await world.store.delete([])

    tell(story)


@pytest.mark.parametrize(
    "broken",
    [
        EntityWrite(type_name=types.RUN, qualified_name="blockline-contract/no-name", attributes={}),
        EntityWrite(type_name=types.RUN, qualified_name="", attributes={"name": "n"}),
    ],
    ids=["no name", "no qualified name"],
)
def test_one_that_is_refused_refuses_all(tell: Tell, broken: EntityWrite) -> None:
    async def story(world: World) -> None:
        await world.store.upsert([world.run("old", **{types.RUN_WAKE_AT: 1})])
        writes = [world.run("old", **{types.RUN_WAKE_AT: 2}), world.run("new"), broken]
        with pytest.raises(StoreRefusedError) as refused:
            await world.store.upsert(writes)
        assert str(refused.value)
        assert await world.store.get_by_name(types.RUN, f"{world.prefix}new") is None
        old = await world.store.get_by_name(types.RUN, f"{world.prefix}old")
        assert old is not None
        assert old.attributes[types.RUN_WAKE_AT] == 1

    tell(story)


def test_get_leaves_out_what_does_not_exist(tell: Tell) -> None:
    async def story(world: World) -> None:
        guids = await world.store.upsert([world.run(f"r{number}") for number in range(120)])
        missing = ["00000000-0000-0000-0000-000000000000", "11111111-1111-1111-1111-111111111111"]
        wanted = [missing[0], *guids.values(), missing[1], *guids.values()]
        assert (await world.store.get(wanted)).keys() == set(guids.values())
        assert await world.store.get(missing) == {}

    tell(story)


def test_names_are_found_exactly(tell: Tell) -> None:
    async def story(world: World) -> None:
        odd = "a/b c?d=e&f#g%20ü+"
        await world.store.upsert([world.run(odd)])
        entity = await world.store.get_by_name(types.RUN, f"{world.prefix}{odd}")
        assert entity is not None
        assert entity.attributes["name"] == odd
        assert await world.store.get_by_name(types.RUN, f"{world.prefix}a") is None
        assert await world.store.get_by_name(types.WORKFLOW, f"{world.prefix}{odd}") is None

    tell(story)


def test_a_deleted_entity_is_read_by_guid_only_and_its_name_is_free(tell: Tell) -> None:
    async def story(world: World) -> None:
        (guid,) = (await world.store.upsert([world.run("a", **{types.RUN_WAKE_AT: 3})])).values()
        await world.store.delete([guid])
        await world.store.delete([guid, "00000000-0000-0000-0000-000000000000"])
        assert (await world.store.get([guid]))[guid].is_deleted
        assert await world.store.get_by_name(types.RUN, f"{world.prefix}a") is None
        assert await world.find() == []
        (other,) = (await world.store.upsert([world.run("a")])).values()
        assert other != guid
        entity = (await world.store.get([other]))[other]
        assert not entity.attributes.get(types.RUN_WAKE_AT)

    tell(story)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(types.RUN_WAKE_AT, "eq", 20), "b"),
        (Filter(types.RUN_WAKE_AT, "neq", 20), "acz"),
        (Filter(types.RUN_WAKE_AT, "gt", 10), "bc"),
        (Filter(types.RUN_WAKE_AT, "gte", 10), "abc"),
        (Filter(types.RUN_WAKE_AT, "lt", 20), "az"),
        (Filter(types.RUN_WAKE_AT, "lte", 20), "abz"),
        (Filter(types.RUN_STATUS, "eq", "PENDING"), "ab"),
        (Filter(types.RUN_STATUS, "neq", "PENDING"), "cz"),
        (Filter(types.RUN_STATUS, "is_null"), "z"),
        (Filter(types.RUN_STATUS, "not_null"), "abc"),
        (Filter("name", "startsWith", "b"), "b"),
        (Filter("name", "contains", "c"), "c"),
    ],
    ids=lambda value: f"{value.attribute}-{value.operator}" if isinstance(value, Filter) else None,
)
def test_filters(tell: Tell, wanted: Filter, found: str) -> None:
    """``z`` has neither status nor wake-up: an unset number reads as 0."""

    async def story(world: World) -> None:
        await world.store.upsert(
            [
                world.run("a", **{types.RUN_WAKE_AT: 10, types.RUN_STATUS: "PENDING"}),
                world.run("b", **{types.RUN_WAKE_AT: 20, types.RUN_STATUS: "PENDING"}),
                world.run("c", **{types.RUN_WAKE_AT: 30, types.RUN_STATUS: "SUCCESS"}),
                world.run("z"),
            ]
        )
        assert sorted(await world.find(wanted)) == list(found)

    tell(story)


def test_filters_all_hold_and_pages_follow_each_other(tell: Tell) -> None:
    async def story(world: World) -> None:
        await world.store.upsert([world.run(f"r{number}", **{types.RUN_WAKE_AT: 100 - number}) for number in range(9)])
        due = (Filter(types.RUN_WAKE_AT, "gt", 0), Filter(types.RUN_WAKE_AT, "lte", 98))
        by_wake = {"sort_by": types.RUN_WAKE_AT, "limit": 3}
        pages = [await world.find(*due, **by_wake, offset=offset) for offset in (0, 3, 6)]
        assert pages == [["r8", "r7", "r6"], ["r5", "r4", "r3"], ["r2"]]
        assert await world.find(*due, sort_by=types.RUN_WAKE_AT, is_descending=True, limit=2) == ["r2", "r3"]

    tell(story)


def test_a_search_sees_each_earlier_write_and_carries_what_was_asked(tell: Tell) -> None:
    async def story(world: World) -> None:
        for wake_at in range(5, 9):
            (guid,) = (await world.store.upsert([world.run("a", **{types.RUN_WAKE_AT: wake_at})])).values()
            mine = Filter("qualifiedName", "eq", f"{world.prefix}a")
            query = Query(types.RUN, (mine,), attributes=(types.RUN_WAKE_AT,))
            (entity,) = await world.store.find(query)
            assert (entity.guid, entity.qualified_name) == (guid, f"{world.prefix}a")
            assert (entity.attributes["name"], entity.attributes[types.RUN_WAKE_AT]) == ("a", wake_at)

    tell(story)


def test_what_is_found_says_who_wrote_it_when(tell: Tell) -> None:
    async def story(world: World) -> None:
        for wake_at in (1, 2):
            (guid,) = (await world.store.upsert([world.run("a", **{types.RUN_WAKE_AT: wake_at})])).values()
        mine = Filter("qualifiedName", "eq", f"{world.prefix}a")
        (found,) = await world.store.find(Query(types.RUN, (mine,)))
        whole = (await world.store.get([guid]))[guid]
        assert found.created_by
        assert (found.created_by, found.updated_by) == (whole.created_by, whole.updated_by)
        assert (found.created_at, found.updated_at) == (whole.created_at, whole.updated_at)
        assert found.attributes.keys() == {"qualifiedName", "name"}

    tell(story)


@pytest.mark.parametrize("by", ["__timestamp", "__modificationTimestamp"])
def test_what_is_found_is_sorted_by_its_times(tell: Tell, by: str) -> None:
    async def story(world: World) -> None:
        for name in "abc":
            (guid,) = (await world.store.upsert([world.run(name)])).values()
            at = (await world.store.get([guid]))[guid].created_at
            async with asyncio.timeout(10):
                while SystemClock().now_ms() <= at:  # noqa: ASYNC110  (a clock has no event)
                    await asyncio.sleep(0.001)
        assert await world.find(sort_by=by, is_descending=True) == ["c", "b", "a"]
        assert await world.find(Filter("__timestamp", "gte", at), sort_by=by) == ["c"]
        assert await world.find(Filter("__timestamp", "lt", at), sort_by=by) == ["a", "b"]

    tell(story)


@pytest.mark.parametrize(
    "value",
    ["sam.o'neil@example.org", "Sam Müller", "a/b:c", "a-b_c", "(x) [y] {z}", "q?w*", 'a"b', "a+b&c|d", "!~^#$%"],
)
def test_texts_are_found_as_they_are(tell: Tell, value: str) -> None:
    async def story(world: World) -> None:
        await world.store.upsert(
            [
                world.run("a", **{types.RUN_CREATED_BY: value}),
                world.run("b", **{types.RUN_CREATED_BY: f"{value}x"}),
                world.run("c", **{types.RUN_CREATED_BY: value[:-1]}),
            ]
        )
        assert await world.find(Filter(types.RUN_CREATED_BY, "eq", value)) == ["a"]

    tell(story)


@pytest.mark.parametrize(
    "query", [Query(types.RUN, limit=0), Query(types.RUN, limit=1001), Query(types.RUN, offset=-1)]
)
def test_a_page_has_bounds(tell: Tell, query: Query) -> None:
    async def story(world: World) -> None:
        with pytest.raises(StoreRefusedError):
            await world.store.find(query)

    tell(story)


def test_of_two_writes_to_one_entity_the_later_wins(tell: Tell) -> None:
    async def story(world: World) -> None:
        first = world.run("a", **{types.RUN_WAKE_AT: 1, types.RUN_CREATED_BY: "sam"})
        guids = await world.store.upsert([first, world.run("a", **{types.RUN_WAKE_AT: 2})])
        entity = (await world.store.get(list(guids.values())))[guids[first.qualified_name]]
        assert (entity.attributes[types.RUN_WAKE_AT], entity.attributes[types.RUN_CREATED_BY]) == (2, "sam")

    tell(story)


def test_purging_removes_what_is_deleted_and_nothing_else(tell: Tell) -> None:
    async def story(world: World) -> None:
        gone, kept = world.run("gone"), world.run("kept")
        guids = await world.store.upsert([gone, kept])
        dead, alive = guids[gone.qualified_name], guids[kept.qualified_name]
        await world.store.delete([dead])
        asked = [dead, alive, "00000000-0000-0000-0000-000000000000"]
        await world.store.purge(asked)
        await world.store.purge(asked)  # a repeat finds nothing to do
        assert set(await world.store.get([dead, alive])) == {alive}
        assert await world.find() == ["kept"]
        again = await world.store.upsert([gone])
        assert again[gone.qualified_name] != dead
        await world.store.purge([])

    tell(story)
