"""Who may read what, by every way there is to read."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.local.atlas import sight
from pipeline.local.atlas.rights import Caller
from pipeline.local.atlas.type_registry import TypeRegistry
from pipeline.store import types
from pipeline.store.typedefs import engine_typedefs
from tests.unit.local_atlas.test_server import Server, entity, tell

BY_API = entity(types.RUN, "by-api", workflowRunCreatedBy="requester", workflowRunStatus="RUNNING")
ITEM = entity(types.ITEM, "item", taskRecipient="author", taskRequestor="requester", workflowTaskStatus="OPEN")
READERS = [
    (BY_API, "requester"),
    (ITEM, "requester"),
    (ITEM, "author"),
    (entity(types.WORKFLOW, "workflow", workflowCreatedBy="author"), "requester"),
    (entity("Table", "table"), "requester"),
]
CLOSED: list[tuple[dict[str, Any], str]] = [
    (BY_API, "author"),
    (entity(types.ITEM, "others", taskRecipient="ann", taskRequestor="bob"), "author"),
    (entity(types.COMMAND, "command"), "requester"),
    (entity(types.DEAD_LETTER, "letter", workflowDeadLetterPayload="x"), "author"),
]


async def read_everywhere(server: Server, who: str, given: dict[str, Any], *, may: bool) -> None:
    kind, name = given["typeName"], given["attributes"]["qualifiedName"]
    body = {"typeName": kind, "limit": 10}
    guid = (await server.call("engine", "POST", "/api/atlas/v2/search/basic", body))["entities"][0]["guid"]
    status = 200 if may else 404
    for path in (
        f"entity/guid/{guid}",
        f"entity/bulk?guid={guid}",
        f"entity/{guid}/audit",
        f"entity/uniqueAttribute/type/{kind}?attr:qualifiedName={name}",
    ):
        answer = await server.call(who, "GET", f"/api/atlas/v2/{path}", status=status)
        if not may:
            assert answer["errorCode"] in {"ATLAS-404-00-005", "ATLAS-404-00-009"}
    searches: tuple[dict[str, Any], ...] = (
        {},
        {"attributes": ["description"]},
        {"entityFilters": _named(name)},
        {"sortBy": "name"},
    )
    for more in searches:
        found = await server.call(who, "POST", "/api/meta/search/basic", {**body, **more})
        assert len(found.get("entities", ())) == (1 if may else 0), more


def _named(name: str) -> dict[str, Any]:
    one = {"attributeName": "qualifiedName", "operator": "eq", "attributeValue": name}
    other = {"attributeName": "qualifiedName", "operator": "neq", "attributeValue": "x"}
    return {"condition": "OR", "criterion": [one, other]}


@pytest.mark.parametrize(("given", "who"), READERS)
def test_whoever_is_in_it_reads_it(tmp_path: Path, given: dict[str, Any], who: str) -> None:
    async def story(server: Server) -> None:
        await server.save("engine", given)
        for reader in (who, "engine", "admin"):
            await read_everywhere(server, reader, given, may=True)

    tell(tmp_path, story)


@pytest.mark.parametrize(("given", "who"), CLOSED)
def test_nobody_else_does(tmp_path: Path, given: dict[str, Any], who: str) -> None:
    async def story(server: Server) -> None:
        await server.save("engine", given)
        await read_everywhere(server, who, given, may=False)
        await read_everywhere(server, "admin", given, may=True)

    tell(tmp_path, story)


def test_a_run_that_was_asked_for_here_is_its_creators(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        given = entity(types.RUN, "by-hand", workflowRunWorkflowGuid="w")
        await server.save("requester", given)
        await server.save("engine", entity(types.RUN, "by-hand", workflowRunStatus="RUNNING"))
        await read_everywhere(server, "requester", given, may=True)
        await read_everywhere(server, "author", given, may=False)

    tell(tmp_path, story)


def test_one_that_may_not_be_read_is_missing_among_others(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        guids = []
        for given in (entity("Table", "t"), BY_API):
            answer = await server.save("engine", {**given, "guid": "-1"})
            guids.append(answer["guidAssignments"]["-1"])
        path = f"/api/atlas/v2/entity/bulk?guid={guids[0]}&guid={guids[1]}"
        assert guids[1] in (await server.call("author", "GET", path, status=404))["errorMessage"]
        assert len((await server.call("requester", "GET", path))["entities"]) == 2

    tell(tmp_path, story)


def test_a_write_doesnt_tell_what_may_not_be_read(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        await server.save("engine", BY_API)
        for guess in ("RUNNING", "SUCCESS"):
            await server.save("author", entity(types.RUN, "by-api", workflowRunStatus=guess), status=403)

    tell(tmp_path, story)


def test_nothing_is_added_to_what_the_engine_asks() -> None:
    engine = Caller("blockline", is_author=True, is_admin=True)
    registry = TypeRegistry.of(engine_typedefs()["entityDefs"])
    for kind in registry.entity_types.values():
        assert sight.condition(engine, kind) == ("", [])
