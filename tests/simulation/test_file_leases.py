"""Sinks of one machine that are killed while their last write may still be carried out: nobody writes beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.core.ids import slots_of_shard
from pipeline.core.limits import STORE_WRITE_TIMEOUT_S
from pipeline.store.file_lease import FileSlotLease
from pipeline.testing.chance import Chance
from pipeline.testing.scheduler import Scheduler, at_once

SPAN_MS = 5 * 60_000
WORLDS = 25
LeaseType = type[FileSlotLease]


@dataclass
class SchedulerClock:
    scheduler: Scheduler

    def now_ms(self) -> int:
        return self.scheduler.now_ms

    def monotonic_s(self) -> float:
        return self.scheduler.now_ms / 1000

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a lease never waits")


class Sink:
    """Asks and writes now and then, gives back in peace, is killed, and starts again as another shard perhaps."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.writes_until_ms = 0
        self.start()

    def start(self) -> None:
        chance, scheduler = self.world.chance, self.world.scheduler
        shards = chance.one_of(self.world.numbers)
        shard = chance.between(0, shards - 1)
        self.slots = set(slots_of_shard(shard, shards))
        self.lease = self.world.lease_type(self.world.folder, shard, shards, SchedulerClock(scheduler))
        scheduler.after(chance.between(1, 500), self.work)

    def work(self) -> None:
        chance, scheduler, world = self.world.chance, self.world.scheduler, self.world
        if chance.hits(0.03):
            self.lease._own.close()  # the kernel does that, and nothing else
            self.lease._shared.close()
            if self.writes_until_ms > scheduler.now_ms:
                world.left_over.append((self.slots, self.writes_until_ms))
                self.writes_until_ms = 0
            scheduler.after(chance.between(1, 3_000), self.start)
            return
        if self.writes_until_ms <= scheduler.now_ms:
            if chance.hits(0.1):
                at_once(self.lease.release())
                scheduler.after(chance.between(1, 3_000), self.start)
                return
            if at_once(self.lease.acquire()) and self.lease.remaining_s() > STORE_WRITE_TIMEOUT_S:
                self.write()
        scheduler.after(chance.between(1, 1_000), self.work)

    def write(self) -> None:
        world = self.world
        world.writes += 1
        now_ms = world.scheduler.now_ms
        self.writes_until_ms = now_ms + world.chance.between(1, round(STORE_WRITE_TIMEOUT_S * 1000))
        under_way = [
            *world.left_over,
            *((sink.slots, sink.writes_until_ms) for sink in world.sinks if sink is not self),
        ]
        world.beside += [until_ms for slots, until_ms in under_way if until_ms > now_ms and slots & self.slots]


class World:
    def __init__(self, seed: int, folder: Path, lease_type: LeaseType) -> None:
        self.chance = Chance(seed)
        self.scheduler = Scheduler(0)
        self.folder = folder
        self.lease_type = lease_type
        self.numbers = self.chance.one_of(((1,), (2,), (1, 2), (2, 3), (1, 4)))
        self.left_over: list[tuple[set[int], int]] = []
        self.beside: list[int] = []
        self.writes = 0
        self.sinks: list[Sink] = []
        self.sinks += [Sink(self) for _ in range(self.chance.one_of((1, 2, 4)))]

    def run(self) -> None:
        self.scheduler.run(SPAN_MS, 200_000)
        for sink in self.sinks:
            at_once(sink.lease.release())


@pytest.fixture
def world_of(tmp_path: Path) -> Callable[[int, LeaseType], World]:
    def make(seed: int, lease_type: LeaseType) -> World:
        folder = tmp_path / str(seed)
        folder.mkdir()
        world = World(seed, folder, lease_type)
        world.run()
        return world

    return make


def test_nobody_writes_beside_a_write_that_a_killed_sink_left(world_of: Callable[[int, LeaseType], World]) -> None:
    writes = 0
    for seed in range(WORLDS):
        world = world_of(seed, FileSlotLease)
        assert not world.beside, f"seed {seed}"
        writes += world.writes
    assert writes > WORLDS * 10


class WaitsForNobody(FileSlotLease):
    def _has_settled(self) -> bool:
        return self._from_s is not None


class ForgetsWhenItGivesUp(FileSlotLease):
    async def release(self) -> None:
        if self._is_locked():
            self._own.write(b"")
        await super().release()


class HandsNothingOn(FileSlotLease):
    def _hand_on(self) -> None:
        return


@pytest.mark.parametrize("mistake", [WaitsForNobody, ForgetsWhenItGivesUp, HandsNothingOn])
def test_each_mistake_is_caught(world_of: Callable[[int, LeaseType], World], mistake: LeaseType) -> None:
    assert any(world_of(seed, mistake).beside for seed in range(WORLDS)), "no world noticed"
