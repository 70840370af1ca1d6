"""Outputs that are entities: written with their document, read by the sink when a condition needs one."""

import asyncio
from typing import Any

import pytest

from pipeline.messages.envelopes import Outcome
from pipeline.store import types
from pipeline.store.outputs import outputs_of
from pipeline.store.port import Entity, StoreUnavailableError
from sinks.atlas.answers import Ok, Retry
from sinks.atlas.writing import BULK_CHARS_MAX, Piece, waves
from tests.unit.sinks.world import SinkWorld, result, task

LARGE = {"said": "s1", "text": "x" * 5000}
CONDITION = {"name": "c", "type": "CONDITION", "arguments": [{"expression": 'tasks["a"].output.said == "s1"'}]}


@pytest.fixture
def world() -> SinkWorld:
    return SinkWorld()


def begun(world: SinkWorld) -> str:
    guid = world.start(task("a"), task("b"), {**CONDITION, "depends": "a && b"})
    assert world.handle(result(guid, output=LARGE)) == [Ok()]
    return guid


def kept(world: SinkWorld, guid: str) -> Entity:
    (entity,) = asyncio.run(outputs_of(world.store, guid))
    return entity


def status_of(world: SinkWorld, guid: str, name: str) -> tuple[str, str | None]:
    found: dict[str, Any] = next(one for one in world.document(guid)["dag"]["tasks"] if one["name"] == name)
    return found["status"], (found.get("error") or {}).get("name")


def test_it_is_written_with_its_document(world: SinkWorld) -> None:
    guid = begun(world)
    (bulk,) = world.wire.bulks
    assert [write.type_name for write in bulk] == [types.RUN, types.OUTPUT]
    assert kept(world, guid).attributes[types.OUTPUT_TASK] == "a"


def test_a_condition_reads_it_later(world: SinkWorld) -> None:
    guid = begun(world)
    assert world.handle(result(guid, "b")) == [Ok()]
    assert status_of(world, guid, "c") == ("SUCCESS", None)


def test_nothing_is_judged_while_it_cant_be_read(world: SinkWorld) -> None:
    guid = begun(world)

    async def away(type_name: str, qualified_name: str) -> Entity | None:
        raise StoreUnavailableError("not now")

    reads, world.wire.get_by_name = world.wire.get_by_name, away  # type: ignore[method-assign]
    (answer,) = world.handle(result(guid, "b"))
    assert isinstance(answer, Retry)
    world.wire.get_by_name = reads  # type: ignore[method-assign]
    assert world.handle(result(guid, "b")) == [Ok()]
    assert status_of(world, guid, "c") == ("SUCCESS", None)


def test_one_that_was_removed_fails_what_reads_it(world: SinkWorld) -> None:
    guid = begun(world)
    world.delete(kept(world, guid).guid)
    assert world.handle(result(guid, "b")) == [Ok()]
    assert status_of(world, guid, "c") == ("FAILURE", "Engine.Tampered")


def test_one_that_the_store_refuses_fails_its_own_task(world: SinkWorld) -> None:
    guid = world.start(task("a"), task("b"))
    world.wire.is_refused = lambda write: write.type_name == types.OUTPUT
    world.handle(result(guid, output=LARGE), result(guid, "b", outcome=Outcome.SUCCEEDED))
    assert status_of(world, guid, "a") == ("FAILURE", "Metadata.Refused")
    assert status_of(world, guid, "b") == ("SUCCESS", None)


def test_one_request_carries_so_much(world: SinkWorld) -> None:
    guid = begun(world)
    (bulk,) = world.wire.bulks
    text = bulk[1].model_copy(update={"attributes": {types.OUTPUT_TEXT: "x" * (BULK_CHARS_MAX // 2)}})
    pieces = [Piece(f"{guid}{number}", (text,)) for number in range(5)]
    assert [len(wave) for wave in waves(pieces)] == [2, 2, 1]
