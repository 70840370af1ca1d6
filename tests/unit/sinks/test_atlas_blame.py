"""What can't be digested or written stands alone: the rest of its batch and of its run goes on."""

from collections.abc import Mapping
from typing import Any

from pipeline.messages.envelopes import Tick
from pipeline.store import types
from pipeline.store.mapping import command_view
from pipeline.store.port import StoreUnknownError
from pipeline.testing.fake_evaluator import FakeEvaluator
from sinks.atlas.admission import Admission
from sinks.atlas.answers import Fallback, Ok, Retry, Shard
from sinks.atlas.handler import AtlasSinkHandler
from tests.unit.sinks.world import NOTHING, NOW, SEAL, SinkWorld, result, table, task


class BreakingEvaluator(FakeEvaluator):
    """Breaks in a way that nobody foresaw."""

    def is_true(self, text: str, scope: Mapping[str, Any]) -> bool:
        if text == "break":
            raise RuntimeError("with a secret in its text")
        return super().is_true(text, scope)


def world_that_breaks() -> SinkWorld:
    world = SinkWorld()
    world.sink = AtlasSinkHandler(
        world.wire,
        SEAL,
        BreakingEvaluator(),
        world.lease,
        world.clock,
        shard=Shard(0, 1),
        admission=Admission(world.store, world.directory, NOTHING),
        observer=world.observer,
    )
    return world


def test_a_result_that_breaks_the_machine_fails_its_task_and_stops_nobody() -> None:
    world = world_that_breaks()
    other = world.start(name="other")
    guid = world.start(task("a"), task("b", depends="a", when="break"), task("c"), name="breaking")
    answers = world.handle(result(guid, "c"), result(guid, "a"), result(other))
    assert [type(answer) for answer in answers] == [Ok, Fallback, Ok]
    tasks = {one["name"]: one for one in world.document(guid)["dag"]["tasks"]}
    assert (tasks["a"]["status"], tasks["a"]["error"]["name"]) == ("FAILURE", "Engine.Internal")
    assert "secret" not in tasks["a"]["error"]["message"]
    assert tasks["c"]["status"] == "SUCCESS"
    assert world.status(other) == "SUCCESS"


def test_what_was_read_for_a_tick_goes_on_beside_a_poisoned_result() -> None:
    world = world_that_breaks()
    guid = world.start(task("a"), task("b", depends="a", when="break"), task("c"))
    command = world.ask(guid, "cancel")
    answers = world.handle(result(guid, "a"), Tick(run_guid=guid, at=NOW + 1))
    assert [type(answer) for answer in answers] == [Fallback, Ok]
    assert command_view(world.entity(command)).status == "APPLIED"
    assert world.status(guid) == "TERMINATED"


def test_an_unknown_outcome_among_single_writes_gives_the_rest_back() -> None:
    world = SinkWorld()
    guid = world.start(task("a"), task("b"), task("c"))
    world.wire.is_refused = lambda write: write.qualified_name == "poison"
    world.wire.before_write = [None, StoreUnknownError("no answer")]
    answers = world.handle(result(guid, "a"), result(guid, "b", entities=(table("poison"),)), result(guid, "c"))
    assert [type(answer) for answer in answers] == [Retry, Retry, Retry]
    assert [type(answer) for answer in world.handle(result(guid, "a"), result(guid, "c"))] == [Ok, Ok]


def test_a_run_the_store_refuses_altogether_is_a_dead_letter_with_the_stores_words() -> None:
    world = SinkWorld()
    guid = world.start()
    world.wire.is_refused = lambda write: write.type_name == types.RUN
    [answer] = world.handle(result(guid))
    assert isinstance(answer, Fallback)
    assert (answer.letter.reason, answer.letter.run_guid) == ("not this one", guid)


def test_a_run_whose_document_the_store_wont_have_ends_and_says_so() -> None:
    world = SinkWorld()
    guid = world.start(task("a"), task("b", depends="a"))
    is_new = '"SUCCESS"'
    world.wire.is_refused = lambda write: is_new in write.attributes.get(types.RUN_CONFIG, "")
    [answer] = world.handle(result(guid))
    assert isinstance(answer, Fallback)
    assert world.status(guid) == "FAILURE"
    error = world.document(guid)["engine"]["error"]
    assert (error["name"], "not this one" in error["message"]) == ("Engine.Internal", True)
    assert world.handle(Tick(run_guid=guid, at=NOW + 1)) == [Ok()]


def test_a_command_whose_write_is_refused_ends_the_run_all_the_same() -> None:
    world = SinkWorld()
    guid = world.start(task("a"), task("b", depends="a"))
    world.handle(result(guid))
    world.ask(guid, "terminate")
    world.wire.is_refused = lambda write: '"TERMINATED"' in write.attributes.get(types.RUN_CONFIG, "")
    assert world.handle(Tick(run_guid=guid, at=NOW + 1)) == [Ok()]
    assert world.status(guid) == "FAILURE"
