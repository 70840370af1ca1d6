"""The lease of a shard on one machine: locks on files, which the kernel takes back when their holder ends.

So nobody waits for a lease to run out: what a killed process held is free at once, and what is held can't be lost to
a clock. The files stay behind; only the locks on them count.

A shard has its file for itself. Shards of two different numbers of shards have ranges that overlap under different
names, so all that count with the same number share one more file, in which that number is written; who counts with
another one waits until nobody holds it, and writes its own.
"""

import fcntl
import os
from pathlib import Path
from typing import Final

from pipeline.core.limits import LEASE_S

_MODE: Final = 0o600
_NUMBER_BYTES: Final = 16


class FileSlotLease:
    """See :class:`pipeline.store.leases.SlotLease`; the files are ``lease-<shard>.lock`` and ``shards.lock``.

    Two leases of one process exclude each other like those of two processes.
    """

    def __init__(self, folder: Path, shard: int, shards: int) -> None:
        """``folder`` exists and is on a local disk (a lock on a network share isn't one)."""
        self._number = str(shards).encode()
        self._own = _LockFile(folder / f"lease-{shard}.lock")
        self._shared = _LockFile(folder / "shards.lock")

    async def acquire(self) -> bool:
        """See :class:`~pipeline.store.leases.SlotLease`.

        Raises:
            OSError: the files can't be made.
        """
        if self._is_held():
            return True
        await self.release()
        # Held by itself it could have been removed between opening and locking it, hence the second look.
        if self._agree() and self._own.lock(fcntl.LOCK_EX) and self._is_held():
            return True
        await self.release()
        return False

    def remaining_s(self) -> float:
        """A full lease as long as the locks are held: they can't run out."""
        return LEASE_S if self._is_held() else 0.0

    async def release(self) -> None:
        """See :class:`~pipeline.store.leases.SlotLease`."""
        self._own.close()
        self._shared.close()

    def _is_held(self) -> bool:
        return self._own.is_current() and self._shared.is_current()

    def _agree(self) -> bool:
        """Share the file of the number of shards, with our number in it."""
        if not self._shared.lock(fcntl.LOCK_SH):
            return False
        if self._shared.text() == self._number:
            return True
        self._shared.close()
        if not self._shared.lock(fcntl.LOCK_EX):
            return False
        self._shared.write(self._number)
        # Between letting go of the one lock and having the other, somebody may have written another number.
        return self._shared.lock(fcntl.LOCK_SH) and self._shared.text() == self._number


class _LockFile:
    """One file and the lock on it; the lock goes with its last open file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def lock(self, kind: int) -> bool:
        """Take it, or change its kind, without waiting; nothing is held where it can't be had."""
        file = self._file
        if file is None:
            file = self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            return False
        except OSError:
            self.close()
            raise
        return True

    def is_current(self) -> bool:
        """Whether the locked file is still the one that others would lock: a removed file fences nobody."""
        if self._file is None:
            return False
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(self._file), there)

    def text(self) -> bytes:
        """What is in it; it is locked."""
        return b"" if self._file is None else os.pread(self._file, _NUMBER_BYTES, 0)

    def write(self, text: bytes) -> None:
        """Nothing but this is in it then; it is locked."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, text, 0)

    def close(self) -> None:
        """Let go of it; may be called again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
