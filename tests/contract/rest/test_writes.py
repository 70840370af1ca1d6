"""What the engine relies on when it writes to an Atlas, embedded or real."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

Tell = Callable[[Callable[[Any], Awaitable[None]]], None]


def test_an_entity_is_created_then_updated_by_its_name(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        first = await rest.save({**rest.entity("a", note="1", rev=1), "guid": "-7"})
        (header,) = first["mutatedEntities"]["CREATE"]
        assert first["guidAssignments"]["-7"] == header["guid"]
        assert header["typeName"] == "BlocklineContract"
        second = await rest.save({**rest.entity("a", rev=2), "guid": "-8"})
        assert [each["guid"] for each in second["mutatedEntities"]["UPDATE"]] == [header["guid"]]
        assert "CREATE" not in second["mutatedEntities"]
        assert second["guidAssignments"]["-8"] == header["guid"]
        attributes = await rest.attributes(header["guid"])
        assert (attributes["note"], attributes["rev"]) == ("1", 2), "omitted attributes keep their values"

    tell(story)


def test_an_entity_is_updated_by_its_guid(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("a", rev=1))
        answer = await rest.save({**rest.entity("a", rev=2), "guid": guid})
        assert [each["guid"] for each in answer["mutatedEntities"]["UPDATE"]] == [guid]
        assert (await rest.attributes(guid))["rev"] == 2

    tell(story)


def test_a_guid_that_nobody_has_is_refused(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        unknown = {**rest.entity("a", rev=1), "guid": "00000000-0000-4000-8000-000000000000"}
        answer = await rest.save(rest.entity("b"), unknown, status=404)
        assert answer["errorCode"] == "ATLAS-404-00-00A"
        assert await rest.find(None) == []

    tell(story)


def test_a_write_that_changes_nothing_mutates_nothing(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("a", rev=1, note="x"))
        answer = await rest.save({**rest.entity("a", rev=1), "guid": "-1"})
        assert not answer.get("mutatedEntities")
        assert answer["guidAssignments"]["-1"] == guid

    tell(story)


def test_one_entity_is_written_alone(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        answer = await rest.call("POST", "entity", json={"entity": rest.entity("a", rev=1)})
        (header,) = answer["mutatedEntities"]["CREATE"]
        assert (await rest.attributes(header["guid"]))["rev"] == 1

    tell(story)


def test_a_bulk_is_written_whole_or_not_at_all(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("there", rev=1))
        bad = rest.entity("bad")
        del bad["attributes"]["name"]
        response = await rest.client.post(
            "/api/atlas/v2/entity/bulk", json={"entities": [rest.entity("new"), rest.entity("there", rev=2), bad]}
        )
        assert response.status_code in {400, 404}
        assert response.json()["errorCode"].startswith("ATLAS-4")
        assert (await rest.attributes(guid))["rev"] == 1
        assert await rest.find(None) == ["there"]

    tell(story)


def test_the_mandatory_name_is_needed_for_an_update_as_well(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        await rest.saved(rest.entity("a", rev=1))
        nameless = rest.entity("a", rev=2)
        del nameless["attributes"]["name"]
        response = await rest.client.post("/api/atlas/v2/entity/bulk", json={"entities": [nameless]})
        assert response.status_code in {400, 404}
        assert "name" in response.json()["errorMessage"]

    tell(story)


@pytest.mark.parametrize(
    "attributes", [{"due": "soon"}, {"rev": "1.5x"}, {"is_good": 7}, {"at": "yesterday"}, {"rev": 2**40}]
)
def test_a_value_of_the_wrong_type_is_refused(tell: Tell, attributes: dict[str, Any]) -> None:
    async def story(rest: Any) -> None:
        response = await rest.client.post(
            "/api/atlas/v2/entity/bulk", json={"entities": [rest.entity("a", **attributes)]}
        )
        assert response.status_code in {400, 404}
        assert next(iter(attributes)) in response.json()["errorMessage"]

    tell(story)


def test_an_unknown_type_is_refused(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        wrong = {**rest.entity("a"), "typeName": "BlocklineNoSuchType"}
        answer = await rest.save(wrong, status=400)
        assert answer["errorCode"] == "ATLAS-400-00-014"

    tell(story)


def test_an_attribute_that_the_type_has_not_is_ignored(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("a", rev=1, nobodyKnowsThis="x"))
        assert "nobodyKnowsThis" not in await rest.attributes(guid)

    tell(story)


def test_all_kinds_of_values_come_back(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        values = {
            "rev": -3, "due": 2**53, "at": 1795440642654, "status": "x", "note": 'ä"\n\\', "is_good": True,
            "parts": ["b", "a"],
        }  # fmt: skip
        guid = await rest.saved(rest.entity("a", **values))
        assert values.items() <= (await rest.attributes(guid)).items()

    tell(story)


def test_single_attributes_are_changed_by_name(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("a", rev=1, note="x"))
        path = f"entity/uniqueAttribute/type/BlocklineContract?attr:qualifiedName={rest.prefix}a"
        body = {"entity": {"typeName": "BlocklineContract", "attributes": {"rev": 5}}}
        answer = await rest.call("PUT", path, json=body)
        assert [each["guid"] for each in answer["mutatedEntities"]["PARTIAL_UPDATE"]] == [guid]
        attributes = await rest.attributes(guid)
        assert (attributes["rev"], attributes["note"], attributes["name"]) == (5, "x", "a")

    tell(story)


def test_one_attribute_is_changed_by_guid(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("a", rev=1))
        answer = await rest.call("PUT", f"entity/guid/{guid}?name=status", json="WAITING")
        assert [each["guid"] for each in answer["mutatedEntities"]["PARTIAL_UPDATE"]] == [guid]
        assert (await rest.attributes(guid))["status"] == "WAITING"
        answer = await rest.call("PUT", f"entity/guid/{guid}?name=nothing", json="x", status=400)
        assert answer["errorCode"].startswith("ATLAS-400")

    tell(story)


def test_a_deleted_entity_is_kept_and_its_name_is_free(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("a", rev=1))
        answer = await rest.call("DELETE", "entity/bulk", params={"guid": [guid]})
        assert [each["guid"] for each in answer["mutatedEntities"]["DELETE"]] == [guid]
        assert (await rest.call("GET", f"entity/guid/{guid}"))["entity"]["status"] == "DELETED"
        named = {"attr:qualifiedName": rest.prefix + "a"}
        await rest.call("GET", "entity/uniqueAttribute/type/BlocklineContract", params=named, status=404)
        assert await rest.find(None) == []
        again = await rest.saved(rest.entity("a", rev=2))
        assert again != guid
        assert not (await rest.call("DELETE", f"entity/guid/{guid}")).get("mutatedEntities")

    tell(story)


def test_deleting_what_is_not_there_is_no_error(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved(rest.entity("a"))
        unknown = "00000000-0000-4000-8000-000000000000"
        answer = await rest.call("DELETE", "entity/bulk", params={"guid": [unknown, guid]})
        assert [each["guid"] for each in answer["mutatedEntities"]["DELETE"]] == [guid]
        for name in ("a", "never"):
            named = {"attr:qualifiedName": rest.prefix + name}
            answer = await rest.call("DELETE", "entity/uniqueAttribute/type/BlocklineContract", params=named)
            assert not answer.get("mutatedEntities")

    tell(story)


def test_classifications_come_with_a_new_entity_only(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        tagged = {**rest.entity("a", rev=1), "classifications": [{"typeName": "BlocklineContractTag"}]}
        guid = await rest.saved(tagged)
        entity = (await rest.call("GET", f"entity/guid/{guid}"))["entity"]
        assert [each["typeName"] for each in entity["classifications"]] == ["BlocklineContractTag"]
        await rest.saved({**rest.entity("a", rev=2), "classifications": []})
        entity = (await rest.call("GET", f"entity/guid/{guid}"))["entity"]
        assert [each["typeName"] for each in entity["classifications"]] == ["BlocklineContractTag"]

    tell(story)


def test_who_wrote_is_the_one_who_signed_in(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        guid = await rest.saved({**rest.entity("a"), "createdBy": "somebody", "updatedBy": "somebody"})
        entity = (await rest.call("GET", f"entity/guid/{guid}"))["entity"]
        assert (entity["createdBy"], entity["updatedBy"]) == (rest.user, rest.user)
        assert entity["createTime"] <= entity["updateTime"]

    tell(story)


def test_who_does_not_sign_in_is_refused(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        for auth in (("admin", "wrong"), ("nobody-here", "x")):
            rest.client.cookies.clear()  # a session that is signed in wins over a wrong password
            response = await rest.client.get("/api/atlas/v2/types/typedefs", auth=auth)
            assert response.status_code == httpx.codes.UNAUTHORIZED

    tell(story)
