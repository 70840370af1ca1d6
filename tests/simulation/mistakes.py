"""One mistake for each rule of the design, made in the tests: the product's handlers with one thing done wrong."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pipeline.core.errors import ErrorName
from pipeline.core.statuses import TERMINAL, RunStatus, TaskStatus
from pipeline.machine.apply import apply
from pipeline.machine.effects import Effect, Transition, WriteEntity
from pipeline.machine.inputs import Command, Input
from pipeline.machine.inputs import Tick as Due
from pipeline.machine.opened import Key, OpenedRuns, T
from pipeline.machine.run import Run
from pipeline.messages.canonical import decode
from pipeline.messages.envelopes import Dispatch, EntityWrite, ErrorInfo, Outcome, Result
from pipeline.messages.tagged import Tagged
from pipeline.store import types
from pipeline.store.mapping import CommandView
from pipeline.store.port import EntityStore
from pipeline.testing.handlers import Orchestrator, SinkPorts, Timer
from pipeline.testing.world import World
from sinks.atlas.handler import AtlasSinkHandler
from sinks.atlas.judging import Judge, Loaded, Plan, in_order
from sinks.atlas.reading import Reader
from sinks.atlas.writing import BulkWriter, Fate, Piece, Written
from sources.timer.handler import TimerHandler
from tests.simulation.broken import Apart, Broken
from tests.simulation.real_handlers import RealHandlers
from udfs.orchestrator.handler import OrchestratorHandler

# Rule 1: every attribute has one owner


def creator_writes_the_status(seed: int) -> World:
    """Who creates a run says that it is PENDING: a repeated create takes back its end."""
    world = World(seed, RealHandlers())
    store = world.people._store
    upsert = store.upsert

    async def with_status(entities: Sequence[EntityWrite]) -> dict[str, str]:
        return await upsert(
            [
                write.model_copy(update={"attributes": {**write.attributes, types.RUN_STATUS: RunStatus.PENDING.value}})
                if write.type_name == types.RUN
                else write
                for write in entities
            ]
        )

    store.upsert = with_status  # type: ignore[method-assign]
    return world


# Rule 2: a command is closed in the same bulk as the state


class VerdictApart(Broken):
    apart = Apart(types.COMMAND, is_first=True)


class OutOfTurn(Reader):
    def _in_turn(self, asked: Sequence[CommandView]) -> set[str]:
        return set()


class ObeysWhatComesFirst(Broken):
    reader_type = OutOfTurn


# Rule 3: a tick reads before it judges


class ReadsNoCommands(Reader):
    async def _open_commands(self, run_guids: set[str]) -> list[CommandView]:
        return []


class TickReadsNothing(Broken):
    reader_type = ReadsNoCommands


class TimeFirst(Judge):
    def plan(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> Plan:
        ticks = [given for given in inputs if isinstance(given, Due)]
        rest = [given for given in in_order(inputs) if not isinstance(given, Due)]
        transition = apply(
            loaded.run, [*ticks, *rest], now_ms=now_ms, evaluator=self._evaluator, outputs=loaded.outputs
        )
        return self._plan(loaded, transition)


class TickJudgesFirst(Broken):
    judge_type = TimeFirst


class LazyTimer(TimerHandler):
    async def _sweep(self, now: int) -> list[tuple[str, str]]:
        return []


class TimerSeesOnlyWakeUps(RealHandlers):
    def timer(self, store: EntityStore, clock: Any) -> Timer:
        return LazyTimer(store, clock)


# Rule 4: one writer, fenced


class NoLease:
    """Everybody always holds it."""

    async def acquire(self) -> bool:
        return True

    def remaining_s(self) -> float:
        return 30.0

    async def release(self) -> None:
        pass


class Unfenced(Broken):
    def ports(self, ports: SinkPorts) -> SinkPorts:
        return replace(ports, lease=NoLease())


class RemembersAfterTheLease(RealHandlers):
    class Forgetless(AtlasSinkHandler):
        async def _holds_lease(self) -> bool:
            return await self._lease.acquire()

    sink_type = Forgetless


# Rule 6: one write a transition


class RevisionAResult(Judge):
    def plan(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> Plan:
        run, is_changed = loaded.run, False
        effects: list[Effect] = []
        for given in in_order(inputs):
            one = apply(run, [given], now_ms=now_ms, evaluator=self._evaluator, outputs=loaded.outputs)
            run, is_changed = one.run, is_changed or one.is_changed
            effects += one.effects
        return self._plan(loaded, Transition(run, is_changed, tuple(effects)))


class RevisionRisesAResult(Broken):
    judge_type = RevisionAResult


class SendsAllRunning(OrchestratorHandler):
    def _dispatches(self, run: Run) -> list[Dispatch | Result]:
        tasks = {
            name: replace(state, dispatched_revision=run.revision) if state.status is TaskStatus.RUNNING else state
            for name, state in run.tasks.items()
        }
        return super()._dispatches(replace(run, tasks=tasks))


class DispatchesWhateverRuns(RealHandlers):
    def orchestrator(self, seal: Any, evaluator: Any, known_types: Any, shards: int) -> Orchestrator:
        return SendsAllRunning(seal, evaluator, known_types=known_types, shards=shards)


class Untold(Judge):
    def _applied(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> Transition:
        return super()._applied(replace(loaded, is_untold=False), inputs, now_ms)


class TellsNobodyOfTheStart(Broken):
    judge_type = Untold


class Restless(Judge):
    """Applies as if the run weren't paused, and writes that it is."""

    def _applied(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> Transition:
        if loaded.run.paused is None or any(isinstance(given, Command) for given in inputs):
            return super()._applied(loaded, inputs, now_ms)
        done = super()._applied(replace(loaded, run=replace(loaded.run, paused=None)), inputs, now_ms)
        return replace(done, run=replace(done.run, paused=loaded.run.paused))


class DispatchesWhilePaused(Broken):
    judge_type = Restless


# Rule 7: merging only grows


class LastWins(Judge):
    def plan(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> Plan:
        named = {given.task for given in inputs if isinstance(given, Result)}
        tasks = {
            name: replace(state, status=TaskStatus.RUNNING, attempt=0)
            if name in named and state.status in TERMINAL and state.attempt
            else state
            for name, state in loaded.run.tasks.items()
        }
        return super().plan(replace(loaded, run=replace(loaded.run, tasks=tasks)), inputs, now_ms)


class LastResultWins(Broken):
    judge_type = LastWins


# Rule 8: effect keys


class Rewrites(OrchestratorHandler):
    """Sends another step, and so another effect key, than the document says."""

    step: Callable[[Dispatch], int]

    def _to_runner(self, message: Dispatch) -> Tagged:
        return super()._to_runner(message.model_copy(update={"step": type(self).step(message)}))


class KeyOfTheAttempt(RealHandlers):
    class Handler(Rewrites):
        step = staticmethod(lambda message: message.step + 100 * message.attempt)

    def orchestrator(self, seal: Any, evaluator: Any, known_types: Any, shards: int) -> Orchestrator:
        return self.Handler(seal, evaluator, known_types=known_types, shards=shards)


class KeyWithoutStep(KeyOfTheAttempt):
    class Handler(Rewrites):
        step = staticmethod(lambda _: 0)


class Impatient(Judge):
    """Tries an incident again whose step is done."""

    def _applied(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> Transition:
        tasks = {name: replace(state, waited=None) for name, state in loaded.run.tasks.items()}
        return super()._applied(replace(loaded, run=replace(loaded.run, tasks=tasks)), inputs, now_ms)


class RepeatsADoneStep(Broken):
    judge_type = Impatient


# Rule 9: the dispatch lease isn't the time-out


class LeaseIsTimeout(Judge):
    def plan(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> Plan:
        if not any(isinstance(given, Due) for given in inputs):
            return super().plan(loaded, inputs, now_ms)
        failed = [
            Result(
                run_guid=loaded.run.guid,
                task=name,
                round=state.round,
                attempt=state.attempt,
                step=state.step,
                outcome=Outcome.FAILED,
                error=ErrorInfo(name=ErrorName.TASK_TIMEOUT),
                started_at=now_ms,
                ended_at=now_ms,
            )
            for name, state in loaded.run.tasks.items()
            if state.status is TaskStatus.RUNNING and state.lease_until is not None and state.lease_until <= now_ms
        ]
        return super().plan(loaded, [*inputs, *failed], now_ms)


class LeaseEndsTheAttempt(Broken):
    judge_type = LeaseIsTimeout


class NeverAgain(Judge):
    def plan(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> Plan:
        tasks = {
            name: replace(state, lease_until=now_ms + 3_600_000) if state.lease_until is not None else state
            for name, state in loaded.run.tasks.items()
        }
        return super().plan(replace(loaded, run=replace(loaded.run, tasks=tasks)), inputs, now_ms)


class NeverDispatchesAgain(Broken):
    judge_type = NeverAgain


# Rule 10: an unknown outcome is read, a refusal is split


class Forgets(BulkWriter):
    async def write(self, pieces: Sequence[Piece]) -> dict[str, Written]:
        ends = await super().write(pieces)
        return {guid: replace(end, fate=_known(end.fate)) for guid, end in ends.items()}


def _known(fate: Fate) -> Fate:
    return Fate.UNAVAILABLE if fate is Fate.UNKNOWN else fate


class RepeatsTheUnknown(Broken):
    writer_type = Forgets


class Whole(BulkWriter):
    async def _write_together(self, pieces: Sequence[Piece], ends: dict[str, Written]) -> None:
        end = await self._send(pieces, ends)
        ends.update((piece.run_guid, end) for piece in pieces)


class RefusedForAll(RealHandlers):
    """A refused bulk is given up as a whole."""

    class GivesUp(AtlasSinkHandler):
        def __init__(self, *args: Any, **parts: Any) -> None:
            super().__init__(*args, **parts)
            self._writer = Whole(args[0], args[3], args[4], parts["observer"])

        async def _one_by_one(self, group: Any, found: Loaded, now_ms: int) -> dict[str, Any]:
            return {ident: self._fallback(payload, "refused", None) for ident, payload, _ in group.given}

    sink_type = GivesUp


class Parting(Judge):
    def _plan(self, loaded: Loaded, transition: Transition) -> Plan:
        """The entities that were refused are left out, the state stays."""
        kept = tuple(
            effect
            for effect in transition.effects
            if not (isinstance(effect, WriteEntity) and "poison" in effect.entity.attributes)
        )
        return super()._plan(loaded, replace(transition, effects=kept))


class StateWithoutItsEntities(Broken):
    judge_type = Parting


class OutputsApart(Broken):
    apart = Apart(types.OUTPUT, is_first=False)


class Unread(Judge):
    def plan(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> Plan:
        nothing: dict[str, Any] = {name: {} for name in loaded.run.tasks}
        return super().plan(replace(loaded, outputs=nothing), inputs, now_ms)


class JudgesWithoutOutputs(Broken):
    judge_type = Unread


# Rule 11: the engine believes only what it signed


class Credulous(Reader):
    def _hear(self, command: CommandView) -> Any:
        body = {key: value for key, value in decode(command.text).items() if key != "signature"}
        return Command(command.guid, command.qualified_name, body)


class BelievesAnybody(Broken):
    reader_type = Credulous


def _world(handlers: type[RealHandlers]) -> Callable[[int], World]:
    return lambda seed: World(seed, handlers())


# A text that was opened is found by all of it


class KnowsRunsByTheirGuid(OpenedRuns):
    """Whatever text of a run is opened next, it is taken for the first one."""

    def _get(self, kind: type[T], key: Key, opened: Callable[[], T]) -> T:
        return super()._get(kind, (*key[:-1], ""), opened)


class OpensARunOnce(RealHandlers):
    opened_type = KnowsRunsByTheirGuid


MISTAKES: dict[str, Callable[[int], World]] = {
    "1 the creator writes the status": creator_writes_the_status,
    "2 the verdict is written before the state": _world(VerdictApart),
    "2 a command is obeyed before an earlier one": _world(ObeysWhatComesFirst),
    "3 a tick doesn't read the commands": _world(TickReadsNothing),
    "3 a tick judges before what it read": _world(TickJudgesFirst),
    "3 the timer sees wake-ups only": _world(TimerSeesOnlyWakeUps),
    "4 nobody is fenced": _world(Unfenced),
    "4 a lost lease leaves the cache": _world(RemembersAfterTheLease),
    "6 the revision rises a result": _world(RevisionRisesAResult),
    "6 whatever runs is dispatched": _world(DispatchesWhateverRuns),
    "6 what an admitted run starts with is never dispatched": _world(TellsNobodyOfTheStart),
    "6 a paused run goes on": _world(DispatchesWhilePaused),
    "7 the last result wins": _world(LastResultWins),
    "8 the effect key has the attempt": _world(KeyOfTheAttempt),
    "8 the effect key has no step": _world(KeyWithoutStep),
    "8 a step that is done is done again for an incident": _world(RepeatsADoneStep),
    "9 the dispatch lease is the time-out": _world(LeaseEndsTheAttempt),
    "9 a lost dispatch isn't repeated": _world(NeverDispatchesAgain),
    "10 an unknown outcome is repeated": _world(RepeatsTheUnknown),
    "10 a refused bulk is given up as a whole": _world(RefusedForAll),
    "10 a state without its entities": _world(StateWithoutItsEntities),
    "10 an output is written after the state that names it": _world(OutputsApart),
    "10 a condition is judged without the output it reads": _world(JudgesWithoutOutputs),
    "6 an older document of a run is taken for the one that came": _world(OpensARunOnce),
    "11 an unsigned command is heard": _world(BelievesAnybody),
}
