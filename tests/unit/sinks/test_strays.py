"""What comes to a sink that doesn't own the run, as while the number of sinks changes."""

import asyncio

import pytest

from pipeline.core.ids import shard_of
from pipeline.core.limits import DEAD_LETTER_PAYLOAD_BYTES_MAX
from pipeline.messages.envelopes import CommandInput, Look, Message, Replay, Result, Tick, parse_replayed
from pipeline.messages.tagged import DEAD_TAG, shard_tag
from pipeline.store import types
from pipeline.store.port import Entity, Query, StoreRefusedError, StoreUnavailableError, StoreUnknownError
from pipeline.testing.fake_evaluator import FakeEvaluator
from sinks.atlas.answers import Fallback, Ok, Retry, Shard
from sources.timer.handler import TimerHandler
from tests.unit.sinks.world import NOW, SEAL, SinkWorld, result
from udfs.orchestrator.handler import OrchestratorHandler

SHARDS = 2


class Elsewhere(SinkWorld):
    """One sink of two, and a run that is the other one's."""

    def __init__(self) -> None:
        super().__init__()
        self.guid = self.start(name="blockline/runs/1")
        self.owner = shard_of(self.guid, SHARDS)
        self.sink = self.new_sink(Shard(1 - self.owner, SHARDS))
        self.wire.bulks.clear()

    def letters(self) -> list[Entity]:
        names = (types.DEAD_LETTER_REPLAY_STATUS, types.DEAD_LETTER_REPLAY_BY, types.DEAD_LETTER_REASON)
        return asyncio.run(self.store.find(Query(types.DEAD_LETTER, limit=10, attributes=names)))

    def sent_again(self) -> list[tuple[str, bytes]]:
        """What the pipeline makes of the requests on the letters, by whoever counts two sinks."""
        found = asyncio.run(TimerHandler(self.store, self.clock).poll())
        orchestrator = OrchestratorHandler(SEAL, FakeEvaluator(), known_types=["PASS"], shards=SHARDS)
        return [
            (tagged.tag, tagged.payload)
            for _, event in found
            if isinstance(event, Replay)
            for tagged in orchestrator.handle(event.encode(), self.clock.now_ms())
        ]


def test_a_result_is_sent_to_its_own_sink() -> None:
    world = Elsewhere()
    given = result(world.guid)
    assert world.handle(given) == [Ok()]
    assert world.status(world.guid) == "None", "who doesn't own a run doesn't judge it"
    (letter,) = world.letters()
    assert letter.attributes[types.DEAD_LETTER_REPLAY_STATUS] == "ASKED"
    assert letter.attributes[types.DEAD_LETTER_REPLAY_BY] == "blockline"
    assert letter.attributes[types.DEAD_LETTER_REASON] == f"this run belongs to atlas-{world.owner}"
    (sent, told) = world.sent_again()
    assert sent == (shard_tag(world.owner), given.encode())
    assert told[0] == DEAD_TAG
    assert not parse_replayed(told[1]).is_refused
    world.sink = world.new_sink(Shard(world.owner, SHARDS))
    assert world.handle(sent[1]) == [Ok()]
    assert world.status(world.guid) == "SUCCESS"


def test_a_repeat_is_the_same_letter() -> None:
    world = Elsewhere()
    assert world.handle(result(world.guid), result(world.guid)) == [Ok(), Ok()]
    world.clock.ms += 1_000
    assert world.handle(result(world.guid)) == [Ok()]
    assert len(world.letters()) == 1
    assert len(world.sent_again()) == 2


@pytest.mark.parametrize("kind", ["tick", "look", "command"])
def test_what_only_says_that_something_is_to_be_read_is_left_to_the_timer(kind: str) -> None:
    world = Elsewhere()
    messages: dict[str, Message] = {
        "tick": Tick(run_guid=world.guid, at=NOW),
        "look": Look(run_guid=world.guid, reason="start"),
        "command": CommandInput(run_guid=world.guid, command_guid="c", qualified_name=f"{world.guid}/c", command="{}"),
    }
    assert world.handle(messages[kind]) == [Ok()]
    assert world.wire.bulks == []


def test_its_own_runs_are_judged_beside() -> None:
    world = Elsewhere()
    mine = next(
        guid
        for number in range(100)
        if shard_of(guid := world.start(name=f"blockline/runs/mine-{number}"), SHARDS) != world.owner
    )
    assert world.handle(result(world.guid), b"nonsense", result(mine))[::2] == [Ok(), Ok()]
    assert world.status(mine) == "SUCCESS"
    assert world.status(world.guid) == "None"


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), StoreUnknownError("no answer")])
def test_until_it_is_kept_it_comes_again(error: Exception) -> None:
    world = Elsewhere()
    world.wire.before_write.append(error)
    (answer,) = world.handle(result(world.guid))
    assert isinstance(answer, Retry)
    assert world.handle(result(world.guid)) == [Ok()]
    assert len(world.sent_again()) == 2


def test_one_that_the_store_refuses_is_a_letter_for_people() -> None:
    world = Elsewhere()
    world.wire.before_write.append(StoreRefusedError("not this one"))
    (answer,) = world.handle(result(world.guid))
    assert isinstance(answer, Fallback)
    assert world.sent_again() == []


def test_many_go_in_several_requests() -> None:
    world = Elsewhere()
    answers = world.handle(*(result(world.guid, f"t{number}") for number in range(50)))
    assert answers == [Ok()] * 50
    assert [len(bulk) for bulk in world.wire.bulks] == [20, 20, 10]


def test_one_that_no_letter_holds_is_left_to_its_tasks_lease() -> None:
    world = Elsewhere()
    large = result(world.guid, output="x" * DEAD_LETTER_PAYLOAD_BYTES_MAX)
    assert isinstance(large, Result)
    (answer,) = world.handle(large)
    assert isinstance(answer, Fallback)
    assert "dispatched again" in answer.letter.reason
    assert world.sent_again() == []
