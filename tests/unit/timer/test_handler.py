import asyncio

from pipeline.messages.envelopes import EntityWrite, Event, Operation, Replay
from pipeline.store import types
from pipeline.store.memory import MemoryEntityStore
from sources.timer import handler as module
from sources.timer.handler import TimerHandler

NOW = 1_800_000_000_000


class Clock:
    def __init__(self) -> None:
        self.ms = NOW

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


def world(*writes: EntityWrite) -> tuple[TimerHandler, Clock, dict[str, str]]:
    clock = Clock()
    store = MemoryEntityStore(clock.now_ms)
    guids = asyncio.run(store.upsert(writes))
    return TimerHandler(store, clock), clock, guids


def entity(type_name: str, name: str, **attributes: object) -> EntityWrite:
    return EntityWrite(type_name=type_name, qualified_name=name, attributes={"name": name, **attributes})


def ticked(timer: TimerHandler) -> dict[str, str]:
    found = asyncio.run(timer.poll())
    return {event.run_guid: offset for offset, event in found if isinstance(event, Event)}


def test_due_runs_are_ticked_and_nobody_else() -> None:
    timer, _, guids = world(
        entity(types.RUN, "due", workflowRunWakeAt=NOW, workflowRunStatus="PENDING"),
        entity(types.RUN, "later", workflowRunWakeAt=NOW + 1, workflowRunStatus="PENDING"),
        entity(types.RUN, "over", workflowRunWakeAt=0, workflowRunStatus="SUCCESS"),
    )
    assert ticked(timer) == {guids["due"]: f"{guids['due']}:{NOW}:{NOW // 60_000}"}
    assert timer.pending == 1
    assert timer.late_ms == 0


def test_who_is_behind_looks_only_for_what_cannot_wait() -> None:
    timer, clock, guids = world(
        entity(types.RUN, "late", workflowRunWakeAt=NOW - 500, workflowRunStatus="PENDING"),
        entity(types.RUN, "none", workflowRunWakeAt=0, workflowRunStatus="PENDING"),
    )
    assert set(ticked(timer)) == {guids["late"], guids["none"]}
    clock.ms += module.SWEEP_MS
    found = asyncio.run(timer.poll(is_behind=True))
    assert [event.run_guid for _, event in found if isinstance(event, Event)] == [guids["none"]]
    assert timer.late_ms == 500, "as the last look at all of them found it"


def test_how_late_it_is_goes_by_the_run_that_has_been_due_longest() -> None:
    timer, clock, _ = world(
        entity(types.RUN, "late", workflowRunWakeAt=NOW - 500, workflowRunStatus="PENDING"),
        entity(types.RUN, "later", workflowRunWakeAt=NOW - 90_000, workflowRunStatus="PENDING"),
        entity(types.RUN, "none", workflowRunWakeAt=0, workflowRunStatus="PENDING"),
    )
    assert timer.late_ms == 0
    ticked(timer)
    assert timer.late_ms == 90_000
    clock.ms += 1_000
    ticked(timer)
    assert timer.late_ms == 91_000


def test_a_tick_is_an_event_of_the_run() -> None:
    timer, _, guids = world(entity(types.RUN, "due", workflowRunWakeAt=1))
    [(_, event)] = asyncio.run(timer.poll())
    assert isinstance(event, Event)
    assert (event.entity, event.operation, event.guid, event.at) == ("run", Operation.TICK, guids["due"], NOW)


def test_every_page_is_read() -> None:
    count = module.PAGE * 2 + 1
    timer, _, _ = world(*(entity(types.RUN, f"r{number}", workflowRunWakeAt=1 + number) for number in range(count)))
    assert len(ticked(timer)) == count


def test_living_runs_without_a_wake_up_are_found() -> None:
    timer, _, guids = world(entity(types.RUN, "bare"), entity(types.RUN, "odd", workflowRunStatus="PENDING"))
    assert set(ticked(timer)) == {guids["bare"], guids["odd"]}


def test_commands_count_once_they_are_five_seconds_old() -> None:
    timer, clock, guids = world(
        entity(types.COMMAND, "run-1/a", workflowRunCommandStatus="OPEN", workflowRunCommandAt=NOW - 4_999),
        entity(types.COMMAND, "run-2/b", workflowRunCommandStatus="APPLIED", workflowRunCommandAt=NOW - 9_999),
    )
    assert ticked(timer) == {}
    clock.ms += 4_999
    assert ticked(timer) == {}, "sweeps are five seconds apart"
    clock.ms += 1
    assert ticked(timer) == {"run-1": f"run-1:{guids['run-1/a']}:{clock.ms // 60_000}"}


def test_decisions_written_on_items_are_found_while_the_item_is_open() -> None:
    timer, _, _ = world(
        entity(types.ITEM, "run-1/t/0/0/bob", workflowTaskStatus="OPEN", taskExecutionAction="APPROVED"),
        entity(types.ITEM, "run-2/t/0/0/bob", workflowTaskStatus="OPEN"),
        entity(types.ITEM, "run-3/t/0/0/bob", workflowTaskStatus="DECIDED", taskExecutionAction="APPROVED"),
    )
    assert set(ticked(timer)) == {"run-1"}


def test_a_clock_that_jumps_back_doesnt_stop_the_sweeps() -> None:
    timer, clock, guids = world(entity(types.RUN, "bare"))
    assert set(ticked(timer)) == {guids["bare"]}
    clock.ms -= 3_600_000
    assert set(ticked(timer)) == {guids["bare"]}


def test_letters_that_are_asked_for_are_sent_again_by_each_sweep_until_they_are_done() -> None:
    name = "blockline/dead-letters/1"
    letter = entity(
        types.DEAD_LETTER,
        name,
        workflowDeadLetterVertex="cdc",
        workflowDeadLetterPayload="e30=",
        workflowDeadLetterReplay="sealed",
        workflowDeadLetterReplayStatus="ASKED",
        workflowDeadLetterReplayAt=NOW - 1,
    )
    timer, clock, guids = world(
        letter,
        entity(types.DEAD_LETTER, "kept"),
        entity(types.DEAD_LETTER, "done", workflowDeadLetterReplayStatus="DONE"),
    )
    [(offset, replay)] = asyncio.run(timer.poll())
    assert isinstance(replay, Replay)
    assert offset == f"{guids[name]}:{NOW - 1}:{NOW // 60_000}"
    assert (replay.letter, replay.vertex, replay.payload_base64, replay.request) == (name, "cdc", "e30=", "sealed")
    assert asyncio.run(timer.poll()) == []
    clock.ms += module.SWEEP_MS
    assert len(asyncio.run(timer.poll())) == 1


def test_a_letter_that_somebody_made_longer_than_any_is_sent_without_its_bytes() -> None:
    timer, _, _ = world(
        entity(
            types.DEAD_LETTER,
            "long",
            workflowDeadLetterPayload="A" * 2 * 1024 * 1024,
            workflowDeadLetterReplayStatus="ASKED",
        )
    )
    [(_, replay)] = asyncio.run(timer.poll())
    assert isinstance(replay, Replay)
    assert replay.payload_base64 == ""
