"""What one person writes into one run stops nobody else's, whatever it makes the sink do."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pipeline.messages.envelopes import EntityWrite, Look, Tick
from pipeline.store import types
from pipeline.store.mapping import command_view
from pipeline.store.port import Entity, StoreRefusedError, StoreUnavailableError
from pipeline.testing.fake_evaluator import FakeEvaluator
from sinks.atlas.admission import Admission
from sinks.atlas.answers import Fallback, Ok, Retry, Shard
from sinks.atlas.handler import ALONE_TRIES_MAX, AtlasSinkHandler
from tests.unit.sinks.world import NOTHING, NOW, SEAL, SinkWorld, Wire, result, task

POISON = "g" * 70_000


class PoisonedReads(Wire):
    """Fails on a guid that somebody made up."""

    error: Exception = ValueError("an address of 70000 characters")

    async def get(self, guids: Sequence[str], *, has_terms: bool = False) -> dict[str, Entity]:
        if POISON in guids:
            raise self.error
        return await super().get(guids)


def poisoned_world(error: Exception) -> SinkWorld:
    world = SinkWorld()
    store = PoisonedReads(world.store)
    store.error = error
    world.sink = AtlasSinkHandler(
        world.wire,
        SEAL,
        FakeEvaluator(),
        world.lease,
        world.clock,
        shard=Shard(0, 1),
        admission=Admission(store, world.directory, NOTHING),
        observer=world.observer,
    )
    return world


def made_up(world: SinkWorld, **attributes: Any) -> str:
    given = {"name": "mine", types.RUN_WORKFLOW_GUID: POISON, **attributes}
    return world.write(EntityWrite(type_name=types.RUN, qualified_name="mine", attributes=given), user="ann")["mine"]


@pytest.mark.parametrize("error", [ValueError("no address"), StoreRefusedError("no guid"), RecursionError("deep")])
def test_a_run_that_cant_be_admitted_fails_and_stops_nobody(error: Exception) -> None:
    world = poisoned_world(error)
    poisoned, other = made_up(world), world.start(name="other")
    assert world.handle(result(other), Look(run_guid=poisoned, reason="admit")) == [Ok(), Ok()]
    assert (world.status(other), world.status(poisoned)) == ("SUCCESS", "FAILURE")
    failure = world.document(poisoned)["engine"]["error"]
    assert (failure["name"], str(error) in failure["message"]) == ("Engine.Internal", False)
    assert world.entity(poisoned).attributes[types.RUN_CREATED_BY] == "ann"
    assert world.entity(poisoned).attributes[types.RUN_WAKE_AT] == 0
    assert "sink-failed" not in {alert[0] for alert in world.observer.alerts}
    assert world.handle(Tick(run_guid=poisoned, at=NOW)) == [Ok()]


def test_a_store_that_is_away_while_a_run_is_admitted_ends_nothing() -> None:
    world = poisoned_world(StoreUnavailableError("away"))
    poisoned, other = made_up(world), world.start(name="other")
    assert world.handle(result(other), Look(run_guid=poisoned, reason="admit")) == [Retry("away")] * 2
    assert world.status(poisoned) == "None"


class PoisonedWrites(Wire):
    """Breaks, in a way that nobody foresaw, on some entities."""

    breaks: Callable[[EntityWrite], bool] = staticmethod(lambda _: False)
    is_broken = False

    async def find(self, query: Any) -> list[Entity]:
        if self.is_broken:
            raise ValueError("nothing works")
        return await super().find(query)

    async def upsert(self, entities: Sequence[EntityWrite]) -> dict[str, str]:
        if self.is_broken or any(map(self.breaks, entities)):
            raise ValueError("this can't be said in JSON")
        return await super().upsert(entities)


def breaking_world(is_poison: Callable[[EntityWrite], bool]) -> tuple[SinkWorld, PoisonedWrites]:
    world = SinkWorld()
    wire = PoisonedWrites(world.store)
    wire.breaks = is_poison
    world.wire = wire
    world.sink = world.new_sink()
    return world, wire


def test_a_run_on_which_the_sink_itself_fails_is_given_up_alone() -> None:
    world, _ = breaking_world(lambda write: '"SUCCESS"' in write.attributes.get(types.RUN_CONFIG, ""))
    poisoned, other = world.start(name="poisoned"), world.start(task("a", type="WAIT"), name="other")
    look = Look(run_guid=other, reason="event")
    for _ in range(ALONE_TRIES_MAX - 1):
        answers = world.handle(result(poisoned), look)
        assert [type(answer) for answer in answers] == [Retry, Ok]
    [letter, is_ok] = world.handle(result(poisoned), look)
    assert isinstance(letter, Fallback)
    assert is_ok == Ok()
    assert (letter.letter.run_guid, letter.letter.reason) == (poisoned, "the sink failed on this (ValueError)")
    assert world.document(poisoned)["engine"]["error"]["name"] == "Engine.Internal"
    assert world.status(poisoned) == "FAILURE"


def test_a_run_whose_end_cant_be_written_either_is_given_up_all_the_same() -> None:
    world, _ = breaking_world(lambda write: write.qualified_name == "poisoned")
    poisoned = world.start(name="poisoned")
    answers = [world.handle(result(poisoned))[0] for _ in range(ALONE_TRIES_MAX)]
    assert [type(answer) for answer in answers] == [Retry] * (ALONE_TRIES_MAX - 1) + [Fallback]


def test_a_store_that_fails_on_everything_empties_nothing_into_the_dead_letters() -> None:
    world, wire = breaking_world(lambda _: False)
    guid = world.start()
    wire.is_broken = True
    for _ in range(3 * ALONE_TRIES_MAX):
        assert [type(answer) for answer in world.handle(result(guid))] == [Retry]
    wire.is_broken = False
    assert world.handle(result(guid)) == [Ok()]
    assert world.status(guid) == "SUCCESS"


def test_what_was_asked_of_a_run_that_is_gone_is_refused_and_due_no_more() -> None:
    world = SinkWorld()
    guid = world.start()
    command = world.ask(guid, "cancel")
    world.delete(guid)
    assert world.handle(Tick(run_guid=guid, at=NOW + 9)) == [Ok()]
    view = command_view(world.entity(command))
    assert (view.status, view.reason) == ("REFUSED", "there is no such run")
    writes = len(world.wire.bulks)
    assert world.handle(Tick(run_guid=guid, at=NOW + 99)) == [Ok()]
    assert len(world.wire.bulks) == writes


def test_a_command_that_cant_be_read_stops_no_search() -> None:
    world = SinkWorld()
    guid = world.start(task("a", type="CONDITION", arguments=[{"expression": "true"}]))
    scribbled = {"name": "c1", types.COMMAND_STATUS: "OPEN", types.COMMAND_AT: "soon"}
    world.write(EntityWrite(type_name=types.COMMAND, qualified_name=f"{guid}/c1", attributes=scribbled))
    assert world.handle(Look(run_guid=guid, reason="start")) == [Ok()]
    assert world.status(guid) == "SUCCESS"
    assert [alert[0] for alert in world.observer.alerts] == ["unreadable-entity"]
