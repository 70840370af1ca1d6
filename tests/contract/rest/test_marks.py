"""Classifications and custom attributes of entities that exist, on an Atlas, embedded or real."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.contract.rest.conftest import CLASSIFICATION

Tell = Callable[[Callable[[Any], Awaitable[None]]], None]


async def tags(rest: Any, guid: str) -> list[dict[str, Any]]:
    entity = (await rest.call("GET", f"entity/guid/{guid}"))["entity"]
    return list(entity.get("classifications") or ())


async def mark(rest: Any, method: str, guid: str, *given: dict[str, Any]) -> tuple[int, str]:
    path = f"/api/atlas/v2/entity/guid/{guid}/classifications"
    response = await rest.client.request(method, path, json=list(given))
    return response.status_code, "" if response.status_code == 204 else response.json()["errorCode"]


async def unmark(rest: Any, guid: str, name: str) -> tuple[int, str]:
    response = await rest.client.delete(f"/api/atlas/v2/entity/guid/{guid}/classification/{name}")
    return response.status_code, "" if response.status_code == 204 else response.json()["errorCode"]


def test_a_classification_is_put_on_changed_and_taken_off(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("a", rev=1))
        tag = {"typeName": CLASSIFICATION}
        assert await mark(rest, "PUT", guid, tag) == (400, "ATLAS-400-00-06D")
        assert await mark(rest, "POST", guid, {**tag, "propagate": False}) == (204, "")
        [found] = await tags(rest, guid)
        assert (found["typeName"], found["entityGuid"], found["propagate"]) == (CLASSIFICATION, guid, False)
        assert await mark(rest, "POST", guid, tag) == (400, "ATLAS-400-00-01A")
        assert await mark(rest, "PUT", guid, {**tag, "propagate": True}) == (204, "")
        [found] = await tags(rest, guid)
        assert found["propagate"] is True
        assert await unmark(rest, guid, CLASSIFICATION) == (204, "")
        assert await tags(rest, guid) == []
        assert await unmark(rest, guid, CLASSIFICATION) == (404, "ATLAS-404-00-003"), "it has none at all"

    tell(story)


def test_what_nobody_knows_cannot_be_put_on_or_marked(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("a", rev=1))
        unknown = "00000000-0000-4000-8000-000000000000"
        assert await mark(rest, "POST", guid, {"typeName": "BlocklineNoSuchTag"}) == (404, "ATLAS-404-00-008")
        assert await unmark(rest, guid, "BlocklineNoSuchTag") == (400, "ATLAS-400-00-014")
        assert await mark(rest, "POST", unknown, {"typeName": CLASSIFICATION}) == (404, "ATLAS-404-00-005")
        assert await unmark(rest, unknown, CLASSIFICATION) == (404, "ATLAS-404-00-005")

    tell(story)


def test_custom_attributes_are_replaced_as_a_whole(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        async def custom() -> Any:
            return (await rest.call("GET", f"entity/guid/{guid}"))["entity"].get("customAttributes") or {}

        guid = await rest.saved({**rest.entity("a", rev=1), "customAttributes": {"k": "v"}})
        await rest.saved(rest.entity("a", rev=2))
        assert await custom() == {"k": "v"}, "left out: it keeps its value"
        answer = await rest.save({**rest.entity("a", rev=2), "guid": guid, "customAttributes": {"k2": "w", "n": "5"}})
        assert [each["guid"] for each in answer["mutatedEntities"]["UPDATE"]] == [guid]
        assert await custom() == {"k2": "w", "n": "5"}
        same = await rest.save({**rest.entity("a", rev=2), "guid": guid, "customAttributes": {"n": "5", "k2": "w"}})
        assert not same.get("mutatedEntities")
        await rest.save({**rest.entity("a", rev=2), "guid": guid, "customAttributes": {}})
        assert await custom() == {}

    tell(story)


def test_names_of_custom_attributes_are_checked(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        for name, code in (("a b", "ATLAS-400-00-08D"), ("a" * 51, "ATLAS-400-00-08C")):
            answer = await rest.save({**rest.entity("a", rev=1), "customAttributes": {name: "x"}}, status=400)
            assert answer["errorCode"] == code

    tell(story)
