"""Port to the leases that fence the writers of a range of slots."""

from typing import Protocol


class SlotLease(Protocol):
    """One shard's claim on its slots; may be acquired again after it was lost.

    Only ``acquire`` takes it: whatever renews it in the background may keep it, but a lease that was lost stays lost
    (``remaining_s`` 0) until ``acquire``, so that its owner sees the loss and drops what it believed to know.
    """

    async def acquire(self) -> bool:
        """Take or keep the lease; False while another holder has it. Cheap when it is already held."""
        ...

    def remaining_s(self) -> float:
        """How much longer it is certainly held; 0 when it is not. A write starts only with more than the write
        time-out left.
        """
        ...

    async def release(self) -> None:
        """Give it back; no error when it isn't held."""
        ...
