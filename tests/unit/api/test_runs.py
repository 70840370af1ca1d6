import asyncio
from typing import Any

import httpx

from api.run_documents import known
from pipeline.core.statuses import CommandStatus
from pipeline.machine.document import from_document, to_document
from pipeline.messages.envelopes import EntityWrite
from pipeline.messages.seal import Sealed
from pipeline.store import types
from tests.unit.api.world import T0, World, each, play, published, spec


async def write_end(world: World, guid: str, status: str = "SUCCESS", output: Any = 7) -> None:
    """What the shard writes when all tasks have succeeded."""
    entity = (await world.store.get([guid]))[guid]
    run = known(world.services, entity)
    assert run.document is not None
    document = dict(run.document)
    tasks = [{**task, "status": "SUCCESS", "output": output, "ended_at": T0} for task in document["dag"]["tasks"]]
    engine = {**document["engine"], "revision": run.revision + 1, "status": status, "phase": "ENDED", "ended_at": T0}
    body = {**document, "dag": {**document["dag"], "tasks": tasks}, "engine": engine}
    assert to_document(from_document(body, guid))["engine"]["status"] == status
    text = world.seal.seal(Sealed.DOCUMENT, guid, body)
    await world.store.upsert(
        [
            EntityWrite(
                type_name=types.RUN,
                qualified_name=entity.qualified_name,
                attributes={"name": "r", types.RUN_CONFIG: text, types.RUN_STATUS: status, types.RUN_WAKE_AT: 0},
            )
        ]
    )


async def start(client: httpx.AsyncClient, **body: Any) -> str:
    answer = await client.post("/runs", json=body or {"workflow": "five"})
    assert answer.status_code == 201, answer.text
    guid: str = answer.json()["guid"]
    return guid


async def awaited(
    world: World, client: httpx.AsyncClient, *, wait_s: float
) -> tuple[str, asyncio.Task[httpx.Response]]:
    """A run of a workflow just published, and a request that waits for its end and is heard of."""
    await published(client)
    guid = await start(client)
    waiting = asyncio.create_task(client.get(f"/runs/{guid}", params={"wait_s": wait_s}))
    await world.watched()
    return guid, waiting


def test_a_run_starts_from_a_published_workflow_by_name_guid_and_version() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto", "rosa") as [otto, rosa]:
            guid = await published(otto)
            for wanted in ("five", guid):
                answer = await rosa.post("/runs", json={"workflow": wanted, "input": {"a": 1}, "comment": "please"})
                assert answer.status_code == 201
                body = answer.json()
                assert answer.headers["location"] == f"/api/v1/runs/{body['guid']}"
                assert body["workflow"] == {"guid": guid, "name": "five", "version": 1}
                assert (body["status"], body["phase"], body["requester"]) == ("PENDING", "RUNNING", "rosa")
                assert (body["input"], body["comment"], body["revision"]) == ({"a": 1}, "please", 0)
                assert body["created_at"] == "2026-11-23T13:12:35.000Z"
                assert body["dag"]["tasks"][0]["status"] == "RUNNING"
                assert "engine" not in body["dag"]["tasks"][0]
                assert body["actions"] == ["withdraw"]
                assert (await rosa.get(f"/runs/{body['guid']}")).json() == body
            entity = (await world.store.get([body["guid"]]))[body["guid"]]
            assert entity.attributes[types.RUN_WAKE_AT] == T0 + 30_000
            assert types.RUN_STATUS not in entity.attributes
            assert (await rosa.post("/runs", json={"workflow": "five", "version": 2})).status_code == 404
            assert (await rosa.post("/runs", json={"workflow": "other"})).status_code == 404

    play(story)


def test_a_spec_of_ones_own_needs_an_author() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto", "rosa") as [otto, rosa]:
            assert (await rosa.post("/runs", json={"spec": spec()})).status_code == 403
            made = await otto.post("/runs", json={"spec": spec()})
            assert made.status_code == 201
            assert made.json()["workflow"] is None
            assert made.json()["actions"] == ["withdraw", "cancel", "terminate", "pause", "skip"]

    play(story)


def test_a_start_says_what_is_wrong_with_it() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            await published(otto, "needs", spec(required=["owner"]))
            cases: list[tuple[dict[str, Any], str]] = [
                ({}, ""),
                ({"workflow": "needs", "spec": spec()}, ""),
                ({"spec": spec(), "version": 1}, "/version"),
                ({"workflow": "needs"}, "/input/owner"),
                ({"workflow": "needs", "input": {"owner": "x" * 70_000}}, "/input"),
                ({"workflow": "needs", "input": {"owner": 1}, "asset_guid": "none"}, "/asset_guid"),
                ({"workflow": "needs", "inputs": {}}, "/inputs"),
                ({"workflow": 5}, "/workflow"),
            ]
            for body, pointer in cases:
                answer = await otto.post("/runs", json=body)
                assert answer.status_code == 400, body
                assert answer.json()["errors"][0]["pointer"] == pointer
            assert (await otto.get("/runs")).json()["items"] == []

    play(story)


def test_an_asset_is_taken_along_as_it_was() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            attributes = {"name": "orders", "ownerUsers": ["rosa"]}
            write = EntityWrite(type_name="Table", qualified_name="db/orders", attributes=attributes)
            asset = (await world.store.upsert([write]))["db/orders"]
            await published(otto)
            run = (await otto.post("/runs", json={"workflow": "five", "asset_guid": asset})).json()
            wanted = {"guid": asset, "type_name": "Table", "name": "orders", "qualified_name": "db/orders"}
            assert run["asset"] == wanted
            listed = (await otto.get("/runs", params={"asset_guid": asset})).json()["items"]
            assert [item["guid"] for item in listed] == [run["guid"]]

    play(story)


def test_an_idempotency_key_starts_once() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto", "olga") as [otto, olga]:
            await published(otto)
            headers = {"Idempotency-Key": "k1"}
            body = {"workflow": "five", "input": {"n": 1}}
            answers = await asyncio.gather(*(otto.post("/runs", json=body, headers=headers) for _ in range(5)))
            assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
            assert len({answer.json()["guid"] for answer in answers}) == 1
            other = await otto.post("/runs", json={**body, "input": {"n": 2}}, headers=headers)
            assert other.status_code == 422
            hers = await olga.post("/runs", json=body, headers=headers)
            assert hers.status_code == 201
            assert (await otto.post("/runs", json=body, headers={"Idempotency-Key": ""})).status_code == 400

    play(story)


def test_who_sees_a_run_and_what_they_may_do() -> None:
    async def story(world: World) -> None:
        names = ("otto", "olga", "rosa", "sam", "ada")
        async with each(world, *names) as [otto, olga, rosa, sam, ada]:
            await published(otto)
            guid = await start(rosa)
            path = f"/runs/{guid}"
            assert (await rosa.get(path)).json()["actions"] == ["withdraw"]
            assert (await otto.get(path)).json()["actions"] == ["cancel", "terminate", "pause", "skip"]
            assert (await ada.get(path)).json()["actions"] == ["cancel", "terminate", "pause", "skip"]
            for stranger in (olga, sam):
                assert (await stranger.get(path)).status_code == 404
                assert (await stranger.post(f"{path}/cancel", json={})).status_code == 404
            await item(world, guid, "sam")
            assert (await sam.get(path)).json()["actions"] == []
            assert (await sam.post(f"{path}/withdraw")).status_code == 403
            assert (await rosa.post(f"{path}/cancel")).status_code == 403
            assert (await otto.post(f"{path}/withdraw")).status_code == 403
            assert (await rosa.get("/runs/none")).status_code == 404
            for client, count in ((rosa, 1), (otto, 1), (sam, 1), (ada, 1), (olga, 0)):
                assert len((await client.get("/runs")).json()["items"]) == count

    play(story)


async def item(world: World, run: str, recipient: str, **attributes: Any) -> str:
    name = f"{run}/ask/0/0/{recipient}"
    write = EntityWrite(
        type_name=types.ITEM,
        qualified_name=name,
        attributes={
            "name": "ask",
            "description": "May it?",
            types.ITEM_RUN_GUID: run,
            types.ITEM_TASK: "ask",
            types.ITEM_STATUS: "OPEN",
            types.ITEM_RECIPIENT: recipient,
            types.ITEM_REQUESTER: "rosa",
            types.ITEM_OPTIONS: '["APPROVED","REJECTED"]',
            types.ITEM_OPENED_AT: T0,
            types.ITEM_DUE_AT: T0 + 60_000,
            **attributes,
        },
    )
    return (await world.store.upsert([write]))[name]


def test_lists_are_newest_first_paged_and_filtered() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto", "rosa") as [otto, rosa]:
            await published(otto)
            await published(otto, "other")
            guids: list[str] = []
            for index in range(7):
                world.clock.ms += index % 2  # pairs share their millisecond
                guids.append(await start(rosa, workflow="five" if index % 3 else "other"))
            seen: list[str] = []
            cursor: str | None = None
            while True:
                params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
                page = (await rosa.get("/runs", params=params)).json()
                seen += [run["guid"] for run in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert sorted(seen) == sorted(guids)
            assert len(seen) == len(set(seen))
            assert set(seen[-1:]) <= set(guids[:1] + guids[1:2])
            await write_end(world, guids[0])
            ended = (await rosa.get("/runs", params={"status": "SUCCESS"})).json()["items"]
            assert [run["guid"] for run in ended] == [guids[0]]
            alive = (await otto.get("/runs", params={"status": "PENDING"})).json()["items"]
            assert sorted(run["guid"] for run in alive) == sorted(guids[1:])
            others = (await otto.get("/runs", params={"workflow": "other"})).json()["items"]
            assert sorted(run["guid"] for run in others) == sorted(guids[0::3])
            none = (await otto.get("/runs", params={"requester": "olga"})).json()["items"]
            assert none == []
            later = (await otto.get("/runs", params={"since": "2026-11-23T13:12:35.003Z"})).json()["items"]
            assert sorted(run["guid"] for run in later) == sorted(guids[5:])
            assert (await otto.get("/runs", params={"since": "yesterday"})).status_code == 400

    play(story)


def test_waiting_ends_with_the_run() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            guid, waiting = await awaited(world, otto, wait_s=60)
            await write_end(world, guid)
            ended = (await waiting).json()
            assert (ended["status"], ended["output"], ended["phase"], ended["actions"]) == ("SUCCESS", 7, "ENDED", [])
            assert ended["ended_at"] is not None
            assert ended == (await otto.get(f"/runs/{guid}")).json()
            assert world.hub.watchers == 0
            at_once = await otto.get(f"/runs/{guid}", params={"wait_s": 60})
            assert at_once.json()["status"] == "SUCCESS"
            assert (await otto.get(f"/runs/{guid}", params={"wait_s": 61})).status_code == 400

    play(story)


def test_waiting_ends_with_the_time() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            await published(otto)
            guid = await start(otto)
            answer = await otto.get(f"/runs/{guid}", params={"wait_s": 0.01})
            assert answer.json()["status"] == "PENDING"

    play(story)


def test_only_an_end_wakes_a_wait_and_the_time_shows_the_run_as_it_is() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            guid, waiting = await awaited(world, otto, wait_s=0.2)
            await write_end(world, guid, "PENDING")
            answer = (await waiting).json()
            assert (answer["status"], answer["revision"]) == ("PENDING", 1)

    play(story)


def test_a_status_that_nobody_signed_ends_no_wait() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            guid, waiting = await awaited(world, otto, wait_s=0.2)
            entity = (await world.store.get([guid]))[guid]
            forged = {"name": "r", types.RUN_CONFIG: "{}", types.RUN_STATUS: "SUCCESS"}
            write = EntityWrite(type_name=types.RUN, qualified_name=entity.qualified_name, attributes=forged)
            await world.store.upsert([write])
            answer = (await waiting).json()
            assert answer["error"]["name"] == "Engine.Tampered"
            assert answer["output"] is None

    play(story)


def test_after_a_reconnection_waiters_read_again() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            guid, waiting = await awaited(world, otto, wait_s=60)
            world.is_topic_away = True
            await write_end(world, guid)
            world.hub.read_again()
            assert (await waiting).json()["status"] == "SUCCESS"

    play(story)


def test_a_stream_tells_each_revision_and_ends_with_the_run() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            await published(otto)
            guid = await start(otto)
            following = asyncio.create_task(otto.get(f"/runs/{guid}/events"))
            await world.watched()
            await asyncio.sleep(0.01)
            await write_end(world, guid)
            text = (await following).text
            assert [line for line in text.splitlines() if line.startswith(("event", "id"))] == [
                "event: run",
                "id: 0",
                "event: run",
                "id: 1",
            ]
            assert world.hub.watchers == 0
            resumed = await otto.get(f"/runs/{guid}/events", headers={"Last-Event-ID": "0"})
            assert resumed.headers["content-type"].startswith("text/event-stream")
            assert resumed.text.count("event: run") == 1
            over = await otto.get(f"/runs/{guid}/events", headers={"Last-Event-ID": "1"})
            assert over.status_code == 204
            assert (await otto.get(f"/runs/{guid}/events", headers={"Last-Event-ID": "x"})).status_code == 400
            assert (await otto.get("/runs/none/events")).status_code == 404
            assert world.hub.watchers == 0

    play(story)


def test_a_run_whose_texts_were_changed_by_hand_says_so() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            await published(otto)
            guid = await start(otto)
            entity = (await world.store.get([guid]))[guid]
            forged = entity.attributes[types.RUN_REQUEST].replace('"otto"', '"ada"')
            write = EntityWrite(
                type_name=types.RUN,
                qualified_name=entity.qualified_name,
                attributes={"name": "r", types.RUN_REQUEST: forged},
            )
            await world.store.upsert([write])
            shown = (await otto.get(f"/runs/{guid}")).json()
            assert shown["error"]["name"] == "Engine.Tampered"
            assert (shown["dag"], shown["status"], shown["requester"]) == (None, "PENDING", "otto")

    play(story)


def test_a_command_is_answered_by_its_verdict() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto", "rosa") as [otto, rosa]:
            await published(otto)
            guid = await start(rosa)
            done = await rosa.post(f"/runs/{guid}/withdraw", json={"comment": "changed my mind"})
            assert done.status_code == 200
            assert (done.json()["action"], done.json()["status"]) == ("withdraw", "APPLIED")
            listed = (await rosa.get(f"/runs/{guid}/commands")).json()["items"]
            assert [command["id"] for command in listed] == [done.json()["id"]]
            assert listed[0]["comment"] == "changed my mind"
            one = (await rosa.get(f"/runs/{guid}/commands/{listed[0]['id']}")).json()
            assert (one["by"], one["as"], one["status"]) == ("rosa", "requester", "APPLIED")
            assert (await rosa.get(f"/runs/{guid}/commands/none")).status_code == 404
            trail = (await rosa.get(f"/runs/{guid}/audit")).json()["items"]
            assert [entry["source"] for entry in trail] == ["store", "command"]
            world.verdict = (CommandStatus.REFUSED, "The run has ended.")
            refused = await otto.post(f"/runs/{guid}/cancel")
            assert (refused.status_code, refused.json()["detail"]) == (409, "The run has ended.")

    play(story)


def test_a_command_without_a_verdict_in_time_leads_to_a_link() -> None:
    async def story(world: World) -> None:
        world.verdict = None
        async with each(world, "rosa", "otto") as [rosa, otto]:
            await published(otto)
            guid = await start(rosa)
            asked = asyncio.create_task(rosa.post(f"/runs/{guid}/withdraw"))
            await world.watched()
            world.clock.ms += 6_000
            world.hub.read_again()
            answer = await asked
            assert answer.status_code == 202
            where = answer.headers["location"]
            assert where == answer.json()["command"]
            assert (await rosa.get(where.removeprefix("/api/v1"))).json()["status"] == "OPEN"

    play(story)


def test_a_repeated_command_of_one_key_is_the_same_command() -> None:
    async def story(world: World) -> None:
        async with each(world, "rosa", "otto") as [rosa, otto]:
            await published(otto)
            guid = await start(rosa)
            headers = {"Idempotency-Key": "once"}
            first = await rosa.post(f"/runs/{guid}/withdraw", headers=headers)
            await write_end(world, guid, "WITHDRAWN")
            again = await rosa.post(f"/runs/{guid}/withdraw", headers=headers)
            assert (first.status_code, again.status_code) == (200, 200)
            assert first.json()["id"] == again.json()["id"]
            other = await rosa.post(f"/runs/{guid}/withdraw", headers=headers, json={"comment": "x"})
            assert other.status_code == 422
            new = await rosa.post(f"/runs/{guid}/withdraw")
            assert (new.status_code, new.json()["detail"]) == (409, "This run has ended already.")

    play(story)


def test_the_inbox_and_a_decision() -> None:
    async def story(world: World) -> None:
        async with each(world, "rosa", "otto", "sam", "olga") as [rosa, otto, sam, olga]:
            await published(otto)
            guid = await start(rosa)
            task = await item(world, guid, "sam", **{types.ITEM_ASSET: '{"guid":"a","name":"orders"}'})
            inbox = (await sam.get("/tasks")).json()["items"]
            assert [entry["guid"] for entry in inbox] == [task]
            assert (inbox[0]["title"], inbox[0]["run"], inbox[0]["asset"]["name"]) == ("May it?", guid, "orders")
            assert (await olga.get("/tasks")).json()["items"] == []
            assert (await olga.get(f"/tasks/{task}")).status_code == 404
            assert (await rosa.get(f"/tasks/{task}")).status_code == 200
            path = f"/tasks/{task}/decide"
            assert (await olga.post(path, json={"action": "APPROVED"})).status_code == 403
            assert (await sam.post(path, json={"action": "MAYBE"})).json()["errors"][0]["pointer"] == "/action"
            assert (await sam.post(path, json={"action": "REJECTED"})).status_code == 422
            assert (await sam.post(path, json={"action": "APPROVED", "form": {"a": 1}})).status_code == 422
            assert (await sam.post(path, json={})).status_code == 400
            done = await sam.post(path, json={"action": "APPROVED"})
            assert done.status_code == 200
            commands = (await rosa.get(f"/runs/{guid}/commands")).json()["items"]
            assert (commands[0]["action"], commands[0]["task"], commands[0]["by"]) == ("decide", "ask", "sam")

    play(story)


def test_a_question_that_is_settled_or_late_isnt_decided() -> None:
    async def story(world: World) -> None:
        async with each(world, "rosa", "otto", "sam") as [rosa, otto, sam]:
            await published(otto)
            guid = await start(rosa)
            for status, words in (("DECIDED", "already"), ("CLOSED", "settled"), ("EXPIRED", "over")):
                task = await item(world, guid, "sam", **{types.ITEM_STATUS: status})
                refused = await sam.post(f"/tasks/{task}/decide", json={"action": "APPROVED"})
                assert refused.status_code == 409
                assert words in refused.json()["detail"]
            task = await item(world, guid, "sam", **{types.ITEM_STATUS: "OPEN"})
            world.clock.ms = T0 + 60_001
            late = await sam.post(f"/tasks/{task}/decide", json={"action": "APPROVED"})
            assert late.status_code == 409
            assert "over" in late.json()["detail"]

    play(story)
