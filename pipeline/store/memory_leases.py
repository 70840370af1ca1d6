"""The reference of :class:`pipeline.store.leases.LeaseRecords`, in memory."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.store.leases import LeaseConflictError, LeaseRecord


class MemoryLeaseRecords:
    """Never away; its methods never wait. ``writes`` counts what was carried out."""

    def __init__(self) -> None:
        """Empty."""
        self._records: dict[str, LeaseRecord] = {}
        self.writes = 0

    async def list(self) -> Sequence[LeaseRecord]:
        """See :class:`~pipeline.store.leases.LeaseRecords`."""
        return list(self._records.values())

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """See :class:`~pipeline.store.leases.LeaseRecords`."""
        if record.name in self._records:
            raise LeaseConflictError(f"There is a lease {record.name} already.")
        return self._put(record)

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        """See :class:`~pipeline.store.leases.LeaseRecords`."""
        current = self._records.get(record.name)
        if current is None or current.version != record.version:
            raise LeaseConflictError(f"The lease {record.name} has changed.")
        return self._put(record)

    def _put(self, record: LeaseRecord) -> LeaseRecord:
        self.writes += 1
        written = self._records[record.name] = replace(record, version=str(self.writes))
        return written
