"""The adapter validates once; what goes out is what pyatlan's own ``asset.save`` sends."""

import asyncio

import httpx
import pytest

from pipeline.messages.canonical import decode, encode
from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from pipeline.store.wire import HttpWire

WRITES = (
    EntityWrite(
        type_name=types.RUN,
        qualified_name="default/run/a",
        attributes={"name": "a", types.RUN_CONFIG: '{"Grüße": "世界"}', types.RUN_WAKE_AT: 0, types.RUN_STATUS: None},
    ),
    EntityWrite(
        type_name=types.ITEM, qualified_name="default/item/b", attributes={"name": "b", types.ITEM_DUE_AT: 1_800_000}
    ),
    EntityWrite(
        type_name=types.COMMAND, qualified_name="default/command/c", attributes={"name": "c", types.COMMAND_AT: 5}
    ),
    EntityWrite(type_name="Table", qualified_name="default/table/d", attributes={"name": "d", "rowCount": 7}),
)


class Recorder(httpx.AsyncBaseTransport):
    """Keeps the requests and gives every entity a guid."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, object]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = decode(request.content)
        self.sent.append((str(request.url), body))
        guids = {entity["guid"]: f"g{entity['guid']}" for entity in body["entities"]}
        return httpx.Response(
            200, headers={"content-type": "application/json"}, content=encode({"guidAssignments": guids})
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_bulk_is_sent_as_pyatlan_sends_it() -> None:
    async def story() -> None:
        recorder = Recorder()
        wire = HttpWire(AtlasAccess.bearer("http://127.0.0.1", "token"), recorder, timeout_s=10)
        store = AtlasEntityStore(wire)
        await store.upsert(WRITES)
        from pipeline.store.atlas_models import model_of  # noqa: PLC0415  (pyatlan, imported by the first write)

        models = [model_of(write, f"-{number}") for number, write in enumerate(WRITES, 1)]
        await wire._pyatlan.asset.save(models)
        await store.aclose()
        ours, theirs = recorder.sent
        assert ours == theirs

    asyncio.run(story())
