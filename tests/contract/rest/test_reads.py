"""What the engine relies on when it reads an Atlas, embedded or real."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pipeline.store.typedefs import engine_typedefs, register

Tell = Callable[[Callable[[Any], Awaitable[None]]], None]


def condition(name: str, operator: str, value: Any = None) -> dict[str, Any]:
    given = {} if value is None else {"attributeValue": str(value)}
    return {"attributeName": name, "operator": operator, **given}


def test_types_are_registered_once(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        assert await register(rest.client) == []
        there = {body["name"]: body for body in (await rest.call("GET", "types/typedefs"))["entityDefs"]}
        for wanted in engine_typedefs()["entityDefs"]:
            told = {each["name"] for each in there[wanted["name"]]["attributeDefs"] if each["includeInNotification"]}
            assert {each["name"] for each in wanted["attributeDefs"] if each["includeInNotification"]} <= told
        one = await rest.call("GET", "types/entitydef/name/WorkflowRun")
        assert one["name"] == "WorkflowRun"
        missing = await rest.call("GET", "types/entitydef/name/BlocklineNoSuchType", status=404)
        assert missing["errorCode"] == "ATLAS-404-00-001"

    tell(story)


def test_a_type_is_not_created_twice(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        (run,) = [body for body in engine_typedefs()["entityDefs"] if body["name"] == "WorkflowRun"]
        answer = await rest.call("POST", "types/typedefs", json={"entityDefs": [run]}, status=409)
        assert answer["errorCode"] == "ATLAS-409-00-001"

    tell(story)


def test_entities_are_read_by_guid_in_bulk(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guids = [await rest.saved(rest.entity(name)) for name in "abc"]
        found = await rest.call("GET", "entity/bulk", params={"guid": guids})
        assert {each["guid"] for each in found["entities"]} == set(guids)
        unknown = "00000000-0000-4000-8000-000000000000"
        answer = await rest.call("GET", "entity/bulk", params={"guid": [*guids, unknown]}, status=404)
        assert answer["errorCode"] == "ATLAS-404-00-005"
        assert unknown in answer["errorMessage"]
        await rest.call("GET", f"entity/guid/{unknown}", status=404)

    tell(story)


def test_an_entity_is_read_by_its_name(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("a/b c", rev=1))
        path = "entity/uniqueAttribute/type/BlocklineContract"
        found = await rest.call("GET", path, params={"attr:qualifiedName": rest.prefix + "a/b c"})
        assert found["entity"]["guid"] == guid
        answer = await rest.call("GET", path, params={"attr:qualifiedName": rest.prefix + "b"}, status=404)
        assert answer["errorCode"] in {"ATLAS-404-00-009", "ATLAS-404-00-00A"}

    tell(story)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (condition("due", "=", 20), ["b"]),
        (condition("due", "eq", 20), ["b"]),
        (condition("due", "!=", 20), ["a", "c", "none"]),
        (condition("due", "<", 20), ["a", "none"]),
        (condition("due", "<=", 20), ["a", "b", "none"]),
        (condition("due", ">", 0), ["a", "b", "c"]),
        (condition("due", "gte", 20), ["b", "c"]),
        (condition("at", "<=", 0), ["none"]),
        (condition("due", "isNull"), []),
        (condition("due", "notNull"), ["a", "b", "c", "none"]),
        (condition("at", "isNull"), []),
        (condition("rev", "=", 0), ["a", "b", "c", "none"]),
        (condition("is_good", "=", "true"), ["c"]),
        (condition("is_good", "=", "false"), ["a", "b", "none"]),
        (condition("status", "!=", "OPEN"), ["c", "none"]),
        (condition("note", "neq", "text"), ["b", "c", "none"]),
        (condition("note", "isNull"), ["b", "c", "none"]),
        (condition("note", "contains", "ex"), ["a"]),
        (condition("status", "=", "open"), []),
        (condition("status", "=", "OPEN"), ["a", "b"]),
        (condition("status", "startsWith", "CLO"), ["c"]),
        (condition("status", "endsWith", "SED"), ["c"]),
        (condition("status", "contains", "LOSE"), ["c"]),
        (condition("status", "isNull"), ["none"]),
        (condition("status", "notNull"), ["a", "b", "c"]),
        (
            {"condition": "AND", "criterion": [condition("status", "=", "OPEN"), condition("due", ">", 10)]},
            ["b"],
        ),
        (
            {
                "condition": "OR",
                "criterion": [
                    condition("due", "=", 30),
                    {"condition": "AND", "criterion": [condition("status", "=", "OPEN"), condition("due", "<", 20)]},
                ],
            },
            ["a", "c"],
        ),
    ],
)
def test_searches_filter(tell: Tell, filters: Any, expected: list[str]) -> None:
    async def story(rest: Any) -> None:
        await rest.save(
            rest.entity("a", due=10, at=1000, status="OPEN", note="text"),
            rest.entity("b", due=20, at=2000, status="OPEN"),
            rest.entity("c", due=30, at=3000, status="CLOSED", is_good=True),
            rest.entity("none"),
        )
        assert sorted(await rest.find(filters)) == expected

    tell(story)


def test_searches_sort_and_page(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        await rest.save(*(rest.entity(f"e{number}", due=100 - number) for number in range(7)))
        rising = await rest.find(None, sortBy="due", sortOrder="ASCENDING")
        assert rising == [f"e{number}" for number in reversed(range(7))]
        falling = await rest.find(None, sortBy="due", sortOrder="DESCENDING", limit=3)
        assert falling == ["e0", "e1", "e2"]
        rest_of_it = await rest.find(None, sortBy="due", sortOrder="DESCENDING", limit=3, offset=6)
        assert rest_of_it == ["e6"]

    tell(story)


def test_a_search_sees_an_update_at_once(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        await rest.saved(rest.entity("a", status="OPEN"))
        assert await rest.find(condition("status", "=", "OPEN")) == ["a"]
        await rest.saved(rest.entity("a", status="CLOSED"))
        assert await rest.find(condition("status", "=", "OPEN")) == []

    tell(story)


def test_a_search_carries_the_attributes_that_were_asked_for(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("a", note="text", due=5))
        mine = condition("qualifiedName", "=", rest.prefix + "a")
        body = {"typeName": "BlocklineContract", "limit": 5, "entityFilters": mine, "attributes": ["note", "due"]}
        (header,) = (await rest.call("POST", "search/basic", json=body))["entities"]
        assert header["guid"] == guid
        assert {"name": "a", "note": "text", "due": 5}.items() <= header["attributes"].items()
        assert "status" not in header["attributes"]

    tell(story)


def test_a_search_says_who_wrote_only_where_that_is_asked(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        await rest.saved(rest.entity("a"))
        asked = ["__createdBy", "__modifiedBy", "__timestamp", "__modificationTimestamp"]
        mine = condition("qualifiedName", "=", rest.prefix + "a")
        body = {"typeName": "BlocklineContract", "limit": 5, "entityFilters": mine}
        (plain,) = (await rest.call("POST", "search/basic", json=body))["entities"]
        assert not {"createdBy", "updatedBy", "createTime", "updateTime"} & plain.keys()
        (header,) = (await rest.call("POST", "search/basic", json={**body, "attributes": asked}))["entities"]
        entity = (await rest.call("GET", f"entity/guid/{header['guid']}"))["entity"]
        whole = [entity[name] for name in ("createdBy", "updatedBy", "createTime", "updateTime")]
        assert [header["attributes"][name] for name in asked] == whole

    tell(story)


def test_a_search_without_a_limit_has_one(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        await rest.save(*(rest.entity(name) for name in "abc"))
        assert sorted(await rest.find(None, limit=0)) == ["a", "b", "c"]
        assert sorted(await rest.find(None, limit=1_000_000)) == ["a", "b", "c"]
        below = {"typeName": "BlocklineContract", "limit": -1}
        assert (await rest.call("POST", "search/basic", json=below, status=400))["errorCode"] == "ATLAS-400-00-029"

    tell(story)


def test_searches_of_a_type_hold_what_inherits_from_it(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        await rest.saved(rest.entity("a"))
        assert await rest.find(None, typeName="Asset") == ["a"]
        assert await rest.find(None, typeName="Asset", includeSubTypes=False) == []

    tell(story)


def test_a_search_by_what_is_not_there_is_refused(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        answer = await rest.call("POST", "search/basic", json={"typeName": "BlocklineNoSuchType"}, status=400)
        assert answer["errorCode"] == "ATLAS-400-00-00A"

    tell(story)


def test_the_audit_says_who_changed_what_when(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("a", rev=1))
        await rest.saved(rest.entity("a", rev=2))
        await rest.call("DELETE", f"entity/guid/{guid}")
        entries = await rest.call("GET", f"entity/{guid}/audit")
        assert min(reversed(entries), key=lambda each: each["timestamp"])["action"] == "ENTITY_CREATE"
        assert {each["action"] for each in entries} == {"ENTITY_CREATE", "ENTITY_UPDATE", "ENTITY_DELETE"}
        assert {each["user"] for each in entries} == {rest.user}
        assert {each["entityId"] for each in entries} == {guid}

    tell(story)
