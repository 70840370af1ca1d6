"""The engine's own searches use an index: asked of SQLite's planner, for what the sinks, the timer and the API ask."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.atlas import index, search
from pipeline.local.atlas.build import build_service
from pipeline.local.atlas.database import _SCHEMA, Database
from pipeline.local.atlas.errors import AtlasError
from pipeline.local.atlas.rights import Caller
from pipeline.local.atlas.type_registry import TypeRegistry
from pipeline.process.clock import SystemClock
from pipeline.store import types
from pipeline.store.typedefs import catalog_typedefs, engine_typedefs

ENGINE = Caller("blockline", is_author=True, is_admin=True)
REGISTRY = TypeRegistry.of([*engine_typedefs()["entityDefs"], *catalog_typedefs()["entityDefs"]])


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(_SCHEMA)
    for kind in REGISTRY.entity_types.values():
        index.ensure(connection, kind)
    yield connection
    connection.close()


def body(type_name: str, *criteria: tuple[str, str, Any], **more: Any) -> dict[str, Any]:
    criterion = [
        {"attributeName": name, "operator": operator, "attributeValue": value} for name, operator, value in criteria
    ]
    filters = {"condition": "AND", "criterion": criterion} if criterion else None
    return {"typeName": type_name, "excludeDeletedEntities": True, "entityFilters": filters, "limit": 500, **more}


def plan_of(connection: sqlite3.Connection, asked: dict[str, Any]) -> str:
    statement = search.plan(asked, REGISTRY, ENGINE)
    return "\n".join(
        row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", statement.values).fetchall()
    )


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        (
            body(
                types.RUN, (types.RUN_WAKE_AT, "gt", "0"), (types.RUN_WAKE_AT, "lte", "1795440642654"),
                sortBy=types.RUN_WAKE_AT, sortOrder="ASCENDING", attributes=[types.RUN_WAKE_AT],
            ),
            types.RUN_WAKE_AT,
        ),
        (
            body(types.RUN, (types.RUN_STATUS, "is_null", None), (types.RUN_WAKE_AT, "lte", "0")),
            f"{types.RUN_STATUS}+{types.RUN_WAKE_AT}",
        ),
        (
            body(types.RUN, (types.RUN_STATUS, "eq", "PENDING"), (types.RUN_WAKE_AT, "lte", "0")),
            f"{types.RUN_STATUS}+{types.RUN_WAKE_AT}",
        ),
        (
            body(
                types.RUN, (types.RUN_CREATED_BY, "eq", "sam"), (types.RUN_STATUS, "eq", "PENDING"),
                sortBy="__timestamp", sortOrder="DESCENDING", attributes=[types.RUN_CONFIG],
            ),
            f"{types.RUN_CREATED_BY}+{types.RUN_STATUS}",
        ),
        (
            body(
                types.RUN, (types.RUN_WORKFLOW_GUID, "eq", "w"), (types.RUN_STATUS, "is_null", None),
                sortBy="__timestamp", sortOrder="DESCENDING", attributes=[types.RUN_CONFIG],
            ),
            f"{types.RUN_WORKFLOW_GUID}+{types.RUN_STATUS}",
        ),
        (
            body(
                types.COMMAND, (types.COMMAND_STATUS, "eq", "OPEN"), (types.COMMAND_AT, "lte", "1795440642654"),
                sortBy=types.COMMAND_AT,
            ),
            types.COMMAND_STATUS,
        ),
        (body(types.COMMAND, (types.COMMAND_RUN_GUID, "eq", "g")), types.COMMAND_RUN_GUID),
        (
            body(types.ITEM, (types.ITEM_STATUS, "eq", "OPEN"), (types.ITEM_ACTION, "not_null", None)),
            f"{types.ITEM_STATUS}+{types.ITEM_ACTION}",
        ),
        (body(types.ITEM, (types.ITEM_RUN_GUID, "eq", "g")), types.ITEM_RUN_GUID),
        (
            body(
                types.ITEM,
                (types.ITEM_RECIPIENT, "eq", "sam"), (types.ITEM_STATUS, "eq", "OPEN"),
                (types.ITEM_RUN_GUID, "eq", "g"),
                sortBy=types.ITEM_OPENED_AT, sortOrder="DESCENDING", attributes=[types.ITEM_BODY],
            ),
            types.ITEM_RUN_GUID,
        ),
        (
            body(types.RUN, (types.RUN_CREATED_BY, "eq", "sam"), sortBy="__timestamp", sortOrder="DESCENDING"),
            types.RUN_CREATED_BY,
        ),
        (body(types.RUN, sortBy="__timestamp", sortOrder="DESCENDING"), "created"),
        (body(types.WORKFLOW, ("qualifiedName", "startsWith", "blockline/workflows/a/v")), "qualifiedName"),
    ],
)  # fmt: skip
def test_an_index_is_used(connection: sqlite3.Connection, asked: dict[str, Any], used: str) -> None:
    plan = plan_of(connection, asked)
    assert f"{asked['typeName']}/{used}" in plan, plan
    assert "SCAN e" not in plan


@pytest.mark.parametrize("order", ["ASCENDING", "DESCENDING"])
def test_what_is_due_and_what_is_new_needs_no_sorting(connection: sqlite3.Connection, order: str) -> None:
    for asked in (
        body(types.RUN, (types.RUN_WAKE_AT, "gt", "0"), sortBy=types.RUN_WAKE_AT, sortOrder=order),
        body(types.RUN, (types.RUN_CREATED_BY, "eq", "sam"), sortBy="__timestamp", sortOrder=order),
        body(types.RUN, sortBy="__timestamp", sortOrder=order),
        body(types.RUN, (types.RUN_STATUS, "eq", "PENDING"), sortBy="__timestamp", sortOrder=order),
        body(types.RUN, (types.RUN_WORKFLOW_GUID, "eq", "w"), sortBy="__timestamp", sortOrder=order),
        body(
            types.RUN,
            (types.RUN_CREATED_BY, "eq", "sam"), (types.RUN_STATUS, "eq", "PENDING"), ("__timestamp", "lte", "9"),
            sortBy="__timestamp", sortOrder=order,
        ),
        body(
            types.ITEM,
            (types.ITEM_RECIPIENT, "eq", "sam"), (types.ITEM_STATUS, "eq", "OPEN"),
            sortBy=types.ITEM_OPENED_AT, sortOrder=order,
        ),
        body(types.ITEM, (types.ITEM_RECIPIENT, "eq", "sam"), sortBy="__timestamp", sortOrder=order),
    ):  # fmt: skip
        assert "TEMP B-TREE" not in plan_of(connection, asked)


def test_a_search_for_indexed_attributes_touches_no_document() -> None:
    assert "e.attributes" not in search.plan(body(types.RUN, attributes=[types.RUN_WAKE_AT]), REGISTRY, ENGINE).sql
    assert "e.attributes" in search.plan(body(types.RUN, attributes=[types.RUN_CONFIG]), REGISTRY, ENGINE).sql


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ([], 400),
        ({}, 501),
        ({"typeName": "Nobody"}, 400),
        ({"typeName": types.RUN, "query": "text"}, 501),
        ({"typeName": types.RUN, "classification": "PII"}, 501),
        ({"typeName": types.RUN, "limit": -1}, 400),
        ({"typeName": types.RUN, "limit": True}, 400),
        ({"typeName": types.RUN, "offset": "x"}, 400),
        ({"typeName": types.RUN, "attributes": "name"}, 400),
        ({"typeName": types.RUN, "sortBy": "nothing"}, 400),
        ({"typeName": types.RUN, "sortBy": "name; DROP TABLE entity"}, 400),
        (body(types.RUN, ("nothing", "eq", "1")), 400),
        (body(types.RUN, (types.RUN_WAKE_AT, "eq", "soon")), 400),
        (body(types.RUN, (types.RUN_STATUS, "like", "a*")), 501),
        ({"typeName": types.RUN, "entityFilters": {"condition": "XOR", "criterion": [{}]}}, 400),
        ({"typeName": types.RUN, "entityFilters": [1]}, 400),
        ({"typeName": types.RUN, "offset": 2**63}, 400),
        ({"typeName": types.RUN, "limit": -(2**63)}, 400),
        (body(types.RUN, ("__timestamp", "gt", str(10**19))), 400),
        (body(types.RUN, (types.RUN_WAKE_AT, "gt", 10**19)), 400),
    ],
)
def test_what_cannot_be_searched_is_refused(asked: Any, status: int) -> None:
    with pytest.raises(AtlasError) as refused:
        search.plan(asked, REGISTRY, ENGINE)
    assert refused.value.status == status


def test_filters_have_a_depth() -> None:
    deep: dict[str, Any] = {"attributeName": "name", "operator": "=", "attributeValue": "x"}
    for _ in range(20):
        deep = {"condition": "AND", "criterion": [deep]}
    with pytest.raises(AtlasError):
        search.plan({"typeName": types.RUN, "entityFilters": deep}, REGISTRY, ENGINE)


def test_data_of_an_earlier_version_gets_the_indexes_that_came_since(tmp_path: Path) -> None:
    def names(connection: sqlite3.Connection) -> set[str]:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}

    async def story() -> None:
        database = Database(tmp_path / "atlas.sqlite3")
        await build_service(database, SystemClock())
        there = await database.read(names)
        joined = sorted(name for name in there if "+" in name)
        assert len(joined) == sum(map(len, (*index.TOGETHER.values(), *index.FEW.values())))
        await database.write(lambda transaction: [transaction.connection.execute(f'DROP INDEX "{n}"') for n in joined])
        await database.close()
        database = Database(tmp_path / "atlas.sqlite3")
        await build_service(database, SystemClock())
        assert await database.read(names) == there
        await database.close()

    asyncio.run(story())
