"""The lease of a shard on one machine: locks on files, which the kernel takes back when their holder ends.

So nobody waits for a lease to run out, and what is held can't be lost to a clock. But a holder that was killed may
have a write under way that its store still carries out: its file says that it is held until it is given back, and who
finds that, under a lock that is free, first waits as long as such a write may take.

A shard has its file for itself. Shards of two different numbers of shards have ranges that overlap under different
names, so all that count with the same number share one more file, in which that number is written; who counts with
another one waits until nobody holds it, and writes its own. Where one of the old holders was killed, all the new ones
wait.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pipeline.core.clock import Clock
from pipeline.core.limits import LEASE_S, STORE_WRITE_TIMEOUT_S
from pipeline.process.folder_lock import is_locked

_MODE: Final = 0o600
_NUMBER_BYTES: Final = 16
_SHARED: Final = "shards.lock"
_HELD: Final = b"held"


def forget_holders(folder: Path) -> None:
    """Nothing that a killed holder sent is under way any more, since their store itself has ended since: nobody waits
    for that. For who holds ``folder``, before anybody acquires.
    """
    for path in _files(folder):
        if path.stat().st_size:
            os.truncate(path, 0)


@dataclass(frozen=True, slots=True)
class FoundLeases:
    """What the files of a folder say: the number of shards (0: nobody has held any), and how each shard stands."""

    shards: int
    states: Mapping[int, Literal["held", "free", "killed"]]


def found_leases(folder: Path) -> FoundLeases:
    """Looks only. A holder isn't disturbed; who tries to acquire in the same moment may have to try again.

    Raises:
        OSError: a file can't be read.
    """
    states: dict[int, Literal["held", "free", "killed"]] = {}
    for path in _files(folder):
        number = path.stem.removeprefix("lease-")
        if number.isascii() and number.isdecimal():
            states[int(number)] = "held" if is_locked(path) else "killed" if path.stat().st_size else "free"
    try:
        shards = int((folder / _SHARED).read_text(encoding="ascii") or 0)
    except (FileNotFoundError, ValueError):
        shards = 0
    return FoundLeases(shards, states)


def _files(folder: Path) -> Iterator[Path]:
    return folder.glob("lease-*.lock")


class FileSlotLease:
    """See :class:`pipeline.store.leases.SlotLease`; the files are ``lease-<shard>.lock`` and ``shards.lock``.

    Two leases of one process exclude each other like those of two processes.
    """

    def __init__(
        self, folder: Path, shard: int, shards: int, clock: Clock, *, settles_s: float = STORE_WRITE_TIMEOUT_S
    ) -> None:
        """``folder`` exists and is on a local disk (a lock on a network share isn't one). ``settles_s``: for how long
        the store may still carry out what a killed holder sent; 0 where it ends with the holder.
        """
        self._folder = folder
        self._shards = shards
        self._own = _LockFile(_lease_file(folder, shard))
        self._shared = _LockFile(folder / _SHARED)
        self._clock = clock
        self._settles_s = settles_s
        self._from_s: float | None = None

    async def acquire(self) -> bool:
        """See :class:`~pipeline.store.leases.SlotLease`. False also while what a killed holder sent may be under way.

        Raises:
            OSError: the files can't be made.
        """
        if self._is_locked():
            return self._has_settled()
        await self.release()
        # Held by itself it could have been removed between opening and locking it, hence the second look.
        if self._agree() and self._own.lock(fcntl.LOCK_EX) and self._is_locked():
            waits_s = self._settles_s if self._own.text() else 0.0
            self._from_s = self._clock.monotonic_s() + waits_s
            self._own.write(_HELD)
            return self._has_settled()
        await self.release()
        return False

    async def renew(self) -> None:
        """It needs no renewal."""

    def remaining_s(self) -> float:
        """A full lease as long as the locks are held: they can't run out."""
        return LEASE_S if self._is_locked() and self._has_settled() else 0.0

    async def release(self) -> None:
        """See :class:`~pipeline.store.leases.SlotLease`; who only waited for it leaves the file as it was."""
        if self._is_locked() and self._has_settled():
            self._own.write(b"")
        self._from_s = None
        self._own.close()
        self._shared.close()

    def _has_settled(self) -> bool:
        return self._from_s is not None and self._clock.monotonic_s() >= self._from_s

    def _is_locked(self) -> bool:
        return self._own.is_current() and self._shared.is_current()

    def _agree(self) -> bool:
        """Share the file of the number of shards, with our number in it."""
        if not self._shared.lock(fcntl.LOCK_SH):
            return False
        number = str(self._shards).encode()
        if self._shared.text() == number:
            return True
        self._shared.close()
        if not self._shared.lock(fcntl.LOCK_EX):
            return False
        self._hand_on()
        self._shared.write(number)
        # Between letting go of the one lock and having the other, somebody may have written another number.
        return self._shared.lock(fcntl.LOCK_SH) and self._shared.text() == number

    def _hand_on(self) -> None:
        """Whether a holder was killed counts for all shards of the new number; nobody holds anything now."""
        if not any(path.stat().st_size for path in _files(self._folder)):
            return
        files = [_lease_file(self._folder, shard) for shard in range(self._shards)]
        for path in files:
            path.write_bytes(_HELD)
        for path in set(_files(self._folder)).difference(files):
            os.truncate(path, 0)


def _lease_file(folder: Path, shard: int) -> Path:
    return folder / f"lease-{shard}.lock"


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
