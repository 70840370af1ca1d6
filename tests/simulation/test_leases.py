"""Many sinks of several numbers of shards after the same slots, on a cluster that loses answers: never two at once."""

import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from pipeline.core.ids import slots_of_shard
from pipeline.store.cluster_lease import ClusterSlotLease
from pipeline.store.memory_leases import MemoryLeaseRecords
from pipeline.testing.chance import Chance
from pipeline.testing.faults import Faults
from pipeline.testing.nodes import Node, NodeClock, NodeLeaseRecords
from pipeline.testing.scheduler import Scheduler

LeaseType = type[ClusterSlotLease]
SPAN_MS = 10 * 60_000
WORLDS = 40


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What goes wrong here is meant, and there is a lot of it."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


class Sink:
    """Asks now and then, stands still, dies and starts again; now and then with another number of shards."""

    def __init__(self, world: "Leases", name: str) -> None:
        self.world = world
        self.name = name
        self.count = 0
        self.start()

    def start(self) -> None:
        chance, scheduler = self.world.chance, self.world.scheduler
        self.count += 1
        shards = chance.one_of(self.world.numbers)
        shard = chance.between(0, shards - 1)
        self.slots = set(slots_of_shard(shard, shards))
        self.node = Node(f"{self.name}/{self.count}")
        clock = NodeClock(scheduler, self.node)
        records = NodeLeaseRecords(scheduler, chance, lambda: self.world.faults, self.world.records)
        self.lease = self.world.lease_type(records, clock, shard=shard, shards=shards, holder=self.node.name)
        scheduler.after(chance.soon(500), self.ask)

    def ask(self) -> None:
        chance, scheduler = self.world.chance, self.world.scheduler
        if chance.hits(0.01):
            self.node.crash()
            scheduler.after(chance.soon(20_000), self.start)
            return
        if chance.hits(0.01):
            self.node.frozen_until = scheduler.now_ms + chance.soon(30_000)
            scheduler.at(self.node.frozen_until, self.ask)
            return
        lease = self.lease
        ways: Sequence[Callable[[], Coroutine[Any, Any, object]]] = (
            *((lease.acquire,) * 8),
            *((lease.renew,) * 4),
            lease.release,
        )
        self.node.start(scheduler, chance.one_of(ways)(), lambda *_: None)
        scheduler.after(chance.soon(2_000), self.ask)


class Leases:
    def __init__(self, seed: int, lease_type: LeaseType) -> None:
        self.chance = Chance(seed)
        self.scheduler = Scheduler(0)
        self.records = MemoryLeaseRecords()
        self.lease_type = lease_type
        self.faults = Faults(lease_renewal_fails=self.chance.one_of((0.0, 0.05, 0.3)))
        self.numbers = self.chance.one_of(((1,), (2,), (1, 2), (2, 3), (1, 4)))
        self.held = 0
        self.both: list[str] = []
        self.sinks = [Sink(self, f"pod-{number}") for number in range(self.chance.one_of((2, 3, 5)))]

    def run(self) -> None:
        for at_ms in range(0, SPAN_MS, 100):
            self.scheduler.at(at_ms, self.check)
        self.scheduler.run(SPAN_MS, 200_000)

    def check(self) -> None:
        holders = [sink for sink in self.sinks if sink.node.is_alive and sink.lease.remaining_s() > 0]
        self.held += len(holders)
        for number, one in enumerate(holders):
            self.both += [
                f"{self.scheduler.now_ms} ms: {one.node.name} and {other.node.name}"
                for other in holders[number + 1 :]
                if one.slots & other.slots
            ]


def test_no_slot_has_two_holders() -> None:
    held = 0
    for seed in range(WORLDS):
        world = Leases(seed, ClusterSlotLease)
        world.run()
        assert not world.both, f"seed {seed}: {world.both[0]}"
        held += world.held
    assert held > WORLDS * 500, "somebody holds them most of the time"


class TakesAtOnce(ClusterSlotLease):
    def _is_over(self, name: str) -> bool:
        return True


class BelievesTooLong(ClusterSlotLease):
    async def _write(self) -> bool:
        is_written = await super()._write()
        if is_written:
            self._until_s = self._clock.monotonic_s() + 40.0
        return is_written


class LooksOnce(ClusterSlotLease):
    async def _take(self) -> None:
        await super()._take()
        if self._version:
            self._until_s = self._clock.monotonic_s() + 29.0


@pytest.mark.parametrize("mistake", [TakesAtOnce, BelievesTooLong, LooksOnce])
def test_each_mistake_is_caught(mistake: LeaseType) -> None:
    worlds = map(partial(Leases, lease_type=mistake), range(WORLDS))
    for seed, world in enumerate(worlds):
        world.run()
        if world.both:
            print(f"seed {seed}: {world.both[0]}")
            return
    pytest.fail("no world noticed")
