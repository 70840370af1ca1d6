"""What a sink tells: by its real handler, on a store in memory where things go wrong."""

import asyncio

import pytest

from pipeline.messages.envelopes import EntityWrite, Event, Look, Operation, Outcome
from pipeline.messages.seal import Seal
from pipeline.messages.tagged import dead_letter
from pipeline.store import types
from pipeline.store.port import StoreUnavailableError, StoreUnknownError
from pipeline.testing.fake_evaluator import FakeEvaluator
from sinks.atlas.answers import Fallback, Shard, SinkObserver
from sinks.atlas.counting import CountingObserver
from sinks.dead_letter.counting import Cause, cause_of, count_letter
from sinks.dead_letter.handler import DeadLetterHandler
from tests.numbers import rise, sample
from tests.unit.sinks.world import NOW, SinkWorld, result, task
from udfs.orchestrator.handler import OrchestratorHandler


def keep(payload: bytes) -> None:
    world = SinkWorld()
    handler = DeadLetterHandler(world.store, world.clock, on_kept=count_letter)
    assert asyncio.run(handler.handle([("1", payload)])) == {"1": True}


class CountedWorld(SinkWorld):
    """As it is put together in a container."""

    def told(self, shard: Shard) -> SinkObserver:
        return CountingObserver(shard, self.lease)


def test_a_run_is_started_once_and_ended_once() -> None:
    world = CountedWorld()
    guid = world.start(task("a"), task("b", depends="a"))
    with (
        rise("blockline_runs_started_total", shard="0") as started,
        rise("blockline_runs_ended_total", shard="0", status="SUCCESS") as ended,
        rise("blockline_sink_state_changes_total", shard="0") as changes,
        rise("blockline_sink_batch_messages_count", shard="0") as batches,
        rise("blockline_sink_inputs_total", shard="0") as inputs,
        rise("blockline_handling_seconds_count", vertex="atlas-0") as handled,
    ):
        world.handle(result(guid, "a"))
        assert (started(), ended()) == (1, 0)
        world.handle(result(guid, "a"), result(guid, "b"))
        world.handle(result(guid, "b"))
    assert world.status(guid) == "SUCCESS"
    assert (started(), ended(), changes()) == (1, 1, 2)
    assert (batches(), inputs(), handled()) == (3, 4, 3)


def test_a_run_that_fails_is_told_from_one_that_succeeds() -> None:
    world = CountedWorld()
    guid = world.start()
    with rise("blockline_runs_ended_total", shard="0", status="FAILURE") as ended:
        world.handle(result(guid, outcome=Outcome.FAILED))
    assert (world.status(guid), ended()) == ("FAILURE", 1)


@pytest.mark.parametrize(
    ("error", "fate"), [(StoreUnavailableError("locked"), "UNAVAILABLE"), (StoreUnknownError("no answer"), "UNKNOWN")]
)
def test_writes_are_told_apart_by_how_they_ended(error: Exception, fate: str) -> None:
    world = CountedWorld()
    guid = world.start()
    world.wire.before_write = [error]
    with (
        rise("blockline_sink_writes_total", shard="0", fate=fate) as failed,
        rise("blockline_sink_writes_total", shard="0", fate="WRITTEN") as written,
        rise("blockline_sink_write_requests_total", shard="0") as requests,
        rise("blockline_runs_started_total", shard="0") as started,
    ):
        world.handle(result(guid))
        assert (failed(), written(), started()) == (1, 0, 0)
        world.handle(result(guid))
    assert (failed(), written(), requests(), started()) == (1, 1, 2, 1)


def test_whoever_asks_learns_whether_the_lease_is_held() -> None:
    world = CountedWorld()
    assert sample("blockline_sink_lease_held", shard="0", slots="0-255") == 1
    world.lease.left_s = 0
    assert sample("blockline_sink_lease_held", shard="0", slots="0-255") == 0


def test_an_alert_is_counted_by_its_kind() -> None:
    world = CountedWorld()
    guid = world.start()
    world.handle(result(guid))
    forged = {types.RUN_CONFIG: "forged"}
    world.write(EntityWrite(type_name=types.RUN, qualified_name="blockline/runs/1", attributes={"name": "1", **forged}))
    world.sink = world.new_sink()
    with rise("blockline_sink_alerts_total", shard="0", kind="tampered") as alerts:
        world.handle(Look(run_guid=guid, reason="event"))
    assert alerts() == 1


def test_a_letter_of_the_sink_is_counted_once_by_the_sink() -> None:
    world = CountedWorld()
    with rise("blockline_dead_letters_total", vertex="atlas-0", cause="NO_RUN") as letters:
        (answer,) = world.handle(result("nobody"))
    assert isinstance(answer, Fallback)
    assert letters() == 1


@pytest.mark.parametrize(
    ("vertex", "reason", "cause"),
    [
        ("atlas-0", "there is no such run", Cause.NO_RUN),
        ("atlas-3", "this run belongs to atlas-1", Cause.MISDIRECTED),
        ("atlas-0", "the sink failed on this (KeyError)", Cause.FAILED),
        ("atlas-0", "ATLAS-404-00-005: no entity", Cause.REFUSED),
        ("dead-letter", "the sink of its run refused it for good; the sink's log says why", Cause.REFUSED),
        ("runner-http", "a task of type PASS came to runner-http", Cause.MISDIRECTED),
        ("runner-http", "the runner failed at this message: its log says how", Cause.FAILED),
        ("orchestrator", "the orchestrator failed on this event (KeyError)", Cause.FAILED),
        ("cdc", "the source failed on this message (KeyError)", Cause.FAILED),
        ("cdc", "the event takes 9999999 bytes; 921600 fit in a message", Cause.TOO_LARGE),
    ],
)
def test_a_sentence_has_a_cause(vertex: str, reason: str, cause: Cause) -> None:
    assert cause_of(vertex, reason) is cause


def test_what_the_orchestrator_cannot_read_is_unreadable() -> None:
    handler = OrchestratorHandler(
        Seal(b"a key of thirty-two bytes or more"), FakeEvaluator(), known_types=["PASS"], shards=1
    )
    garbage = [b"\xff", Event(entity="run", operation=Operation.CREATE, guid="g", at=NOW).encode()[:-5]]
    for payload in garbage:
        (sent,) = handler.handle(payload, NOW)
        with rise("blockline_dead_letters_total", vertex="orchestrator", cause="UNREADABLE") as letters:
            keep(sent.payload)
        assert letters() == 1


def test_a_vertex_that_no_pipeline_has_makes_no_series() -> None:
    letter = dead_letter(b"{}", reason="rosa@example.org asked", vertex="Rosa <rosa@example.org>", at=NOW)
    with rise("blockline_dead_letters_total", vertex="unknown", cause="UNREADABLE") as letters:
        keep(letter.encode())
    assert letters() == 1
