from typing import Any

import pytest

from pipeline.store import types
from pipeline.store.port import Query
from tests.unit.api.world import World, each, play, published, spec


def test_a_draft_is_stored_read_changed_and_deleted() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            made = await otto.post("/workflows", json={"name": "a b/c", "spec": spec(), "labels": {"team": "x"}})
            assert made.status_code == 201
            body = made.json()
            assert (body["status"], body["version"], body["owner"]) == ("DRAFT", 0, "otto")
            assert body["qualified_name"] == "blockline/workflows/a%20b%2Fc"
            path = f"/workflows/{body['guid']}"
            read = await otto.get(path)
            assert read.headers["etag"] == made.headers["etag"]
            assert read.json()["spec"]["dag"]["entrypoint"] == "only"
            etag = read.headers["etag"]
            changed = await otto.put(path, json={"spec": spec("x", "y")}, headers={"If-Match": etag})
            assert changed.status_code == 200
            assert changed.headers["etag"] != etag
            late = await otto.put(path, json={"spec": spec("z")}, headers={"If-Match": etag})
            assert late.status_code == 412
            assert late.json()["type"] == "urn:blockline:problem:precondition-failed"
            assert (await otto.put(path, json={"spec": spec("z")})).status_code == 428
            assert (await otto.delete(path)).status_code == 204
            assert (await otto.get(path)).status_code == 404
            assert (await otto.post("/workflows", json={"name": "a b/c", "spec": spec()})).status_code == 201

    play(story)


def test_a_name_is_taken_once_and_never_changes() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto", "olga") as [otto, olga]:
            made = await otto.post("/workflows", json={"name": "w", "spec": spec()})
            assert (await olga.post("/workflows", json={"name": "w", "spec": spec()})).status_code == 409
            headers = {"If-Match": made.headers["etag"]}
            path = f"/workflows/{made.json()['guid']}"
            renamed = await otto.put(path, json={"name": "v", "spec": spec()}, headers=headers)
            assert renamed.status_code == 400
            assert renamed.json()["errors"][0]["pointer"] == "/name"

    play(story)


def test_only_the_owner_and_administrators_change_a_workflow() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto", "olga", "ada", "rosa") as [otto, olga, ada, rosa]:
            made = await otto.post("/workflows", json={"name": "w", "spec": spec()})
            path = f"/workflows/{made.json()['guid']}"
            headers = {"If-Match": made.headers["etag"]}
            assert (await olga.get(path)).status_code == 200
            assert (await olga.put(path, json={"spec": spec("x")}, headers=headers)).status_code == 403
            assert (await olga.post(f"{path}/publish")).status_code == 403
            assert (await rosa.get(path)).status_code == 404
            assert (await rosa.post("/workflows", json={"name": "v", "spec": spec()})).status_code == 403
            assert (await ada.post(f"{path}/publish")).status_code == 200
            assert (await rosa.get(path)).status_code == 200
            shown = (await ada.get(path)).json()
            assert (shown["owner"], shown["status"], shown["version"]) == ("otto", "PUBLISHED", 1)

    play(story)


def test_publishing_makes_immutable_versions_and_says_when_nothing_changed() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            guid = await published(otto, "w")
            again = (await otto.post(f"/workflows/{guid}/publish")).json()
            assert (again["version"], again["unchanged"]) == (1, True)
            etag = (await otto.get(f"/workflows/{guid}")).headers["etag"]
            await otto.put(f"/workflows/{guid}", json={"spec": spec("x", "y")}, headers={"If-Match": etag})
            assert (await otto.get(f"/workflows/{guid}")).json()["has_unpublished_changes"]
            second = (await otto.post(f"/workflows/{guid}/publish")).json()
            assert (second["version"], second["unchanged"], second["status"]) == (2, False, "PUBLISHED")
            listed = (await otto.get(f"/workflows/{guid}/versions")).json()["items"]
            assert [item["version"] for item in listed] == [2, 1]
            assert len({item["digest"] for item in listed}) == 2
            first = (await otto.get(f"/workflows/{listed[1]['guid']}")).json()
            assert len(first["spec"]["dag"]["tasks"]) == 1
            headers = {"If-Match": "*"}
            refused = await otto.put(f"/workflows/{first['guid']}", json={"spec": spec()}, headers=headers)
            assert refused.status_code == 409

    play(story)


def test_a_disabled_workflow_starts_nothing_until_it_is_published_again() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            guid = await published(otto, "w")
            disabled = await otto.post(f"/workflows/{guid}/disable")
            assert (disabled.json()["status"], disabled.json()["version"]) == ("DISABLED", 1)
            for body in ({"workflow": "w"}, {"workflow": guid, "version": 1}):
                refused = await otto.post("/runs", json=body)
                assert refused.status_code == 409
                assert "disabled" in refused.json()["detail"]
            assert (await otto.post(f"/workflows/{guid}/publish")).json()["version"] == 2
            assert (await otto.post("/runs", json={"workflow": "w"})).status_code == 201

    play(story)


def test_a_draft_that_was_never_published_cant_be_disabled_or_started() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            guid = (await otto.post("/workflows", json={"name": "w", "spec": spec()})).json()["guid"]
            assert (await otto.post(f"/workflows/{guid}/disable")).status_code == 409
            assert (await otto.post("/runs", json={"workflow": "w"})).status_code == 409

    play(story)


BAD: dict[str, Any] = {"dag": {"entrypoint": "a", "tasks": [{"name": "a", "type": "X"}, {"name": "b", "type": "Y"}]}}


def test_a_bad_spec_is_refused_everywhere_with_the_same_findings_and_nothing_is_stored() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            said = (await otto.post("/workflows/validate", json={"spec": BAD})).json()
            assert (said["valid"], len(said["errors"])) == (False, 2)
            assert said["errors"][0]["pointer"] == "/dag/tasks/0/type"
            made = await otto.post("/workflows", json={"name": "w", "spec": BAD})
            assert (made.status_code, made.json()["errors"]) == (400, said["errors"])
            assert made.headers["content-type"] == "application/problem+json"
            started = await otto.post("/runs", json={"spec": BAD})
            assert (started.status_code, started.json()["errors"]) == (400, said["errors"])
            assert (await otto.get("/workflows")).json()["items"] == []
            assert (await otto.get("/runs")).json()["items"] == []
            good = await otto.post("/workflows", json={"name": "w", "spec": spec()})
            headers = {"If-Match": good.headers["etag"]}
            put = await otto.put(f"/workflows/{good.json()['guid']}", json={"spec": BAD}, headers=headers)
            assert (put.status_code, put.json()["errors"]) == (400, said["errors"])

    play(story)


def test_an_unfinished_draft_is_kept_and_not_published() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            made = await otto.post("/workflows", json={"name": "w", "spec": BAD, "incomplete": True})
            assert made.status_code == 201
            assert made.json()["incomplete"]
            refused = await otto.post(f"/workflows/{made.json()['guid']}/publish")
            assert refused.status_code == 400
            assert len(refused.json()["errors"]) == 2
            stored = await world.store.find(Query(types.WORKFLOW, attributes=(types.WORKFLOW_VERSION,)))
            assert [entity.attributes[types.WORKFLOW_VERSION] for entity in stored] == [0]

    play(story)


def test_validate_says_what_is_wrong_with_a_text_that_isnt_json() -> None:
    async def story(world: World) -> None:
        async with each(world, "rosa") as [rosa]:
            said = await rosa.post("/workflows/validate", content=b'{"spec": {')
            assert said.status_code == 200
            assert said.json()["errors"][0]["code"] == "Json.Malformed"
            good = (await rosa.post("/workflows/validate", json={"spec": spec()})).json()
            assert (good["valid"], good["errors"], len(good["warnings"])) == (True, [], 1)

    play(story)


def test_lists_are_paged_filtered_and_shown_to_requesters_when_published() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto", "rosa") as [otto, rosa]:
            for name in ("one", "two", "three"):
                await published(otto, name)
            await otto.post("/workflows", json={"name": "draft", "spec": spec()})
            first = (await otto.get("/workflows", params={"limit": 3})).json()
            rest = (await otto.get("/workflows", params={"limit": 3, "cursor": first["next_cursor"]})).json()
            names = [item["name"] for item in first["items"] + rest["items"]]
            assert names == ["draft", "one", "three", "two"]
            assert rest["next_cursor"] is None
            assert first["items"][1]["version"] == 1
            seen = (await rosa.get("/workflows")).json()["items"]
            assert [item["name"] for item in seen] == ["one", "three", "two"]
            found = (await otto.get("/workflows", params={"q": "w"})).json()["items"]
            assert [item["name"] for item in found] == ["two"]
            drafts = (await otto.get("/workflows", params={"status": "DRAFT"})).json()["items"]
            assert [item["name"] for item in drafts] == ["draft"]

    play(story)


@pytest.mark.parametrize("cursor", ["x", "e30", "eyJvZmZzZXQiOi0xfQ", "eyJvZmZzZXQiOiIxIn0"])
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            refused = await otto.get("/workflows", params={"cursor": cursor})
            assert refused.status_code == 400
            assert refused.json()["errors"][0]["pointer"] == "/cursor"

    play(story)


def test_a_rule_that_counts_people_isnt_published_over_a_group_that_nobody_can_count() -> None:
    def asking(rule: str, group: str) -> dict[str, Any]:
        arguments = [{"approvers": {"groups": ["stewards", group]}}, {"rule": rule}]
        tasks = [{"name": "first", "type": "PASS"}, {"name": "ask", "type": "APPROVAL", "arguments": arguments}]
        return {"dag": {"entrypoint": "first", "tasks": tasks}}

    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            for rule, group, status in (
                ("ALL", "everyone", 400),
                ("PERCENT", "everyone", 400),
                ("ANY", "everyone", 200),
                ("ALL", "users", 200),
                ("ALL", "{{ run.input.group }}", 200),
            ):
                body = {"name": f"{rule} {group}", "spec": asking(rule, group)}
                stored = (await otto.post("/workflows", json=body)).json()
                answer = await otto.post(f"/workflows/{stored['guid']}/publish")
                assert answer.status_code == status, (rule, group)
                if status == 400:
                    [error] = answer.json()["errors"]
                    assert error["pointer"] == "/dag/tasks/1/arguments"
                    assert "everyone" in error["detail"]

    play(story)
