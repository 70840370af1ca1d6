"""pyatlan itself, as people use it, against a listening embedded Atlas."""

# ruff: noqa: PLC0415  (importing pyatlan takes seconds, and warns: only while these tests run)

import asyncio
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
import uvicorn

from pipeline.directory.port import Person
from pipeline.local.atlas.build import build_atlas
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.users import UserStore
from pipeline.process.clock import SystemClock

# pyatlan calls functions of Python and httpx that are deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


async def served(path: Path, story: Callable[[str, str], None]) -> None:
    """Runs a story for the address and an administrator's personal token, beside the server's loop."""
    database = Database(path)
    users = await UserStore.open(database)
    await users.add(Person("ada", None, (), ("admin",)), "pw")
    token = await users.new_token("ada", "pyatlan")
    app = await build_atlas(database, users, "engine", SystemClock())
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
    serving = asyncio.create_task(server.serve([listener]))
    try:
        await asyncio.to_thread(story, f"http://127.0.0.1:{listener.getsockname()[1]}", token)
    finally:
        server.should_exit = True
        await serving
        await database.close()
        listener.close()


def test_assets_are_saved_read_and_deleted(tmp_path: Path) -> None:
    from pyatlan.client.atlan import AtlanClient
    from pyatlan.errors import NotFoundError
    from pyatlan.model.assets import Table, WorkflowRun
    from pyatlan.model.enums import AtlanTypeCategory, EntityStatus
    from pydantic.v1 import Field

    class RunAttributes(WorkflowRun.Attributes):  # type: ignore[misc]  # pyatlan has no types
        workflow_run_wake_at: int | None = Field(default=None)

    class OwnRun(WorkflowRun):  # type: ignore[misc]  # likewise
        type_name: str = Field(default="WorkflowRun", allow_mutation=False)
        attributes: RunAttributes = Field(default_factory=RunAttributes)
        Attributes: ClassVar[Any] = RunAttributes

    def run(name: str, **more: Any) -> OwnRun:
        return OwnRun(attributes=RunAttributes(qualified_name=f"p/{name}", name=name, **more))

    def story(url: str, token: str) -> None:
        client = AtlanClient(base_url=url, api_key=token, proxy=None, verify=True)
        with closing(client._session):
            saved = client.asset.save(run("one", workflow_run_wake_at=7, workflow_run_status="PENDING"))
            (created,) = saved.assets_created(WorkflowRun)
            many = client.asset.save([run("two"), run("three"), run("one", workflow_run_wake_at=8)])
            assert len(many.assets_created(WorkflowRun)) == 2
            assert [each.guid for each in many.assets_updated(WorkflowRun)] == [created.guid]
            raw = client.asset.get_by_guid(created.guid, WorkflowRun)
            assert (raw.name, raw.workflow_run_status, raw.created_by) == ("one", "PENDING", "ada")
            path, headers = f"{url}/api/meta/entity/guid/{created.guid}", {"authorization": f"Bearer {token}"}
            own = httpx.get(path, headers=headers, verify=False).json()["entity"]["attributes"]  # noqa: S501  (plain http)
            assert own["workflowRunWakeAt"] == 8
            named = client.asset.get_by_qualified_name("p/one", WorkflowRun)
            assert named.guid == created.guid
            table = Table(attributes=Table.Attributes(qualified_name="t/1", name="t", row_count=3))
            guid = client.asset.save(table).assets_created(Table)[0].guid
            assert client.asset.get_by_guid(guid, Table).row_count == 3
            deleted = client.asset.delete_by_guid([guid])
            assert [each.guid for each in deleted.assets_deleted(Table)] == [guid]
            assert client.asset.get_by_guid(guid, Table).status == EntityStatus.DELETED
            with pytest.raises(NotFoundError):
                client.asset.get_by_qualified_name("t/1", Table)
            assert client.typedef.get_by_name("WorkflowRun").name == "WorkflowRun"
            assert "Table" in {each.name for each in client.typedef.get_all().entity_defs}
            assert client.typedef.get(AtlanTypeCategory.CLASSIFICATION).atlan_tag_defs

    asyncio.run(served(tmp_path / "atlas.sqlite3", story))


def test_the_async_client_likewise(tmp_path: Path) -> None:
    from pyatlan.client.aio.client import AsyncAtlanClient
    from pyatlan.model.assets import WorkflowRun

    async def saves(url: str, token: str) -> None:
        async with AsyncAtlanClient(base_url=url, api_key=token, proxy=None, verify=True) as client:
            given = WorkflowRun(attributes=WorkflowRun.Attributes(qualified_name="p/x", name="x"))
            (created,) = (await client.asset.save(given)).assets_created(WorkflowRun)
            read = await client.asset.get_by_guid(created.guid, WorkflowRun)
            assert read.qualified_name == "p/x"

    def story(url: str, token: str) -> None:
        asyncio.run(saves(url, token))

    asyncio.run(served(tmp_path / "atlas.sqlite3", story))
