"""Ports to the leases that fence the writers of a range of slots, and to the records that a cluster keeps of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.errors import BlocklineError


class SlotLease(Protocol):
    """One shard's claim on its slots; may be acquired again after it was lost.

    Two leases whose ranges of slots overlap are never held at once, whatever number of shards each counts with.

    Only ``acquire`` takes it: whatever renews it in the background may keep it, but a lease that was lost stays lost
    (``remaining_s`` 0) until ``acquire``, so that its owner sees the loss and drops what it believed to know.
    """

    async def acquire(self) -> bool:
        """Take or keep the lease; False while another holder has it, or may have a write under way that it began before
        it died. Cheap when it is already held.
        """
        ...

    def remaining_s(self) -> float:
        """How much longer it is certainly held; 0 when it is not. A write starts only with more than the write
        time-out left.
        """
        ...

    async def release(self) -> None:
        """Give it back; no error when it isn't held.

        Only while no write is under way: the next holder starts at once.
        """
        ...


class LeaseConflictError(BlocklineError):
    """Somebody else wrote the record since it was read, or it was deleted: nothing was written."""


class LeasesUnavailableError(BlocklineError):
    """The records can't be reached, or the answer was lost: a write may have been carried out."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """Who claims which slots: ``first`` to ``last``, both included. ``holder`` is empty when nobody does.

    ``version`` is the store's own, opaque, different after every write; empty for a record that is yet to be made.
    """

    name: str
    holder: str
    first: int
    last: int
    version: str = ""

    def overlaps(self, other: "LeaseRecord") -> bool:
        """Whether a slot is in both."""
        return self.first <= other.last and other.first <= self.last


class LeaseRecords(Protocol):
    """The records of one pipeline. Linear: what was written before a ``list`` began is in it.

    Each method raises LeasesUnavailableError where the records can't be reached, for whatever reason.
    """

    async def list(self) -> Sequence[LeaseRecord]:
        """All of them."""
        ...

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """Make it; with its version.

        Raises:
            LeaseConflictError: there is one of that name.
        """
        ...

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        """Write it over the one of its version, also where nothing else changes; with its new version.

        Raises:
            LeaseConflictError: that version isn't the current one.
        """
        ...
