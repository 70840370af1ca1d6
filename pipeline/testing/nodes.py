"""Machines of a world: each with its own clock, killed and frozen as a whole; and the ports that run on them."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from pipeline.blocks.shell import OverTimeError
from pipeline.core.errors import BlocklineError
from pipeline.core.limits import STORE_WRITE_TIMEOUT_S
from pipeline.messages.changes import Tag
from pipeline.messages.envelopes import EntityWrite
from pipeline.store.kinds import Kind
from pipeline.store.leases import LeaseConflictError, LeaseRecord, LeasesUnavailableError
from pipeline.store.memory import MemoryEntityStore
from pipeline.store.memory_leases import MemoryLeaseRecords
from pipeline.store.port import Entity, Query, StoreRefusedError, StoreUnavailableError, StoreUnknownError
from pipeline.testing.chance import Chance
from pipeline.testing.faults import Faults, WriteFate, draw_write
from pipeline.testing.scheduler import Process, Resume, Scheduler, Step, at_once

T = TypeVar("T")
_LATENCY_MS: Final = 20
_LEASE_TIMEOUT_MS: Final = 4_000


@dataclass(slots=True)
class Node:
    """A process on a machine."""

    name: str
    skew_ms: int = 0
    frozen_until: int = 0
    is_alive: bool = True
    processes: set[Process] = field(default_factory=set)
    on_crash: Callable[[], None] | None = None

    def crash(self) -> None:
        """Everything on it ends where it stands."""
        if not self.is_alive:
            return
        self.is_alive = False
        for process in self.processes:
            process.kill()
        self.processes.clear()
        if self.on_crash is not None:
            self.on_crash()

    def start(
        self,
        scheduler: Scheduler,
        coroutine: Coroutine[Any, Any, Any],
        on_end: Callable[[Any, BaseException | None], None],
    ) -> Process:
        """Run a coroutine here; ``on_end`` isn't called if the node crashes."""

        def ended(value: Any, error: BaseException | None) -> None:
            self.processes.discard(process)
            on_end(value, error)

        process = Process(scheduler, coroutine, ended, lambda: self.frozen_until)
        self.processes.add(process)
        process.go_on()
        return process


class NodeClock:
    """A node's clock: wrong by its skew, monotonic without it."""

    def __init__(self, scheduler: Scheduler, node: Node) -> None:
        """Reads the skew at each call: it may jump."""
        self._scheduler = scheduler
        self._began_ms = scheduler.now_ms
        self._node = node

    def now_ms(self) -> int:
        """See :class:`pipeline.core.clock.Clock`."""
        return self._scheduler.now_ms + self._node.skew_ms

    def monotonic_s(self) -> float:
        """See :class:`pipeline.core.clock.Clock`; each node's begins when it does."""
        return (self._scheduler.now_ms - self._began_ms) / 1000

    async def sleep(self, seconds: float) -> None:
        """See :class:`pipeline.core.clock.Clock`."""
        await later(self._scheduler, round(seconds * 1000), lambda: None)


def later(scheduler: Scheduler, delay_ms: int, action: Callable[[], T]) -> Step:
    """The value or error of ``action``, carried out after a delay."""

    def begin(resume: Resume) -> None:
        def do() -> None:
            try:
                value = action()
            except Exception as error:  # noqa: BLE001  (handed to whoever waits)
                resume(None, error)
            else:
                resume(value, None)

        scheduler.after(delay_ms, do)

    return Step(begin)


class NodeTimeLimit:
    """Ends work in virtual time."""

    def __init__(self, scheduler: Scheduler, node: Node) -> None:
        """Work runs on the node, so it crashes with it."""
        self._scheduler = scheduler
        self._node = node

    async def within(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """See :class:`pipeline.blocks.shell.TimeLimit`."""

        def begin(resume: Resume) -> None:
            is_over = False

            def ended(value: Any, error: BaseException | None) -> None:
                nonlocal is_over
                if not is_over:
                    is_over = True
                    resume(value, error)

            def too_late() -> None:
                if not is_over:
                    process.kill()
                    ended(None, OverTimeError())

            process = self._node.start(self._scheduler, work, ended)
            self._scheduler.after(round(timeout_s * 1000), too_late)

        result: T = await Step(begin)
        return result


class StoreWatcher(Protocol):
    """Sees every transaction of a world's store."""

    def committed(self, node: Node, writes: Sequence[EntityWrite]) -> None:
        """One bulk write was carried out; the store holds it."""
        ...


class NodeStore:
    """The store as one node reaches it: over a network, with all that goes wrong there."""

    def __init__(  # noqa: PLR0917  (a world's parts)
        self,
        scheduler: Scheduler,
        chance: Chance,
        faults: Callable[[], Faults],
        node: Node,
        store: MemoryEntityStore,
        watcher: StoreWatcher,
    ) -> None:
        """``faults`` is asked at each call: a world calms down before its end."""
        self._scheduler = scheduler
        self._chance = chance
        self._faults = faults
        self._node = node
        self._store = store
        self._watcher = watcher

    async def get(self, guids: Sequence[str], *, has_terms: bool = False) -> dict[str, Entity]:
        """See :class:`pipeline.store.port.EntityStore`."""
        found: dict[str, Entity] = await self._read(lambda: at_once(self._store.get(guids, has_terms=has_terms)))
        return found

    async def get_by_name(self, type_name: str, qualified_name: str) -> Entity | None:
        """See :class:`pipeline.store.port.EntityStore`."""
        found: Entity | None = await self._read(lambda: at_once(self._store.get_by_name(type_name, qualified_name)))
        return found

    async def find(self, query: Query) -> list[Entity]:
        """See :class:`pipeline.store.port.EntityStore`."""
        found: list[Entity] = await self._read(lambda: at_once(self._store.find(query)))
        return found

    async def delete(self, guids: Sequence[str]) -> None:
        """See :class:`pipeline.store.port.EntityStore`."""
        await self._read(lambda: at_once(self._store.delete(guids)))

    async def purge(self, guids: Sequence[str]) -> None:
        """See :class:`pipeline.store.port.EntityStore`."""
        await self._read(lambda: at_once(self._store.purge(guids)))

    async def upsert(self, entities: Sequence[EntityWrite]) -> dict[str, str]:
        """See :class:`pipeline.store.port.EntityStore`."""
        guids: dict[str, str] = await Step(lambda resume: self._write(list(entities), resume))
        return guids

    async def classify(self, guid: str, tags: Sequence[Tag], untag: Sequence[str]) -> None:
        """See :class:`pipeline.store.port.EntityStore`."""
        await self._read(lambda: at_once(self._store.classify(guid, tags, untag)))

    async def kind(self, type_name: str, *, is_fresh: bool = False) -> Kind | None:
        """See :class:`pipeline.store.port.EntityStore`."""
        found: Kind | None = await self._read(lambda: at_once(self._store.kind(type_name, is_fresh=is_fresh)))
        return found

    def _read(self, action: Callable[[], Any]) -> Step:
        if self._chance.hits(self._faults().read_fails):
            return later(self._scheduler, self._chance.soon(_LATENCY_MS), _away)
        return later(self._scheduler, self._chance.soon(_LATENCY_MS), action)

    def _write(self, writes: list[EntityWrite], resume: Resume) -> None:
        fate = draw_write(self._chance, self._faults())
        sent_ms = self._chance.soon(_LATENCY_MS)
        back_ms = sent_ms + self._chance.soon(_LATENCY_MS)
        match fate:
            case WriteFate.CRASH_BEFORE:
                self._scheduler.after(sent_ms, self._node.crash)
            case WriteFate.CRASH_AFTER:
                self._scheduler.after(sent_ms, lambda: self._commit(writes))
                self._scheduler.after(sent_ms, self._node.crash)
            case WriteFate.NOT_DONE:
                self._scheduler.after(back_ms, lambda: resume(None, StoreUnavailableError("the store is away")))
            case WriteFate.DONE:
                self._scheduler.after(sent_ms, lambda: self._answer(writes, back_ms - sent_ms, resume))
            case _:
                self._unanswered(fate, writes, sent_ms, resume)

    def _answer(self, writes: list[EntityWrite], back_ms: int, resume: Resume) -> None:
        guids, error = self._commit(writes)
        self._scheduler.after(back_ms, lambda: resume(guids, error))

    def _unanswered(self, fate: WriteFate, writes: list[EntityWrite], sent_ms: int, resume: Resume) -> None:
        # The client's time-out exceeds the store's own, after which nothing is carried out any more.
        limit_ms = round(STORE_WRITE_TIMEOUT_S * 1000)
        noticed_ms = min(sent_ms + self._chance.soon(2000), limit_ms)
        if fate is WriteFate.DONE_UNANSWERED:
            self._scheduler.after(min(sent_ms, noticed_ms), lambda: self._commit(writes))
        elif fate is WriteFate.DONE_LATER:
            done_ms = self._chance.between(noticed_ms, limit_ms)
            self._scheduler.after(done_ms, lambda: self._commit(writes))
        self._scheduler.after(noticed_ms, lambda: resume(None, StoreUnknownError("no answer")))

    def _commit(self, writes: list[EntityWrite]) -> tuple[dict[str, str] | None, Exception | None]:
        refused = next((write for write in writes if "poison" in write.attributes), None)
        if refused is not None:
            return None, StoreRefusedError(f"{refused.qualified_name}: poison isn't an attribute")
        try:
            guids = at_once(self._store.upsert(writes))
        except StoreRefusedError as error:
            return None, error
        self._watcher.committed(self._node, writes)
        return guids, None


def _away() -> None:
    raise StoreUnavailableError("the store is away")


class NodeLeaseRecords:
    """The cluster's records of leases as one node reaches them: late, away, or with a lost answer."""

    def __init__(
        self,
        scheduler: Scheduler,
        chance: Chance,
        faults: Callable[[], Faults],
        records: MemoryLeaseRecords,
    ) -> None:
        """``records`` are the cluster's own."""
        self._scheduler = scheduler
        self._chance = chance
        self._faults = faults
        self._records = records

    async def list(self) -> Sequence[LeaseRecord]:
        """See :class:`pipeline.store.leases.LeaseRecords`."""
        found: Sequence[LeaseRecord] = await self._ask(lambda: at_once(self._records.list()))
        return found

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """See :class:`pipeline.store.leases.LeaseRecords`."""
        made: LeaseRecord = await self._ask(lambda: at_once(self._records.create(record)))
        return made

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        """See :class:`pipeline.store.leases.LeaseRecords`."""
        written: LeaseRecord = await self._ask(lambda: at_once(self._records.replace(record)))
        return written

    async def _ask(self, action: Callable[[], Any]) -> Any:
        if self._chance.hits(self._faults().lease_renewal_fails):
            # Carried out or not, and then perhaps after the time-out: nobody knows who asked.
            if self._chance.hits(0.5):
                self._scheduler.after(self._chance.soon(_LEASE_TIMEOUT_MS * 3), partial(_try, action))
            await later(self._scheduler, self._chance.soon(_LEASE_TIMEOUT_MS), lambda: None)
            raise LeasesUnavailableError("the answer was lost")
        answer = await later(self._scheduler, self._chance.soon(_LATENCY_MS), partial(_try, action))
        value, error = await later(self._scheduler, self._chance.soon(_LATENCY_MS), lambda: answer)
        if error is not None:
            raise error
        return value


def _try(action: Callable[[], Any]) -> tuple[Any, BlocklineError | None]:
    try:
        return action(), None
    except LeaseConflictError as error:
        return None, error
