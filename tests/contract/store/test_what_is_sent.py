"""The adapter validates once; what goes out is what pyatlan's own ``asset.save`` sends."""

import asyncio
import time
from enum import StrEnum
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.messages.canonical import decode, encode
from pipeline.messages.envelopes import EntityWrite
from pipeline.store import plain, types
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from pipeline.store.port import StoreRefusedError, StoreUnavailableError
from pipeline.store.pyatlan_client import LoadedLater, load
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
    EntityWrite(
        type_name="Table",
        qualified_name="default/table/d",
        attributes={"name": "d", "qualifiedName": "default/table/d", "rowCount": 7, "ownerUsers": ["sam"]},
        unset=("description",),
        custom_attributes={"team": "data"},
        terms=("term-1",),
    ),
)


class Recorder(httpx.AsyncBaseTransport):
    """Keeps what is written, gives every entity a guid, and has the glossary's relationship; nothing else to read."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, object]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(
                200 if request.url.path.endswith(f"relationshipdef/name/{types.ASSIGNMENT}") else 404, json={}
            )
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


class Odd(StrEnum):
    """A text that isn't one to the models."""

    PENDING = "PENDING"


KINDS = (types.RUN, types.WORKFLOW, types.ITEM, types.COMMAND, types.OUTPUT, types.DEAD_LETTER, "Table")
NAMES = (
    *("name", "description", "qualifiedName", "workflow_run_config", "unknown", "qualified_name"),
    *(types.RUN_CONFIG, types.RUN_WAKE_AT, types.ITEM_DUE_AT, types.COMMAND_AT, types.COMMAND_STATUS),
)
VALUES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", " padded ", "PENDING"]),
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False),
    st.lists(st.text(max_size=3), max_size=2),
    st.just(Odd.PENDING),
)
SOME_WRITES = st.builds(
    EntityWrite,
    type_name=st.sampled_from(KINDS),
    qualified_name=st.text(max_size=8),
    attributes=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
    guid=st.none() | st.just("guid-1"),
    unset=st.none() | st.just((types.RUN_CONFIG,)) | st.just(("ownerUsers", "meanings")),
    custom_attributes=st.none() | st.just({}) | st.just({"team": "data"}),
    terms=st.none() | st.just(()) | st.just(("term-1",)),
)


def told(make: Any, write: EntityWrite) -> Any:
    """The body, or why there is none."""
    try:
        return make(write, "-1")
    except StoreRefusedError as error:
        return f"refused: {error}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@settings(deadline=None)  # the first one imports pyatlan
@given(SOME_WRITES)
@example(EntityWrite(type_name=types.RUN, qualified_name="r", attributes={types.RUN_WAKE_AT: True}))
@example(EntityWrite(type_name=types.RUN, qualified_name="r", attributes={types.RUN_STATUS: Odd.PENDING}))
@example(EntityWrite(type_name=types.RUN, qualified_name=" r ", attributes={types.RUN_CONFIG: " a "}))
@example(EntityWrite(type_name=types.RUN, qualified_name="r", attributes={"name": "a"}, unset=(types.RUN_CONFIG,)))
@example(EntityWrite(type_name=types.ITEM, qualified_name="i", attributes={"name": "a"}, terms=()))
def test_whatever_is_written_goes_out_as_its_model_says(write: EntityWrite) -> None:
    load()
    from pipeline.store.atlas_models import body_of, model_of  # noqa: PLC0415  (as above)

    def dumped(write: EntityWrite, guid: str) -> Any:
        return model_of(write, guid).dict(by_alias=True, exclude_unset=True) | {"businessAttributes": None}

    assert told(body_of, write) == told(dumped, write)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_plain_is_what_the_models_declare() -> None:
    load()
    from pydantic.v1 import StrictInt, StrictStr  # noqa: PLC0415  (as pyatlan)

    from pipeline.store.atlas_models import MODELS, AnyAttributes  # noqa: PLC0415  (as above)

    strict = {StrictStr: str, StrictInt: int}
    declared = {
        type_name: {
            field.alias: strict[field.type_] for field in attributes.__fields__.values() if field.type_ in strict
        }
        for type_name, (_, attributes) in MODELS.items()
    }
    assert declared == plain.KINDS
    fields = AnyAttributes.__fields__.values()
    assert {field.name for field in fields} | {field.alias for field in fields} == plain.OF_THE_MODEL | {
        "qualifiedName"
    }


def test_plain_writes_need_no_pyatlan_and_others_wait_for_it() -> None:
    def not_yet() -> None:
        raise StoreUnavailableError("it is being loaded")

    odd = EntityWrite(type_name=types.RUN, qualified_name="default/run/e", attributes={types.RUN_WAKE_AT: True})

    async def story() -> None:
        recorder = Recorder()
        wire = HttpWire(AtlasAccess.bearer("http://127.0.0.1", "token"), recorder, timeout_s=10)
        store = AtlasEntityStore(wire, not_yet)
        with pytest.raises(StoreUnavailableError):
            await store.upsert([*WRITES, odd])
        assert recorder.sent == [], "a bulk goes out as a whole"
        await store.upsert(WRITES)
        assert len(recorder.sent) == 1
        await store.aclose()

    asyncio.run(story())


def test_who_loads_later_is_never_stopped_by_it() -> None:
    later = LoadedLater()
    deadline_s = time.monotonic() + 60
    while True:
        try:
            later()
        except StoreUnavailableError:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)  # noqa: TID251  (polls with a deadline)
        else:
            break
    later()
