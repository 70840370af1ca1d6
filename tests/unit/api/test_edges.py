import base64
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from api.app import ROUTES
from api.bodies import BODY_BYTES_MAX
from pipeline.messages.envelopes import EntityWrite
from pipeline.messages.seal import Sealed
from pipeline.messages.tagged import dead_letter
from pipeline.store import types
from pipeline.store.mapping import dead_letter_write
from pipeline.store.port import StoreRefusedError, StoreUnavailableError, StoreUnknownError
from tests.unit.api.world import PASSWORD, World, each, play, published, spec

PROBLEM = "application/problem+json"


def check_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:blockline:problem:")
    assert body["title"]
    assert body["detail"].endswith((".", "?"))
    assert body["instance"].startswith("/")
    return body


def test_nobody_gets_in_without_signing_in() -> None:
    async def story(world: World) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://test") as client:
            for path in ("/api/v1/me", "/api/v1/runs", "/outbox"):
                answer = await client.get(path)
                check_problem(answer, 401)
                assert answer.headers["www-authenticate"].startswith("Basic")
            for header in ("Basic", "Basic !!", "Digest x", "Bearer no", f"Basic {'x' * 5000}", "Basic YQ=="):
                check_problem(await client.get("/api/v1/me", headers={"Authorization": header}), 401)

    play(story)


def test_guessing_is_slowed_down_for_that_name_alone() -> None:
    async def story(world: World) -> None:
        async with world.client("rosa", "wrong") as guesser, each(world, "sam", "rosa") as [sam, rosa]:
            for _ in range(10):
                check_problem(await guesser.get("/me"), 401)
            asked = world.users.asked
            refused = await guesser.get("/me")
            check_problem(refused, 429)
            assert 1 <= int(refused.headers["retry-after"]) <= 61
            check_problem(await rosa.get("/me"), 429)
            assert world.users.asked == asked
            assert (await sam.get("/me")).status_code == 200
            world.clock.ms += 61_000
            assert (await rosa.get("/me")).status_code == 200

    play(story)


def test_others_guesses_dont_lock_out_whom_signed_in_lately() -> None:
    async def story(world: World) -> None:
        async with world.client("rosa", "wrong") as guesser, each(world, "rosa") as [rosa]:
            assert (await rosa.get("/me")).status_code == 200
            for status in [401] * 10 + [429] * 2:
                check_problem(await guesser.get("/me"), status)
            assert (await rosa.get("/me")).status_code == 200

    play(story)


def test_wrong_tokens_lock_nobody_out() -> None:
    async def story(world: World) -> None:
        async with each(world, "rosa") as [rosa]:
            right = {"Authorization": f"Bearer {(await rosa.post('/me/tokens', json={'name': 't'})).json()['token']}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://test/api/v1") as client:
            for n in range(12):
                check_problem(await client.get("/me", headers={"Authorization": f"Bearer wrong-{n}"}), 401)
            assert (await client.get("/me", headers=right)).status_code == 200

    play(story)


def test_a_right_password_is_remembered_until_users_change() -> None:
    async def story(world: World) -> None:
        async with each(world, "rosa", "ada") as [rosa, ada]:
            await rosa.get("/me")
            await rosa.get("/me")
            assert world.users.asked == 1
            changed = await ada.put("/users/rosa", json={"password": "another-horse"})
            assert changed.status_code == 200
            check_problem(await rosa.get("/me"), 401)
        async with world.client("rosa", "another-horse") as anew:
            assert (await anew.get("/me")).status_code == 200

    play(story)


def test_a_personal_token_is_shown_once_and_revoked() -> None:
    async def story(world: World) -> None:
        async with each(world, "rosa") as [rosa]:
            made = await rosa.post("/me/tokens", json={"name": "pyatlan"})
            assert made.status_code == 201
            headers = {"Authorization": f"Bearer {made.json()['token']}"}
            async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://test") as client:
                me = (await client.get("/api/v1/me", headers=headers)).json()
                assert (me["name"], me["roles"]) == ("rosa", ["requester"])
                assert (await rosa.delete("/me/tokens/pyatlan")).status_code == 204
                check_problem(await client.get("/api/v1/me", headers=headers), 401)
            check_problem(await rosa.delete("/me/tokens/pyatlan"), 404)

    play(story)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "Json.Malformed"),
        (b'{"name": NaN}', 400, "Json.Malformed"),
        (b"\xff\xfe", 400, "Json.Malformed"),
        (b'{"name": "\\ud800"}', 400, "Json.Malformed"),
        (b"[]", 400, "Request.Invalid"),
        (b'"x"', 400, "Request.Invalid"),
        (b"", 400, "Request.Missing"),
        (b'{"name": "x", "spec": {}, "lables": {}}', 400, "Request.UnknownKey"),
        (b'{"name": "", "spec": {}}', 400, "Request.Invalid"),
        (b'{"name": "a\\u0000b", "spec": {}}', 400, "Request.Invalid"),
        (b'{"name": "x", "spec": ' + b"[" * 70 + b"]" * 70 + b"}", 400, "Json.TooDeep"),
        (b"[" * 100_000, 400, "Json.Malformed"),
        (b" " * (BODY_BYTES_MAX + 1), 413, None),
    ],
)
def test_a_bad_body_is_refused_with_its_reason(content: bytes, status: int, code: str | None) -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            body = check_problem(await otto.post("/workflows", content=content), status)
            if code is not None:
                assert body["errors"][0]["code"] == code

    play(story)


@pytest.mark.parametrize("padding", [0, 100_000])
def test_a_key_given_twice_is_refused_with_its_place(padding: int) -> None:
    async def story(world: World) -> None:
        text = b'{"name": "x", "spec": {"arguments": {"recipient": "sam", "recipient": "rosa"}}}' + b" " * padding
        async with each(world, "otto") as [otto]:
            found = []
            for method, path in (("POST", "/workflows"), ("PUT", "/workflows/g"), ("POST", "/runs")):
                body = check_problem(await otto.request(method, path, content=text), 400)
                found.append(body["errors"])
            said = (await otto.post("/workflows/validate", content=text)).json()
            assert not said["valid"]
            assert [*found, said["errors"]] == 4 * [
                [
                    {
                        "pointer": "/spec/arguments/recipient",
                        "code": "Json.DuplicateKey",
                        "detail": "The key `recipient` is given twice.",
                    }
                ]
            ]
            assert (await otto.get("/workflows")).json()["items"] == []

    play(story)


def test_a_body_without_a_length_is_capped_too() -> None:
    async def story(world: World) -> None:
        async def endless() -> Any:
            while True:
                yield b" " * 65_536

        async with each(world, "otto") as [otto]:
            check_problem(await otto.post("/workflows", content=endless()), 413)

    play(story)


@pytest.mark.parametrize("path", ["/workflows", "/tasks", "/dead-letters", "/users"])
@pytest.mark.parametrize("offset", [-1, 2**31, 2**63, 10**30])
def test_an_offset_that_no_list_gives_is_refused(path: str, offset: int) -> None:
    async def story(world: World) -> None:
        async with each(world, "ada") as [ada]:
            text = base64.urlsafe_b64encode(f'{{"offset":{offset}}}'.encode()).decode()
            check_problem(await ada.get(path, params={"cursor": text}), 400)

    play(story)


@pytest.mark.parametrize("at", [-1, 2**53, 2**63, 10**30])
def test_an_instant_that_no_list_gives_is_refused(at: int) -> None:
    async def story(world: World) -> None:
        async with each(world, "ada") as [ada]:
            text = base64.urlsafe_b64encode(f'{{"at":{at},"guid":"g"}}'.encode()).decode()
            check_problem(await ada.get("/runs", params={"cursor": text}), 400)

    play(story)


def test_an_unknown_key_names_the_nearest() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            body = {"name": "x", "spec": spec(), "lables": {}}
            error = check_problem(await otto.post("/workflows", json=body), 400)["errors"][0]
            assert (error["pointer"], error["detail"]) == (
                "/lables",
                "`lables` isn't known here. Did you mean `labels`?",
            )

    play(story)


def test_the_framework_speaks_the_same_language() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            check_problem(await otto.get("/nothing"), 404)
            refused = await otto.patch("/workflows")
            check_problem(refused, 405)
            assert {"GET", "POST"} <= set(refused.headers["allow"].replace(" ", "").split(","))
            check_problem(await otto.get("/runs", params={"limit": "many"}), 400)
            check_problem(await otto.get("/runs", params={"color": "red"}), 400)
            check_problem(await otto.get("/workflows/none"), 404)

    play(story)


@pytest.mark.parametrize("route", [route for route in ROUTES if 501 in route.answers], ids=lambda route: route.path)
def test_what_isnt_there_yet_says_so(route: Any) -> None:
    async def story(world: World) -> None:
        path = (
            route.path.replace("{guid}", "g").replace("{name:path}", "a%2Fb").replace("{id}", "i")
            .replace("{token}", "t").replace("{workflow}", "w")
        )  # fmt: skip
        async with each(world, "ada") as [ada]:
            body = check_problem(await ada.request(route.method, path, content=b"{"), 501)
            assert "isn't available in this version" in body["detail"]

    play(story)


class BrokenStore:
    """Fails in the way it is told to."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: Any) -> Any:
            raise self.error

        return fail


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreUnavailableError("away"), 503),
        (StoreUnknownError("lost"), 503),
        (StoreRefusedError("secret-of-the-store"), 500),
        (RuntimeError("secret-of-ours"), 500),
    ],
)
def test_nothing_of_the_inside_leaves(error: Exception, status: int) -> None:
    async def story(world: World) -> None:
        object.__setattr__(world.services, "store", BrokenStore(error))
        async with each(world, "otto") as [otto]:
            body = check_problem(await otto.get("/workflows"), status)
            assert "secret" not in str(body)
            assert "Traceback" not in str(body)

    play(story)


def test_users_are_the_administrators_business() -> None:
    async def story(world: World) -> None:
        async with each(world, "ada", "otto") as [ada, otto]:
            check_problem(await otto.get("/users"), 403)
            new = {"name": "new", "password": "long-enough", "email": "new@example.org", "groups": ["stewards"]}
            made = await ada.post("/users", json={**new, "roles": ["author"]})
            assert (made.status_code, made.json()["roles"]) == (201, ["author"])
            assert "password" not in made.json()
            check_problem(await ada.post("/users", json=new), 409)
            for wrong in ({"name": "a b"}, {"password": "short"}, {"email": "x"}, {"roles": ["king"]}, {"name": None}):
                check_problem(await ada.post("/users", json={**new, "name": "other", **wrong}), 400)
            changed = (await ada.put("/users/new", json={"groups": []})).json()
            assert (changed["groups"], changed["email"], changed["roles"]) == ([], "new@example.org", ["author"])
            check_problem(await ada.put("/users/new", json={"name": "old"}), 400)
            assert (await ada.delete("/users/new")).status_code == 204
            check_problem(await ada.get("/users/new"), 404)
            check_problem(await ada.delete("/users/ada"), 409)
            check_problem(await ada.put("/users/ada", json={"roles": ["author"]}), 409)
            listed = (await ada.get("/users", params={"limit": 2})).json()
            assert [user["name"] for user in listed["items"]] == ["ada", "nobody"]
            assert listed["next_cursor"]

    play(story)


def test_names_to_choose_from() -> None:
    async def story(world: World) -> None:
        async with each(world, "rosa") as [rosa]:
            people = (await rosa.get("/directory", params={"q": "o"})).json()["items"]
            assert [entry["name"] for entry in people] == ["nobody", "olga", "otto", "rosa"]
            groups = (await rosa.get("/directory", params={"kind": "group", "q": "ste"})).json()["items"]
            assert groups == [{"kind": "group", "name": "stewards"}]

    play(story)


def test_somebody_without_a_role_may_ask_who_they_are_and_no_more() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto", "nobody") as [otto, nobody]:
            await published(otto)
            assert (await nobody.get("/me")).json()["roles"] == []
            check_problem(await nobody.post("/runs", json={"workflow": "five"}), 403)
            assert (await nobody.get("/tasks")).json() == {"items": [], "next_cursor": None}

    play(story)


def test_dead_letters_are_for_administrators() -> None:
    async def story(world: World) -> None:
        write = EntityWrite(
            type_name=types.DEAD_LETTER,
            qualified_name="blockline/dead-letters/abc",
            attributes={
                "name": "abc",
                types.DEAD_LETTER_REASON: "not JSON",
                types.DEAD_LETTER_VERTEX: "cdc",
                types.DEAD_LETTER_PAYLOAD: base64.b64encode(b"garbage").decode(),
                types.DEAD_LETTER_BYTES: 7,
                types.DEAD_LETTER_AT: 5,
            },
        )
        await world.store.upsert([write])
        async with each(world, "ada", "otto") as [ada, otto]:
            check_problem(await otto.get("/dead-letters"), 403)
            [listed] = (await ada.get("/dead-letters", params={"vertex": "cdc"})).json()["items"]
            assert (listed["id"], listed["reason"], listed["bytes"]) == ("abc", "not JSON", 7)
            shown = (await ada.get("/dead-letters/abc")).json()
            assert shown["text"] == "garbage"
            assert (await ada.get("/dead-letters", params={"vertex": "x"})).json()["items"] == []
            check_problem(await ada.get("/dead-letters/none"), 404)

    play(story)


def test_a_dead_letter_is_sent_again_by_a_signed_request_and_only_whole() -> None:
    async def story(world: World) -> None:
        def letter(name: str, payload: bytes, whole: bytes) -> EntityWrite:
            kept = dead_letter(whole, reason="no", vertex="cdc", at=5)
            attributes = dead_letter_write(kept).attributes
            kept_bytes = {types.DEAD_LETTER_PAYLOAD: base64.b64encode(payload).decode()}
            return EntityWrite(
                type_name=types.DEAD_LETTER,
                qualified_name=f"blockline/dead-letters/{name}",
                attributes={**attributes, **kept_bytes},
            )

        await world.store.upsert([letter("a", b"{}", b"{}"), letter("cut", b"{", b"{}"), letter("lost", b"", b"{}")])
        async with each(world, "ada", "otto") as [ada, otto]:
            check_problem(await otto.post("/dead-letters/a/replay"), 403)
            check_problem(await ada.post("/dead-letters/none/replay"), 404)
            for name in ("cut", "lost"):
                check_problem(await ada.post(f"/dead-letters/{name}/replay"), 409)
            answer = await ada.post("/dead-letters/a/replay")
            first = answer.json()["replay"]
            assert (answer.status_code, first["status"], first["by"]) == (202, "ASKED", "ada")
            world.clock.ms += 1_000
            assert (await ada.post("/dead-letters/a/replay")).json()["replay"] == first
        entity = await world.store.get_by_name(types.DEAD_LETTER, "blockline/dead-letters/a")
        assert entity is not None
        request = world.services.seal.open(
            Sealed.REPLAY, entity.qualified_name, entity.attributes[types.DEAD_LETTER_REPLAY]
        )
        assert (request["by"], request["sha256"]) == ("ada", entity.attributes[types.DEAD_LETTER_SHA256])

    play(story)


def test_blocks_are_shown_to_everybody() -> None:
    async def story(world: World) -> None:
        async with each(world, "nobody") as [nobody]:
            assert [block["type"] for block in (await nobody.get("/blocks")).json()["items"]] == ["APPROVAL", "PASS"]
            assert (await nobody.get("/blocks/PASS")).json()["title"] == "PASS"
            check_problem(await nobody.get("/blocks/HTTP"), 404)

    play(story)


def test_health_metrics_and_pages() -> None:
    async def story(world: World) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://test") as client:
            assert (await client.get("/healthz")).json() == {"status": "ok"}
            assert (await client.get("/readyz")).status_code == 200
            world.is_ready = False
            assert (await client.get("/readyz")).status_code == 503
            assert "blockline_api_requests_total" in (await client.get("/metrics")).text
            check_problem(await client.get("/schema/workflow.json"), 501)
            root = await client.get("/")
            assert "/outbox" in root.text
            docs = await client.get("/docs")
            assert "/api/v1/runs/{guid}/events" in docs.text
            assert "http://" not in docs.text.replace("http://test", "")
            assert "script-src 'sha256-" in docs.headers["content-security-policy"]
            outbox = await client.get("/outbox", auth=("ada", PASSWORD))
            assert "&lt;script&gt;" in outbox.text
            assert "<script>" not in outbox.text
            check_problem(await client.get("/outbox", auth=("otto", PASSWORD)), 403)

    play(story)


def test_with_a_mail_server_there_is_no_outbox() -> None:
    async def story(world: World) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://test") as client:
            assert "/outbox" not in (await client.get("/")).text
            check_problem(await client.get("/outbox", auth=("ada", PASSWORD)), 404)

    play(story, World(has_mail_server=True))


def test_the_description_has_every_route_and_holds_for_real_answers() -> None:
    async def story(world: World) -> None:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(world.app), base_url="http://test", auth=("ada", PASSWORD)
        ) as client:
            page = (await client.get("/openapi.json")).json()
            assert page["openapi"] == "3.1.0"
            assert sum(len(methods) for methods in page["paths"].values()) == len(ROUTES)
            ids = [operation["operationId"] for methods in page["paths"].values() for operation in methods.values()]
            assert len(ids) == len(set(ids))
            guid = await published_by(client)
            run = (await client.post("/api/v1/runs", json={"workflow": "five"})).json()["guid"]
            command = (await client.post(f"/api/v1/runs/{run}/withdraw")).json()["id"]
            for path, filled in {
                "/blocks": "/blocks",
                "/blocks/{type}": "/blocks/PASS",
                "/workflows": "/workflows",
                "/workflows/{guid}": f"/workflows/{guid}",
                "/workflows/{guid}/versions": f"/workflows/{guid}/versions",
                "/runs": "/runs",
                "/runs/{guid}": f"/runs/{run}",
                "/runs/{guid}/audit": f"/runs/{run}/audit",
                "/runs/{guid}/commands": f"/runs/{run}/commands",
                "/runs/{guid}/commands/{id}": f"/runs/{run}/commands/{command}",
                "/tasks": "/tasks",
                "/dead-letters": "/dead-letters",
                "/directory": "/directory",
                "/me": "/me",
                "/users": "/users",
                "/users/{name}": "/users/rosa",
            }.items():
                answer = await client.get(f"/api/v1{filled}")
                assert answer.status_code == 200, filled
                responses = page["paths"][f"/api/v1{path}"]["get"]["responses"]
                schema = responses["200"]["content"]["application/json"]["schema"]
                Draft202012Validator({**schema, "components": page["components"]}).validate(answer.json())

    play(story)


async def published_by(client: httpx.AsyncClient) -> str:
    stored = await client.post("/api/v1/workflows", json={"name": "five", "spec": spec()})
    guid: str = stored.json()["guid"]
    await client.post(f"/api/v1/workflows/{guid}/publish")
    return guid
