"""The leases that the suite asks: a lock on a file, a record in memory, and one in a Kubernetes API server."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.core.limits import LEASE_S, STORE_WRITE_TIMEOUT_S
from pipeline.store.cluster_lease import ClusterSlotLease
from pipeline.store.file_lease import FileSlotLease
from pipeline.store.kubernetes import KubernetesLeaseRecords
from pipeline.store.leases import LeaseRecords, SlotLease
from pipeline.store.memory_leases import MemoryLeaseRecords
from tests.contract.leases.api_server import ApiServer, serving
from tests.contract.stories import teller


@dataclass
class HandClock:
    """Time passes when a test says so; each lease may have one that began at another moment."""

    began_s: float = 0.0
    passed_s: list[float] = field(default_factory=lambda: [0.0])

    def now_ms(self) -> int:
        return 1_800_000_000_000 + round(self.passed_s[0] * 1000)

    def monotonic_s(self) -> float:
        return self.began_s + self.passed_s[0]

    async def sleep(self, seconds: float) -> None:
        self.passed_s[0] += seconds


@dataclass
class World:
    """Leases of one kind; ``takes_over_after_s`` is what a holder that died leaves to be waited for."""

    make: Callable[[int, int, HandClock], SlotLease]
    takes_over_after_s: float
    dies: Callable[[SlotLease], None] = lambda _: None
    """What the death of a lease's process does, beyond that nobody asks any more."""
    clock: HandClock = field(default_factory=HandClock)
    count: int = 0

    def lease(self, shard: int = 0, shards: int = 1) -> SlotLease:
        """Of another process than all before."""
        self.count += 1
        return self.make(shard, shards, HandClock(1000.0 * self.count, self.clock.passed_s))

    def pass_time(self, seconds: float) -> None:
        self.clock.passed_s[0] += seconds

    async def held(self, shard: int = 0, shards: int = 1) -> SlotLease:
        """One that is held: the first holder of a record waits for a period, too."""
        lease = self.lease(shard, shards)
        await lease.acquire()
        self.pass_time(self.takes_over_after_s)
        assert await lease.acquire()
        return lease


Story = Callable[[World], Awaitable[None]]


@contextlib.asynccontextmanager
async def world_of(kind: str, folder: Path) -> AsyncIterator[World]:
    if kind == "file":
        yield World(
            lambda shard, shards, clock: FileSlotLease(folder, shard, shards, clock), STORE_WRITE_TIMEOUT_S, _kernel
        )
        return
    async with contextlib.AsyncExitStack() as stack:
        records: LeaseRecords = MemoryLeaseRecords()
        if kind == "kubernetes":
            access = await stack.enter_async_context(serving(ApiServer(), folder))
            over_network = KubernetesLeaseRecords(access, "blockline", HandClock())
            stack.push_async_callback(over_network.aclose)
            records = over_network
        count = iter(range(1000))
        yield World(
            lambda shard, shards, clock: ClusterSlotLease(
                records, clock, shard=shard, shards=shards, holder=f"pod-{next(count)}"
            ),
            LEASE_S,
        )


def _kernel(lease: SlotLease) -> None:
    """Closes the files of a process that ends, and nothing else."""
    assert isinstance(lease, FileSlotLease)
    lease._own.close()
    lease._shared.close()


@pytest.fixture(params=["file", "memory", "kubernetes"])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    """Runs a test's story with leases of a kind."""

    return teller(lambda: world_of(request.param, tmp_path))
