"""One world a seed: the real handlers, faulty machines, people who race; run until nothing is left to happen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pipeline.core.ids import run_guid_of, slots_of_shard
from pipeline.core.limits import COMMAND_OPEN_TICK_MS
from pipeline.core.statuses import CommandStatus, ItemStatus, RunStatus
from pipeline.directory.port import Person
from pipeline.messages.envelopes import EntityWrite, Event, Operation, Replay, parse_dispatch, parse_shard_input
from pipeline.messages.envelopes import Result as RunnerResult
from pipeline.messages.seal import Seal
from pipeline.messages.tagged import DEAD_TAG, Tagged
from pipeline.store import types
from pipeline.store.leases import LeaseRecord
from pipeline.store.mapping import run_status
from pipeline.store.memory import Change, MemoryEntityStore
from pipeline.store.memory_leases import MemoryLeaseRecords
from pipeline.testing.chance import Chance
from pipeline.testing.checkers import Checkers, all_of
from pipeline.testing.fake_blocks import TYPES, Outside, block_defaults
from pipeline.testing.fake_evaluator import FakeEvaluator
from pipeline.testing.faults import Faults, draw_faults
from pipeline.testing.handlers import Handlers, MemoryDirectory
from pipeline.testing.nodes import Node, NodeClock, NodeStore
from pipeline.testing.people import REQUESTERS, People
from pipeline.testing.scheduler import Scheduler, at_once
from pipeline.testing.spec_maker import PEOPLE, make_spec
from pipeline.testing.vertices import RunnerVertex, SinkVertex

STARTS_AT: Final = 1_800_000_000_000
FAULTS_MS: Final = 4 * 60_000
"""Faults happen for this long; whatever they left must heal afterwards."""
HORIZON_MS: Final = 3 * 60 * 60_000
STEPS_MAX: Final = 60_000
_EVENT_MS: Final = 15
_LATE_MS: Final = 20_000
_OFFSET_KEPT_MS: Final = 60_000
_POLL_MS: Final = 1_000
_KEY: Final = b"the key of all simulated worlds!"


@dataclass(slots=True)
class Report:
    """What a world was: ``violations`` empty when all held; ``trace`` says what happened, for people."""

    seed: int
    violations: list[str] = field(default_factory=list)
    trace: list[tuple[int, str, Any]] = field(default_factory=list)
    statuses: dict[str, str] = field(default_factory=dict)
    dispatches: int = 0
    writes: int = 0

    def as_text(self) -> str:
        """The seed, what was violated, and the trace, one line an occasion, in seconds since the world began."""
        lines = [f"seed {self.seed}", *(f"  VIOLATED {violation}" for violation in self.violations)]
        lines += [f"  {(at - STARTS_AT) / 1000:9.3f} {what} {_shown(detail)}" for at, what, detail in self.trace]
        return "\n".join(lines)


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, handlers: Handlers) -> None:
        """Nothing has happened yet; see :meth:`run`."""
        self.chance = Chance(seed)
        self.report = Report(seed)
        self.scheduler = Scheduler(STARTS_AT)
        self.handlers = handlers
        self.seal = Seal(_KEY)
        self.evaluator = FakeEvaluator()
        self.outside = Outside()
        self.blocks = block_defaults()
        self.directory = MemoryDirectory(
            [Person(name, f"{name}@example.org", roles=("requester",)) for name in {*PEOPLE, *REQUESTERS}]
        )
        self.shards = self.chance.one_of((1, 1, 2))
        self._faults = draw_faults(self.chance)
        self.store = MemoryEntityStore(lambda: self.scheduler.now_ms, self._changed)
        self.leases = released_leases(self.shards)
        self.people = People(self)
        self.checkers = Checkers(self.seal, self.store, self.people, self.violation, self._faults == Faults())
        self._orchestrator_node = self.new_node("orchestrator")
        self._orchestrator = handlers.orchestrator(self.seal, self.evaluator, TYPES, self.shards)
        timer_node = self.new_node("timer")
        self._timer_node = timer_node
        self._timer = handlers.timer(self.store_for(timer_node, is_api=True), NodeClock(self.scheduler, timer_node))
        self._offsets: dict[str, int] = {}
        self._poll_at: int | None = None
        self._is_polling = False
        self._dead_letters = 0
        self._garbage = 0
        self._sinks = [SinkVertex(self, shard) for shard in range(self.shards)]
        self._runners = [RunnerVertex(self, f"runner-{number}") for number in range(2)]

    def run(self) -> Report:
        """Let it happen, then check."""
        for number in range(self.chance.one_of((1, 1, 2, 3))):
            self.scheduler.after(self.chance.soon(2_000), partial(self.people.start_run, number))
        self._plan_faults()
        is_quiet = self.scheduler.run(STARTS_AT + HORIZON_MS, STEPS_MAX)
        if not is_quiet:
            self.violation("there is no end to what happens")
        if len(self.report.violations) <= 1:
            self.checkers.at_the_end(self.outside.calls, self._dead_letters, self._garbage)
        for run in all_of(self.store, types.RUN):
            self.report.statuses[run.qualified_name] = run_status(run).value
        return self.report

    # What the parts of the world ask of it

    def new_spec(self, run: str) -> dict[str, Any]:
        """The workflow of the run of that name, which isn't there yet."""
        del run
        return make_spec(self.chance)

    def faults_now(self) -> Faults:
        """Nothing goes wrong any more after a while, so that whatever is left must heal."""
        return self._faults if self.scheduler.now_ms < STARTS_AT + FAULTS_MS else Faults()

    def draw_skew(self) -> int:
        """How wrong a node's clock is."""
        return self.chance.between(-self._faults.skew_ms, self._faults.skew_ms)

    def new_node(self, name: str) -> Node:
        """A machine with a clock of its own."""
        return Node(name, skew_ms=self.draw_skew())

    def store_for(self, node: Node, *, is_api: bool = False) -> NodeStore:
        """The store as that node reaches it; ``is_api``: a node that isn't killed in the middle of a write."""

        def faults() -> Faults:
            now = self.faults_now()
            if not is_api or not now.crash_at_write:
                return now
            return Faults(read_fails=now.read_fails, write_fails=now.write_fails, answer_lost=now.answer_lost)

        return NodeStore(self.scheduler, self.chance, faults, node, self.store, self)

    def note(self, what: str, detail: Any) -> None:
        """Into the trace."""
        self.report.trace.append((self.scheduler.now_ms, what, detail))

    def violation(self, sentence: str) -> None:
        """Something that must never be."""
        self.note("VIOLATED", sentence)
        self.report.violations.append(sentence)

    def committed(self, node: Node, writes: Sequence[EntityWrite]) -> None:
        """See :class:`pipeline.testing.nodes.StoreWatcher`."""
        self.note(f"{node.name} wrote", writes)
        self.report.writes += 1
        self.checkers.committed(writes, is_engine=node.name.startswith("atlas"))
        self.people.notice(list(writes))
        self._poll_when_due()

    def commit_as(self, user: str, writes: Sequence[EntityWrite]) -> None:
        """A person writes straight to the store."""
        at_once(self.store.as_user(user).upsert(writes))
        self.note(f"{user} wrote", writes)
        self._poll_when_due()

    def dead(self, payload: bytes) -> None:
        """Something was refused for good."""
        self.note("dead letter", payload)
        self._dead_letters += 1

    def runner_answered(self, tagged: Tagged) -> None:
        """A runner's result goes to its shard."""
        message = parse_shard_input(tagged.payload) if tagged.tag != DEAD_TAG else None
        if isinstance(message, RunnerResult):
            self.checkers.result(message)
        self._route(tagged)

    def dispatch_arrives(self, payload: bytes) -> None:
        """At one of the runners."""
        dispatch = parse_dispatch(payload)
        self.chance.one_of(self._runners).deliver(dispatch.type, payload)

    # Events and messages

    def _changed(self, change: Change) -> None:
        event = event_of(change)
        if event is None:
            return
        if change.type_name == types.RUN and change.operation is Operation.CREATE:
            self.people.meddle(change.guid)
        if self.chance.hits(self.faults_now().event_lost):
            self.note("event lost", event)
            return
        self._emit(event, self._delay(self.faults_now().event_late))
        if self.chance.hits(self.faults_now().event_doubled):
            self._emit(event, self._delay(0.5))

    def _delay(self, late: float) -> int:
        return self.chance.soon(_LATE_MS) if self.chance.hits(late) else self.chance.soon(_EVENT_MS)

    def _emit(self, event: Event | Replay, delay_ms: int) -> None:
        payload = event.encode()
        self.scheduler.after(delay_ms, lambda: self._to_orchestrator(payload))

    def _to_orchestrator(self, payload: bytes) -> None:
        now = self.scheduler.now_ms + self._orchestrator_node.skew_ms
        try:
            sent = self._orchestrator.handle(payload, now)
        except Exception as error:  # noqa: BLE001  (a handler must not raise: that is what is checked)
            self.violation(f"{error!r} left the orchestrator")
            return
        for tagged in sent:
            self._route(tagged)

    def _route(self, tagged: Tagged) -> None:
        faults = self.faults_now()
        if tagged.tag == DEAD_TAG:
            self.dead(tagged.payload)
            return
        is_dispatch = tagged.tag.startswith("type-")
        if is_dispatch:
            self.report.dispatches += 1
            self.checkers.dispatch(parse_dispatch(tagged.payload))
            if self.chance.hits(faults.dispatch_lost):
                self.note("dispatch lost", tagged.payload)
                return
        self.note(tagged.tag, tagged.payload)
        times = 2 if self.chance.hits(faults.message_doubled) else 1
        for _ in range(times):
            self.scheduler.after(self._delay(faults.message_late), lambda: self._arrive(tagged, is_dispatch))

    def _arrive(self, tagged: Tagged, is_dispatch: bool) -> None:  # noqa: FBT001  (private)
        if is_dispatch:
            self.dispatch_arrives(tagged.payload)
        else:
            self._sinks[int(tagged.tag.removeprefix("shard-"))].push(tagged.payload)

    # Faults that are events of their own

    def _plan_faults(self) -> None:
        faults = self._faults
        for sink in self._sinks:
            for count, action in (
                (faults.sink_crashes, sink.crash),
                (faults.sink_overlaps, sink.overlap),
                (faults.sink_freezes, sink.freeze),
            ):
                for _ in range(count):
                    self.scheduler.after(self.chance.soon(20_000), action)
        for _ in range(faults.clock_jumps):
            self.scheduler.after(self.chance.soon(30_000), self._clock_jumps)
        for _ in range(faults.garbage):
            self.scheduler.after(self.chance.soon(10_000), self._garbage_arrives)

    def _clock_jumps(self) -> None:
        node = self.chance.one_of((self._orchestrator_node, self._timer_node))
        node.skew_ms = self.draw_skew()

    def _garbage_arrives(self) -> None:
        self._garbage += 1
        garbage = self.chance.one_of((b"", b"{}", b"\xff\x00", b'{"v":1,"kind":"result","run_guid":"x"}', b"[" * 99))
        if self.chance.hits(0.5):
            self._to_orchestrator(garbage)
        else:
            self.chance.one_of(self._sinks).push(garbage)

    # The timer

    def _poll_when_due(self) -> None:
        """A poll a second finds nothing most of the time; only those that may find something take place."""
        due = self._next_due()
        if due is None or (self._poll_at is not None and self._poll_at <= due):
            return
        self._poll_at = due
        self.scheduler.at(due, self._poll)

    def _next_due(self) -> int | None:
        now, skew = self.scheduler.now_ms, self._timer_node.skew_ms
        times = []
        for run in all_of(self.store, types.RUN):
            wake_at = run.attributes.get(types.RUN_WAKE_AT, 0)
            if wake_at > 0:
                times.append(wake_at - skew)
            elif run_status(run) is RunStatus.PENDING:
                times.append(now + _POLL_MS)
        times += [
            command.attributes[types.COMMAND_AT] + COMMAND_OPEN_TICK_MS - skew
            for command in all_of(self.store, types.COMMAND)
            if command.attributes.get(types.COMMAND_STATUS) == CommandStatus.OPEN
        ]
        if any(
            item.attributes.get(types.ITEM_STATUS) == ItemStatus.OPEN and types.ITEM_ACTION in item.attributes
            for item in all_of(self.store, types.ITEM)
        ):
            times.append(now + _POLL_MS)
        return max(now + 1, min(times)) if times else None

    def _poll(self) -> None:
        if self._poll_at != self.scheduler.now_ms or self._is_polling:
            return
        self._is_polling = True
        self._timer_node.start(self.scheduler, self._timer.poll(), self._polled)

    def _polled(self, found: list[tuple[str, Event | Replay]] | None, error: BaseException | None) -> None:
        self._is_polling = False
        self._poll_at = None
        now = self.scheduler.now_ms
        is_new = error is not None
        for offset, event in found or ():
            if self._offsets.get(offset, 0) <= now:
                self._offsets[offset] = now + _OFFSET_KEPT_MS
                is_new = True
                if not self.chance.hits(self.faults_now().event_lost):
                    self.note("tick", offset)
                    self._emit(event, self._delay(0))
        due = self._next_due()
        if due is not None:
            self._poll_at = max(due, now + (_POLL_MS if is_new else 5 * _POLL_MS))
            self.scheduler.at(self._poll_at, self._poll)


def released_leases(shards: int) -> MemoryLeaseRecords:
    """As a pipeline that was stopped in peace left them: nobody waits for the first ones."""
    records = MemoryLeaseRecords()
    for shard in range(shards):
        slots = slots_of_shard(shard, shards)
        at_once(records.create(LeaseRecord(f"slots-{shard}", "", slots.start, slots.stop - 1)))
    return records


def event_of(change: Change) -> Event | None:
    """What the source of changes makes of a change; None for types that nobody acts on."""
    given = change.attributes
    if change.type_name == types.RUN:
        return Event(
            entity="run",
            operation=change.operation,
            guid=change.guid,
            run_guid=change.guid,
            qualified_name=change.qualified_name,
            request=given.get(types.RUN_REQUEST),
            document=given.get(types.RUN_CONFIG),
            at=change.at,
        )
    if change.type_name not in {types.COMMAND, types.ITEM}:
        return None
    return Event(
        entity="command" if change.type_name == types.COMMAND else "item",
        operation=change.operation,
        guid=change.guid,
        run_guid="" if change.qualified_name is None else run_guid_of(change.qualified_name),
        qualified_name=change.qualified_name,
        command=given.get(types.COMMAND_REQUEST),
        at=change.at,
    )


def _shown(detail: Any) -> str:
    if isinstance(detail, bytes):
        return detail[:400].decode(errors="replace")
    if isinstance(detail, Sequence) and not isinstance(detail, str):
        return "; ".join(_shown_write(write) for write in detail)
    return str(detail)


def _shown_write(write: EntityWrite) -> str:
    parts = {name: value for name, value in write.attributes.items() if name != types.RUN_CONFIG}
    text = write.attributes.get(types.RUN_CONFIG)
    return f"{write.type_name} {write.qualified_name} {parts}" + (f"\n            {text}" if text else "")
