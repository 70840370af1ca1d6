"""The lease of a shard on one machine: a lock on a file, which the kernel takes back when its holder ends.

So nobody waits for a lease to run out: what a killed process held is free at once, and what is held can't be lost to
a clock. The file stays behind; only the lock on it counts.
"""

import fcntl
import os
from pathlib import Path
from typing import Final

from pipeline.core.limits import LEASE_S

_MODE: Final = 0o600


class FileSlotLease:
    """See :class:`pipeline.store.leases.SlotLease`; the file is ``lease-<shard>.lock`` in ``folder``.

    Two leases of one process on the same shard exclude each other like those of two processes.
    """

    def __init__(self, folder: Path, shard: int) -> None:
        """``folder`` exists and is on a local disk (a lock on a network share isn't one)."""
        self._path = folder / f"lease-{shard}.lock"
        self._file: int | None = None

    async def acquire(self) -> bool:
        """See :class:`~pipeline.store.leases.SlotLease`.

        Raises:
            OSError: the file can't be made.
        """
        if self._is_held():
            return True
        await self.release()
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except OSError:
            os.close(file)
            raise
        self._file = file
        if not self._is_held():  # somebody removed the file between opening and locking it
            await self.release()
            return False
        return True

    def remaining_s(self) -> float:
        """A full lease as long as the lock is held: it can't run out."""
        return LEASE_S if self._is_held() else 0.0

    async def release(self) -> None:
        """See :class:`~pipeline.store.leases.SlotLease`."""
        if self._file is not None:
            os.close(self._file)  # the lock goes with its last open file
            self._file = None

    def _is_held(self) -> bool:
        """Whether the locked file is still the one that others would lock: a removed file fences nobody."""
        if self._file is None:
            return False
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(self._file), there)
