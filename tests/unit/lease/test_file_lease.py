"""A lease that is a lock on a file."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from pipeline.core.limits import LEASE_S
from pipeline.process.clock import SystemClock
from pipeline.store.file_lease import FileSlotLease, forget_holders

HOLDER = """
import asyncio, sys
from pathlib import Path
from pipeline.process.clock import SystemClock
from pipeline.store.file_lease import FileSlotLease
lease = FileSlotLease(Path(sys.argv[1]), 0, 1, SystemClock())
print(asyncio.run(lease.acquire()), flush=True)
sys.stdin.read()
"""


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        first, second = FileSlotLease(tmp_path, 0, 1, SystemClock()), FileSlotLease(tmp_path, 0, 1, SystemClock())
        assert first.remaining_s() == 0.0
        assert await first.acquire()
        assert await first.acquire()
        assert not await second.acquire()
        assert (first.remaining_s(), second.remaining_s()) == (LEASE_S, 0.0)
        await first.release()
        await first.release()
        assert first.remaining_s() == 0.0
        assert await second.acquire()
        await second.release()

    asyncio.run(scenario())


def test_shards_do_not_exclude_each_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        leases = [FileSlotLease(tmp_path, shard, 3, SystemClock()) for shard in range(3)]
        assert [await lease.acquire() for lease in leases] == [True, True, True]
        for lease in leases:
            await lease.release()

    asyncio.run(scenario())


def test_a_removed_file_fences_nobody_so_the_lease_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        first, second = FileSlotLease(tmp_path, 0, 1, SystemClock()), FileSlotLease(tmp_path, 0, 1, SystemClock())
        assert await first.acquire()
        (tmp_path / "lease-0.lock").unlink()
        assert first.remaining_s() == 0.0
        assert await second.acquire()
        assert not await first.acquire()
        await second.release()
        assert await first.acquire()
        await first.release()

    asyncio.run(scenario())


def test_it_falls_with_its_holder_and_its_last_write_is_waited_for(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"

        async def scenario() -> None:
            clock = SystemClock()
            alone = FileSlotLease(tmp_path, 0, 1, clock, settles_s=0.0)
            assert not await alone.acquire()
            os.kill(holder.pid, signal.SIGKILL)
            holder.wait()
            waiting = FileSlotLease(tmp_path, 0, 1, clock, settles_s=3600.0)
            assert not await waiting.acquire()
            await waiting.release()
            assert await alone.acquire()  # at once: what it had under way ended with it
            await alone.release()
            assert await waiting.acquire()
            await waiting.release()

        asyncio.run(scenario())


def test_a_store_that_has_started_anew_has_nothing_under_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "lease-0.lock").write_bytes(b"held")
        lease = FileSlotLease(tmp_path, 0, 1, SystemClock(), settles_s=3600.0)
        assert not await lease.acquire()
        await lease.release()
        forget_holders(tmp_path)
        assert await lease.acquire()
        await lease.release()

    asyncio.run(scenario())
