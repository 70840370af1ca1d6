"""The one writer of a range of runs: merges a batch run by run and writes all of it in one bulk request."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline.core.clock import Clock
from pipeline.core.ids import shard_of
from pipeline.core.limits import STORE_WRITE_TIMEOUT_S
from pipeline.machine.inputs import Input
from pipeline.machine.inputs import Tick as Due
from pipeline.machine.opened import OpenedRuns
from pipeline.messages.canonical import MalformedError
from pipeline.messages.envelopes import DeadLetter, Result, Tick, parse_shard_input
from pipeline.messages.seal import Seal
from pipeline.messages.tagged import dead_letter
from pipeline.spec.expressions import Evaluator
from pipeline.store import types
from pipeline.store.leases import SlotLease
from pipeline.store.mapping import dead_letter_write, effect_writes
from pipeline.store.port import EntityStore, Query, StoreRefusedError, StoreUnavailableError, StoreUnknownError
from pipeline.telemetry.traces_run import SinkTraces
from sinks.atlas.answers import Answer, Fallback, Ok, Retry, Shard, SinkObserver
from sinks.atlas.blame import OneByOne
from sinks.atlas.cache import KEPT_RUNS_MAX, Kept, WrittenRuns
from sinks.atlas.judging import Judge, Loaded, Plan
from sinks.atlas.planning import Planner
from sinks.atlas.reading import NO_SUCH_RUN, Admits, Message, NoRun, Reader
from sinks.atlas.strays import Stray, Strays
from sinks.atlas.writing import BulkWriter, Fate, Piece, Written

UNTRIED: Final = "a write before this one has an unknown outcome"
ALONE_TRIES_MAX: Final = 3
"""How often the sink may fail on one run alone before that run is given up; the plane waits between the tries."""
NO_LEASE: Final = "another sink holds these slots, or the lease ends too soon"


@dataclass(slots=True)
class Group:
    """What a batch brought for one run, in the order of arrival: id, payload, message."""

    given: list[tuple[str, bytes, Message]] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """The messages alone."""
        return [message for _, _, message in self.given]


class AtlasSinkHandler:
    """Handles one batch at a time; the same message may come again at any time."""

    def __init__(  # noqa: PLR0913  (its ports; nothing of it has a sensible default)
        self,
        store: EntityStore,
        seal: Seal,
        evaluator: Evaluator,
        lease: SlotLease,
        clock: Clock,
        *,
        shard: Shard,
        admission: Admits,
        observer: SinkObserver,
        kept_runs_max: int = KEPT_RUNS_MAX,
        opened: OpenedRuns | None = None,
        traces: SinkTraces | None = None,
    ) -> None:
        """``lease`` is this shard's; once lost it stays lost until ``acquire``. ``opened`` is what other parts of this
        process have opened already; ``traces`` are its own, where there is tracing.
        """
        opened = opened or OpenedRuns(seal, evaluator)
        self._store = store
        self._lease = lease
        self._clock = clock
        self._shard = shard
        self._observer = observer
        self._cache = WrittenRuns(kept_runs_max)
        self._reader = Reader(store, seal, evaluator, admission, observer, opened=opened)
        self._planner = Planner(Judge(seal, evaluator, opened), store, observer)
        self._writer = BulkWriter(store, lease, clock, observer)
        self._alone = OneByOne(self._planner, self._writer)
        self._strays = Strays(store, seal, clock, shard, observer)
        self._failed_alone: dict[str, int] = {}
        self._traces = traces

    async def handle(self, batch: Sequence[tuple[str, bytes]]) -> dict[str, Answer]:
        """An answer for each message (id, payload) of the batch. Never raises."""
        self._observer.inputs(len(batch))
        began_s = self._clock.monotonic_s()
        try:
            if self._traces is None:
                return await self._answers(batch)
            return await self._traced(batch, self._traces)
        finally:
            self._observer.handled(self._clock.monotonic_s() - began_s)

    async def _traced(self, batch: Sequence[tuple[str, bytes]], traces: SinkTraces) -> dict[str, Answer]:
        began_at = self._clock.now_ms()
        try:
            return await self._answers(batch)
        finally:
            traces.batch_ended(len(batch), began_at)

    async def _answers(self, batch: Sequence[tuple[str, bytes]]) -> dict[str, Answer]:
        answers: dict[str, Answer] = {}
        try:
            if not await self._holds_lease():
                return {ident: Retry(NO_LEASE) for ident, _ in batch}
            await self._handle(batch, answers)
            self._failed_alone.clear()
        except StoreUnavailableError as error:
            return {ident: answers.get(ident, Retry(str(error))) for ident, _ in batch}
        except Exception as error:  # noqa: BLE001  (an exception that leaves a sink stops the vertex)
            self._cache.clear()
            self._observer.alert("sink-failed", "", f"{type(error).__name__}: {error}")
            await self._each_run([given for given in batch if given[0] not in answers], answers)
        await self._keep_letters([answer.letter for answer in answers.values() if isinstance(answer, Fallback)])
        return answers

    async def _each_run(self, batch: Sequence[tuple[str, bytes]], answers: dict[str, Answer]) -> None:
        """A batch on which the sink failed, run by run: whoever isn't to blame goes on."""
        for guid, group in self._group(batch, answers, []).items():
            given = [(ident, payload) for ident, payload, _ in group.given]
            try:
                await self._handle(given, answers)
                self._failed_alone.pop(guid, None)
            except (StoreUnavailableError, StoreUnknownError) as error:
                answers.update({ident: Retry(str(error)) for ident, _ in given if ident not in answers})
            except Exception as error:  # noqa: BLE001  (as above)
                self._cache.clear()
                left = [one for one in given if one[0] not in answers]
                answers.update(await self._failed_on(guid, left, type(error).__name__))

    async def _failed_on(self, guid: str, given: Sequence[tuple[str, bytes]], error_name: str) -> dict[str, Answer]:
        """Given up once the sink failed on this run again and again while the store answers."""
        self._failed_alone[guid] = self._failed_alone.get(guid, 0) + 1
        sentence = f"the sink failed on this ({error_name})"
        if self._failed_alone[guid] < ALONE_TRIES_MAX or not await self._fail(guid, sentence):
            return {ident: Retry(sentence) for ident, _ in given}
        del self._failed_alone[guid]
        return {ident: self._fallback(payload, sentence, guid) for ident, payload in given}

    async def _fail(self, guid: str, sentence: str) -> bool:
        """The run says that it failed, as far as it can; False while that isn't certain."""
        try:
            await self._store.find(Query(types.RUN, limit=1))
        except Exception:  # noqa: BLE001  (a store that fails on everything says nothing of this run)
            return False
        try:
            entity = (await self._store.get([guid])).get(guid)
            if entity is None:
                return True
            failed = self._reader.failed(entity, None, self._clock.now_ms(), sentence)
            plan = self._planner.judge.plan(failed, [], 0)
            ends = {} if plan.piece is None else await self._writer.write([plan.piece])
        except Exception:  # noqa: BLE001  (the dead letter is all that can be said)
            return True
        if any(end.fate is Fate.WRITTEN for end in ends.values()):
            self._tell(plan)
        return all(end.fate in {Fate.WRITTEN, Fate.REFUSED} for end in ends.values())

    async def _keep_letters(self, letters: Sequence[DeadLetter]) -> None:
        """A fallback hands on the original bytes alone, so the reason is written here."""
        if letters:
            writes = {write.qualified_name: write for write in map(dead_letter_write, letters)}
            with contextlib.suppress(StoreUnavailableError, StoreUnknownError, StoreRefusedError):
                await self._store.upsert(list(writes.values()))
                for letter in letters:
                    self._observer.letter(letter.vertex, letter.reason)

    async def _holds_lease(self) -> bool:
        if self._lease.remaining_s() <= 0:
            self._cache.clear()  # somebody else may have written meanwhile, even if it is ours again now
        if await self._lease.acquire() and self._lease.remaining_s() > STORE_WRITE_TIMEOUT_S:
            return True
        self._cache.clear()
        return False

    async def _handle(self, batch: Sequence[tuple[str, bytes]], answers: dict[str, Answer]) -> None:
        strays: list[Stray] = []
        groups = self._group(batch, answers, strays)
        if strays:
            answers.update(await self._strays.send_on(strays))
        # Taken before reading: what people did before this moment is read, so judging by it cuts nobody short.
        now_ms = self._clock.now_ms()
        loaded = await self._reader.load({guid: group.messages for guid, group in groups.items()}, self._cache, now_ms)
        plans: dict[str, Plan] = {}
        alone: list[str] = []
        gone: dict[str, NoRun] = {}
        for guid, group in groups.items():
            found = loaded[guid]
            if isinstance(found, NoRun):
                gone[guid] = found
                continue
            plan = await self._plan(group, found, now_ms)
            if plan is None:
                alone.append(guid)
            else:
                plans[guid] = plan
        alone += await self._write(plans, groups, answers)
        for guid in alone:
            found = loaded[guid]
            if isinstance(found, Loaded):
                answers.update(await self._one_by_one(groups[guid], found, now_ms))
        for guid, nothing in gone.items():
            answers.update(await self._of_no_run(guid, groups[guid], nothing))

    def _group(
        self, batch: Sequence[tuple[str, bytes]], answers: dict[str, Answer], strays: list[Stray]
    ) -> dict[str, Group]:
        groups: dict[str, Group] = {}
        for ident, payload in batch:
            try:
                message = parse_shard_input(payload)
            except MalformedError as error:
                answers[ident] = self._fallback(payload, str(error), None)
                continue
            if shard_of(message.run_guid, self._shard.shards) == self._shard.number:
                groups.setdefault(message.run_guid, Group()).given.append((ident, payload, message))
            else:
                strays.append((ident, payload, message))
        return groups

    async def _of_no_run(self, guid: str, group: Group, nothing: NoRun) -> dict[str, Answer]:
        """A look or tick of a run that was deleted is old news; a result of one is worth keeping."""
        self._cache.drop(guid)
        rest = None
        if nothing.effects:
            rest = (await self._writer.write([Piece(guid, tuple(effect_writes(nothing.effects)))]))[guid]
        return {
            ident: self._fallback(payload, NO_SUCH_RUN, guid)
            if isinstance(message, Result) or (rest is not None and rest.fate is Fate.REFUSED)
            else self._answer(rest)
            for ident, payload, message in group.given
        }

    async def _plan(self, group: Group, found: Loaded, now_ms: int) -> Plan | None:
        """None: something in it can't be digested, so its inputs are taken one by one."""
        try:
            inputs = [given for given in map(_input, group.messages) if given is not None]
            return await self._planner.plan(found, [*inputs, *found.inputs], now_ms)
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  (one run's poison must not stop the others; see _one_by_one)
            self._observer.alert("machine-failed", found.run.guid, f"{type(error).__name__}: {error}")
            return None

    async def _write(self, plans: dict[str, Plan], groups: dict[str, Group], answers: dict[str, Answer]) -> list[str]:
        """Writes all plans; the guids of the runs that the store refused."""
        ends = await self._writer.write([plan.piece for plan in plans.values() if plan.piece is not None])
        refused: list[str] = []
        for guid, plan in plans.items():
            end = ends.get(guid)
            if end is not None and end.fate is Fate.REFUSED:
                refused.append(guid)
                continue
            answers.update({ident: self._answer(end) for ident, _, _ in groups[guid].given})
            if end is not None and end.fate is Fate.WRITTEN:
                self._keep(plan)
        if any(end.fate in {Fate.UNKNOWN, Fate.LEASE_LOST} for end in ends.values()):
            self._cache.clear()
        return refused

    def _keep(self, plan: Plan) -> None:
        self._cache.put(plan.run.guid, Kept(plan.run, plan.loaded.name))
        self._tell(plan)

    def _tell(self, plan: Plan) -> None:
        before, run = plan.loaded, plan.run
        is_last = run.is_over and (before.must_write or not before.run.is_over)
        self._observer.run_written(run, is_first=before.is_new, is_last=is_last)
        if self._traces is not None:
            self._traces.written(before.run, run)

    def _answer(self, end: Written | None) -> Answer:
        if end is None or end.fate is Fate.WRITTEN:
            return Ok()
        return Retry(end.reason)

    async def _one_by_one(self, group: Group, found: Loaded, now_ms: int) -> dict[str, Answer]:
        """Who is to blame gets a dead letter; everybody else goes on."""
        inputs = {ident: _input(message) for ident, _, message in group.given}
        asked = [given for given in inputs.values() if given is not None]
        ends: dict[int, Written] = {}
        async for step in self._alone.steps(found, [*asked, *found.inputs], now_ms):
            ends[id(step.given)] = step.end
            if step.plan is not None:
                self._keep(step.plan)
        rest = Written(Fate.WRITTEN)
        if any(end.fate not in {Fate.WRITTEN, Fate.REFUSED} for end in ends.values()):
            self._cache.clear()
            rest = Written(Fate.UNKNOWN, UNTRIED)
        answers: dict[str, Answer] = {}
        for ident, payload, _ in group.given:
            given = inputs[ident]
            end = rest if given is None else ends.get(id(given), rest)
            refused = end.fate is Fate.REFUSED
            answers[ident] = self._fallback(payload, end.reason, found.run.guid) if refused else self._answer(end)
        return answers

    def _fallback(self, payload: bytes, reason: str, run_guid: str | None) -> Fallback:
        letter = dead_letter(
            payload, reason=reason, vertex=self._shard.vertex, at=self._clock.now_ms(), run_guid=run_guid
        )
        return Fallback(letter)


def _input(message: Message) -> Input | None:
    """What a message is to the machine; looks and commands only name what reading has brought."""
    if isinstance(message, Result):
        return message
    return Due(message.at) if isinstance(message, Tick) else None
