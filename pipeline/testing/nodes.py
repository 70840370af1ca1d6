"""Machines of a world: each with its own clock, killed and frozen as a whole; and the ports that run on them."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from pipeline.blocks.shell import OverTimeError
from pipeline.core.limits import LEASE_RENEW_S, LEASE_S, STORE_WRITE_TIMEOUT_S
from pipeline.messages.changes import Tag
from pipeline.messages.envelopes import EntityWrite
from pipeline.store.kinds import Kind
from pipeline.store.memory import MemoryEntityStore
from pipeline.store.port import Entity, Query, StoreRefusedError, StoreUnavailableError, StoreUnknownError
from pipeline.testing.chance import Chance
from pipeline.testing.faults import Faults, WriteFate, draw_write
from pipeline.testing.scheduler import Process, Resume, Scheduler, Step, at_once

T = TypeVar("T")
_LATENCY_MS: Final = 20


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
        self._node = node

    def now_ms(self) -> int:
        """See :class:`pipeline.core.clock.Clock`."""
        return self._scheduler.now_ms + self._node.skew_ms

    def monotonic_s(self) -> float:
        """See :class:`pipeline.core.clock.Clock`."""
        return self._scheduler.now_ms / 1000

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


class LeaseServer:
    """Who holds a shard's slots, with compare-and-set, as a cluster's Lease."""

    def __init__(self) -> None:
        """Nobody does."""
        self.holder: Node | None = None
        self.until_ms = 0


class NodeLease:
    """One node's view of a lease: counted from before it asked, so that it never believes too long."""

    def __init__(
        self, scheduler: Scheduler, chance: Chance, faults: Callable[[], Faults], node: Node, server: LeaseServer
    ) -> None:
        """Not held until ``acquire``."""
        self._scheduler = scheduler
        self._chance = chance
        self._faults = faults
        self._node = node
        self._server = server
        self._until_ms = 0

    async def acquire(self) -> bool:
        """See :class:`pipeline.store.leases.SlotLease`."""
        if self.remaining_s() > LEASE_S - LEASE_RENEW_S:
            return True
        asked_ms = self._scheduler.now_ms
        if self._chance.hits(self._faults().lease_renewal_fails):
            await later(self._scheduler, self._chance.soon(_LATENCY_MS), lambda: None)
            return self.remaining_s() > 0
        is_ours: bool = await later(self._scheduler, self._chance.soon(_LATENCY_MS), self._take)
        self._until_ms = asked_ms + round(LEASE_S * 1000) if is_ours else 0
        return is_ours

    def remaining_s(self) -> float:
        """See :class:`pipeline.store.leases.SlotLease`."""
        return max(0.0, (self._until_ms - self._scheduler.now_ms) / 1000)

    async def release(self) -> None:
        """See :class:`pipeline.store.leases.SlotLease`."""
        self._until_ms = 0

    def _take(self) -> bool:
        now = self._scheduler.now_ms
        if self._server.holder is not self._node and self._server.until_ms > now:
            return False
        self._server.holder = self._node
        self._server.until_ms = now + round(LEASE_S * 1000)
        return True
