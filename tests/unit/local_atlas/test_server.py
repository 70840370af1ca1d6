"""The server as people and the engine meet it: rights, events, refusals, and a restart."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from pipeline.directory.port import Person
from pipeline.local.atlas.build import build_atlas
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.users import UserStore
from pipeline.process.clock import SystemClock
from pipeline.store import types

ENGINE = {"authorization": "Bearer engine-token"}


class Server:
    """A server with people; ``as_user`` calls with a personal token, which costs no key derivation."""

    def __init__(self, database: Database, client: httpx.AsyncClient, tokens: dict[str, str]) -> None:
        self.database = database
        self.client = client
        self._tokens = tokens

    def headers(self, name: str) -> dict[str, str]:
        return ENGINE if name == "engine" else {"authorization": f"Bearer {self._tokens[name]}"}

    async def call(self, who: str, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        content = None if body is None else orjson.dumps(body)
        response = await self.client.request(method, path, content=content, headers=self.headers(who))
        assert response.status_code == status, response.text
        return response.json()

    async def save(self, who: str, *entities: dict[str, Any], status: int = 200) -> Any:
        return await self.call(who, "POST", "/api/meta/entity/bulk/", {"entities": entities}, status=status)

    async def events(self) -> list[Any]:
        rows = await self.database.read(
            lambda connection: connection.execute("SELECT payload FROM outbox ORDER BY id").fetchall()
        )
        return [orjson.loads(payload)["message"] for (payload,) in rows]


def tell(path: Path, *stories: Callable[[Server], Awaitable[None]]) -> None:
    """Each story after a restart."""

    async def run(story: Callable[[Server], Awaitable[None]]) -> None:
        database = Database(path / "atlas.sqlite3")
        try:
            users = await UserStore.open(database)
            tokens = {}
            for role in ("requester", "author", "admin"):
                if await users.get(role) is None:
                    await users.add(Person(role, None, (), (role,)), "pw")
                tokens[role] = await users.new_token(role, "test")
            app = await build_atlas(database, users, "engine-token", SystemClock())
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://atlas") as client:
                await story(Server(database, client, tokens))
        finally:
            await database.close()

    for story in stories:
        asyncio.run(run(story))


def entity(type_name: str, name: str, **attributes: Any) -> dict[str, Any]:
    return {"typeName": type_name, "attributes": {"qualifiedName": name, "name": name, **attributes}}


def test_events_carry_what_atlas_tells(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        run = entity(types.RUN, "r", workflowRunConfig="{}", workflowRunWorkflowGuid="w", description="d")
        answer = await server.save("engine", {**run, "guid": "-1"})
        guid = answer["guidAssignments"]["-1"]
        await server.save("engine", entity(types.RUN, "r", workflowRunConfig="{}", workflowRunStatus="PENDING"))
        await server.save("engine", entity(types.RUN, "r", workflowRunWorkflowGuid="v"))
        await server.save("engine", entity(types.RUN, "r", workflowRunStatus="PENDING"))
        partial = {"entity": {"typeName": types.RUN, "attributes": {types.RUN_WAKE_AT: 5, types.RUN_CREATED_BY: "x"}}}
        path = f"/api/atlas/v2/entity/uniqueAttribute/type/{types.RUN}?attr:qualifiedName=r"
        await server.call("engine", "PUT", path, partial)
        await server.call("engine", "PUT", f"/api/atlas/v2/entity/guid/{guid}?name={types.RUN_CREATED_BY}", "y")
        await server.call("engine", "DELETE", f"/api/atlas/v2/entity/guid/{guid}")
        told = [(each["operationType"], each["entity"]["attributes"]) for each in await server.events()]
        names = {"qualifiedName": "r", "name": "r"}
        assert told == [
            ("ENTITY_CREATE", {**names, "workflowRunConfig": "{}", "description": "d"}),
            ("ENTITY_UPDATE", {**names, "workflowRunConfig": "{}", "workflowRunStatus": "PENDING"}),
            ("ENTITY_UPDATE", names),
            ("ENTITY_UPDATE", {types.RUN_WAKE_AT: 5}),
            ("ENTITY_UPDATE", {}),
            ("ENTITY_DELETE", {**names, "description": "d"}),
        ]
        assert {each["entity"]["guid"] for each in await server.events()} == {guid}

    tell(tmp_path, story)


def test_a_refused_write_tells_nothing(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        good = entity("Table", "t")
        await server.save("author", good, {"typeName": "Nobody", "attributes": {}}, status=400)
        await server.save("author", good, entity(types.COMMAND, "c"), status=403)
        assert await server.events() == []

    tell(tmp_path, story)


def test_a_requester_asks_for_a_run_and_a_recipient_decides(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        run = entity(types.RUN, "mine", workflowRunWorkflowGuid="w", workflowRunRequest='{"input": {"a": 1}}')
        answer = await server.save("requester", {**run, "guid": "-1"})
        guid = answer["guidAssignments"]["-1"]
        assert not (await server.save("requester", run)).get("mutatedEntities"), "asking again changes nothing"
        shown = (await server.call("requester", "GET", f"/api/atlas/v2/entity/guid/{guid}"))["entity"]
        assert shown["createdBy"] == "requester"
        await server.save("requester", entity(types.RUN, "mine", workflowRunWorkflowGuid="other"), status=403)
        item = entity(types.ITEM, "i", taskRecipient="requester", workflowTaskStatus="OPEN")
        await server.save("engine", item)
        decision = entity(types.ITEM, "i", taskExecutionAction="APPROVED", taskExecutionComment="fine")
        await server.save("author", decision, status=403)
        await server.save("requester", decision)
        event = (await server.events())[-1]
        assert event["entity"]["attributes"]["taskExecutionAction"] == "APPROVED"
        asked = {"typeName": types.ITEM, "attributes": ["__modifiedBy"]}
        found = await server.call("requester", "POST", "/api/atlas/v2/search/basic", asked)
        assert found["entities"][0]["attributes"]["__modifiedBy"] == "requester"

    tell(tmp_path, story)


def test_types_are_the_administrators(tmp_path: Path) -> None:
    own = {"category": "ENTITY", "name": "Report", "superTypes": ["Asset"], "attributeDefs": []}
    size = {"name": "size", "typeName": "long", "isOptional": True, "isIndexable": True}
    path = "/api/atlas/v2/types/typedefs"

    async def first(server: Server) -> None:
        await server.call("author", "POST", path, {"entityDefs": [own]}, status=403)
        await server.call("admin", "POST", path, {"entityDefs": [own]})
        await server.call("admin", "POST", path, {"entityDefs": [{**own, "name": "report"}]}, status=400)
        await server.call("admin", "POST", path, {"relationshipDefs": [{"name": "x"}]}, status=501)
        await server.save("author", entity("Report", "r", size=7))
        await server.call("admin", "PUT", path, {"entityDefs": [{**own, "attributeDefs": [size]}]})
        await server.save("author", entity("Report", "r", size=8), entity("Report", "s"))
        await server.call("admin", "PUT", path, {"entityDefs": [own]}, status=400)
        wrong = {**own, "attributeDefs": [{**size, "typeName": "string"}]}
        await server.call("admin", "PUT", path, {"entityDefs": [wrong]}, status=400)
        mandatory = {"name": "must", "typeName": "string", "isOptional": False}
        await server.call(
            "admin", "PUT", path, {"entityDefs": [{**own, "attributeDefs": [size, mandatory]}]}, status=400
        )

    async def after_a_restart(server: Server) -> None:
        filters = {"attributeName": "size", "operator": "<=", "attributeValue": "8"}
        asked: dict[str, Any] = {
            "typeName": "Asset",
            "entityFilters": None,
            "sortBy": "name",
            "sortOrder": "DESCENDING",
        }
        found = await server.call("author", "POST", "/api/atlas/v2/search/basic", asked)
        assert [each["attributes"]["name"] for each in found["entities"]] == ["s", "r"]
        asked = {"typeName": "Report", "entityFilters": filters, "sortBy": "size", "attributes": ["size"]}
        found = await server.call("author", "POST", "/api/atlas/v2/search/basic", asked)
        assert [each["attributes"]["size"] for each in found["entities"]] == [0, 8]
        kinds = await server.call("author", "GET", f"{path}?type=classification")
        assert {each["name"] for each in kinds["classificationDefs"]} == {"PII", "Confidential"}
        assert kinds["entityDefs"] == []

    tell(tmp_path, first, after_a_restart)


def test_a_type_that_gets_an_index_indexes_what_is_there(tmp_path: Path) -> None:
    own = {"category": "ENTITY", "name": "Report", "superTypes": ["Asset"], "attributeDefs": []}
    plain = {"name": "size", "typeName": "long", "isOptional": True}
    path = "/api/atlas/v2/types/typedefs"

    async def story(server: Server) -> None:
        await server.call("admin", "POST", path, {"entityDefs": [{**own, "attributeDefs": [plain]}]})
        await server.save("author", entity("Report", "r", size=8), entity("Report", "s"))
        indexed = {**own, "attributeDefs": [{**plain, "isIndexable": True}]}
        await server.call("admin", "PUT", path, {"entityDefs": [indexed]})
        filters = {"attributeName": "size", "operator": ">", "attributeValue": "0"}
        asked = {"typeName": "Report", "entityFilters": filters}
        found = await server.call("author", "POST", "/api/atlas/v2/search/basic", asked)
        assert [each["attributes"]["name"] for each in found["entities"]] == ["r"]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer x"}, {"authorization": "Basic !!"}, {"authorization": "x"}]
)
def test_strangers_are_refused_everywhere(tmp_path: Path, headers: dict[str, str]) -> None:
    async def story(server: Server) -> None:
        for path in ("/api/atlas/v2/types/typedefs", "/api/atlas/admin/version", "/api/meta/whatever", "/api/atlas"):
            response = await server.client.get(path, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Basic")
            assert response.json().keys() == {"errorCode", "errorMessage"}

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/meta/search/indexsearch"),
        ("GET", "/api/atlas/v2/entity/guid/g/classifications"),
        ("GET", "/api/atlas/v2/lineage/g"),
        ("PUT", "/api/atlas/v2/entity/bulk"),
        ("DELETE", "/api/atlas/v2/types/typedefs"),
        ("GET", "/api/atlas/v2/types/structdef/name/x"),
        ("DELETE", "/api/meta/entity/bulk?guid=g&deleteType=PURGE"),
        ("GET", "/api/atlas/admin/metrics"),
    ],
)
def test_what_is_not_here_says_so(tmp_path: Path, method: str, path: str) -> None:
    async def story(server: Server) -> None:
        answer = await server.call("admin", method, path, status=501)
        assert answer["errorMessage"].startswith("The embedded Atlas")

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("entity/bulk", b"not JSON", 400),
        ("entity/bulk", b"[]", 400),
        ("entity/bulk", b'{"entities": []}', 400),
        ("entity/bulk", b'{"entities": [7]}', 400),
        ("entity/bulk", b'{"entities": [{"typeName": ["Table"]}]}', 400),
        ("entity/bulk", b'{"entities": [{"typeName": "Table", "attributes": []}]}', 400),
        ("entity/bulk", b'{"entities": [{"typeName": "Table", "attributes": {"qualifiedName": "q"}}]}', 404),
        ("entity", b'{"entity": null}', 400),
        ("search/basic", b"{", 400),
        ("types/typedefs", b'{"entityDefs": [{"name": "a\\"b"}]}', 400),
        ("types/typedefs", b'{"entityDefs": {"name": "a"}}', 400),
    ],
)
def test_bad_requests_are_refused(tmp_path: Path, path: str, content: bytes, status: int) -> None:
    async def story(server: Server) -> None:
        response = await server.client.post(f"/api/atlas/v2/{path}", content=content, headers=server.headers("admin"))
        assert response.status_code == status, response.text
        assert response.json()["errorMessage"]

    tell(tmp_path, story)


def test_many_writers_at_once(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        async def write(n: int) -> None:
            bad = n % 5 == 0
            await server.save(
                "author",
                entity("Table", f"t{n % 10}", description=str(n)),
                entity("Nobody" if bad else "Table", f"own{n}"),
                status=400 if bad else 200,
            )

        await asyncio.gather(*(write(n) for n in range(60)))
        found = await server.call("author", "POST", "/api/atlas/v2/search/basic", {"typeName": "Table", "limit": 200})
        names = [each["attributes"]["name"] for each in found["entities"]]
        assert len(names) == len(set(names)) == 8 + 48
        creates = [each for each in await server.events() if each["operationType"] == "ENTITY_CREATE"]
        assert len(creates) == len(names)

    tell(tmp_path, story)


def test_basic_and_the_engines_name(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        response = await server.client.get("/api/atlas/admin/version", auth=("requester", "pw"))
        assert response.json()["Version"] == "2.1.0"
        guid = (await server.save("engine", {**entity("Table", "t"), "guid": "-1"}))["guidAssignments"]["-1"]
        shown = (await server.call("requester", "GET", f"/api/meta/entity/guid/{guid}/"))["entity"]
        assert shown["createdBy"] == "blockline"

    tell(tmp_path, story)


def test_who_guesses_is_slowed_down(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        statuses = []
        for n in range(12):
            response = await server.client.get("/api/atlas/admin/version", auth=("requester", f"guess {n}"))
            statuses.append(response.status_code)
        assert statuses == [401] * 10 + [429] * 2
        response = await server.client.get("/api/atlas/admin/version", auth=("author", "pw"))
        assert response.status_code == 200

    tell(tmp_path, story)


@pytest.mark.parametrize("count", ["-1", "x", "9" * 11, "9" * 5_000])
def test_an_audit_counts_in_numbers(tmp_path: Path, count: str) -> None:
    async def story(server: Server) -> None:
        await server.call("admin", "GET", f"/api/atlas/v2/entity/g/audit?count={count}", status=400)

    tell(tmp_path, story)


def test_a_purge_leaves_no_row_behind_and_is_an_administrators(tmp_path: Path) -> None:
    purge = "/api/atlas/admin/purge/"

    def rows(connection: Any) -> list[int]:
        tables = ("entity", "audit", f'"s {types.COMMAND}"')
        return [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]  # noqa: S608

    async def story(server: Server) -> None:
        asked = {**entity(types.COMMAND, "c"), "guid": "-1"}
        guid = (await server.save("engine", asked))["guidAssignments"]["-1"]
        assert await server.call("admin", "PUT", purge, [guid]) == {}, "it isn't deleted"
        await server.call("engine", "DELETE", f"/api/atlas/v2/entity/guid/{guid}")
        told = len(await server.events())
        await server.call("author", "PUT", purge, [guid], status=403)
        await server.call("admin", "PUT", purge, [], status=400)
        answer = await server.call("admin", "PUT", purge, [guid, "nobody"])
        assert [header["guid"] for header in answer["mutatedEntities"]["PURGE"]] == [guid]
        assert await server.database.read(rows) == [0, 0, 0]
        assert len(await server.events()) == told
        await server.call("admin", "GET", f"/api/atlas/v2/entity/guid/{guid}", status=404)

    tell(tmp_path, story)


def test_glossary_terms_are_replaced_as_a_whole_and_told(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        async def saved(given: dict[str, Any]) -> str:
            return str((await server.save("author", {**given, "guid": "-1"}))["guidAssignments"]["-1"])

        def with_terms(*guids: str) -> dict[str, Any]:
            terms = [{"guid": guid, "typeName": types.TERM} for guid in guids]
            return entity("Table", "t") | {"relationshipAttributes": {types.MEANINGS: terms}}

        async def meanings() -> list[tuple[str, str, str]]:
            shown = (await server.call("requester", "GET", f"/api/atlas/v2/entity/guid/{table}"))["entity"]
            found = shown["relationshipAttributes"].get(types.MEANINGS, ())
            return sorted((term["guid"], term["displayText"], term["relationshipStatus"]) for term in found)

        one, two = [await saved(entity(types.TERM, f"{name}@Glossary")) for name in ("one", "two")]
        table = await saved(with_terms(one))
        assert await meanings() == [(one, "one@Glossary", "ACTIVE")]
        await server.save("author", entity("Table", "t", description="left out: they stay"))
        assert await meanings() == [(one, "one@Glossary", "ACTIVE")]
        await server.save("author", with_terms(two, one, two))
        assert len(await meanings()) == 2
        assert not (await server.save("author", with_terms(one, two))).get("mutatedEntities"), "nothing has changed"
        assert (await server.events())[-1]["operationType"] == "ENTITY_UPDATE"
        await server.call("author", "DELETE", f"/api/atlas/v2/entity/guid/{two}")
        assert {(guid, status) for guid, _, status in await meanings()} == {(one, "ACTIVE"), (two, "DELETED")}
        await server.save("author", with_terms())
        assert await meanings() == []
        await server.save("requester", with_terms(one), status=403)
        for wrong in (two, table, "00000000-0000-4000-8000-000000000000"):
            await server.save("author", with_terms(wrong), status=404)
        await server.save("author", {**entity("Table", "t"), "relationshipAttributes": {"columns": []}}, status=501)
        assert await meanings() == []

    tell(tmp_path, story)
