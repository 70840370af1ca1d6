"""The lease of a shard in a cluster: a record with compare-and-set, renewed while it is held.

What it rests on, since no clock of another machine is trusted and ranges of two numbers of shards may overlap:

* A holder counts from before it asked, so it never believes too long. A renewal is a compare-and-set on its own
  record, so one that somebody else has written since fails.
* Who takes over waits until a record hasn't changed for a full period by its own clock, and then writes it: from then
  on the renewals of the one before fail, and what it had is over.
* A claim is written before the claims of others are read. Of two claims that overlap, at least one sees the other and
  steps back; both may, and try again later.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pipeline.core.clock import Clock
from pipeline.core.ids import slots_of_shard
from pipeline.core.limits import LEASE_RENEW_S, LEASE_S
from pipeline.store.leases import LeaseConflictError, LeaseRecord, LeaseRecords, LeasesUnavailableError

_LOG: Final = logging.getLogger("blockline.lease")


class ClusterSlotLease:
    """See :class:`pipeline.store.leases.SlotLease`. Awaits nothing but its ports; belongs to one event loop."""

    def __init__(self, records: LeaseRecords, clock: Clock, *, shard: int, shards: int, holder: str) -> None:
        """``holder`` names this process and no other one, before or after (a pod that starts again is another)."""
        slots = slots_of_shard(shard, shards)
        self._records = records
        self._clock = clock
        self._claim = LeaseRecord(f"slots-{shard}", holder, slots.start, slots.stop - 1)
        self._version = ""
        self._until_s = 0.0
        self._seen: dict[str, tuple[str, float]] = {}
        self._is_asking = False
        self._trouble = ""

    def remaining_s(self) -> float:
        """See :class:`~pipeline.store.leases.SlotLease`."""
        return max(0.0, self._until_s - self._clock.monotonic_s())

    async def acquire(self) -> bool:
        """See :class:`~pipeline.store.leases.SlotLease`; asks the cluster only where the lease isn't fresh."""
        if self.remaining_s() > LEASE_S - LEASE_RENEW_S:
            return True
        if not self._is_asking:
            await self._ask()
        return self.remaining_s() > 0

    async def renew(self) -> None:
        """Keep it if it is held, whatever its age: to be called every ``LEASE_RENEW_S`` in the background."""
        if self.remaining_s() > 0 and not self._is_asking:
            await self._ask()

    async def release(self) -> None:
        """See :class:`~pipeline.store.leases.SlotLease`; where the cluster can't be reached, the lease runs out."""
        self._until_s = 0.0
        if self._version and not self._is_asking:
            await self._withdraw()

    async def _ask(self) -> None:
        self._is_asking = True
        try:
            await (self._keep() if self.remaining_s() > 0 else self._take())
            self._say("")
        except LeasesUnavailableError as error:
            self._say(str(error))
        finally:
            self._is_asking = False

    def _say(self, trouble: str) -> None:
        """Once when it begins: it is asked again and again."""
        if trouble and not self._trouble:
            _LOG.warning("the lease of %s can't be renewed: %s", self._claim.name, trouble)
        self._trouble = trouble

    async def _keep(self) -> None:
        if await self._write():
            return
        # Somebody else's write, or one of ours whose answer was lost.
        current = self._own(await self._records.list())
        if current is not None and current.holder == self._claim.holder:
            self._version = current.version
            if await self._write():
                return
        self._until_s = 0.0
        _LOG.warning("the lease of %s was lost to another sink", self._claim.name)

    async def _write(self) -> bool:
        """Our claim over the version that is known; False where that isn't the current one."""
        asked_s = self._clock.monotonic_s()
        claim = replace(self._claim, version=self._version)
        try:
            written = await (self._records.replace(claim) if claim.version else self._records.create(claim))
        except LeaseConflictError:
            return False
        self._version = written.version
        self._until_s = asked_s + LEASE_S
        return True

    async def _take(self) -> None:
        found = await self._records.list()
        self._observe(found)
        if not await self._end_overlapping(found):
            await self._withdraw()
            return
        own = self._own(found)
        if not self._is_free(own):
            return
        self._version = "" if own is None else own.version
        if not await self._write():
            return
        # Not ours yet: somebody may have claimed these slots under another name since they were read.
        until_s, self._until_s = self._until_s, 0.0
        if any(self._is_rival(record) for record in await self._records.list()):
            await self._withdraw()
            return
        self._until_s = until_s

    def _observe(self, found: Sequence[LeaseRecord]) -> None:
        """Since when, by our own clock, each record has been as it is; a missing one of our name likewise."""
        now_s = self._clock.monotonic_s()
        versions = {self._claim.name: "", **{record.name: record.version for record in found}}
        self._seen = {
            name: (version, now_s if self._seen.get(name, ("?", 0.0))[0] != version else self._seen[name][1])
            for name, version in versions.items()
        }

    def _is_over(self, name: str) -> bool:
        return self._clock.monotonic_s() - self._seen[name][1] >= LEASE_S

    def _is_rival(self, record: LeaseRecord) -> bool:
        return record.name != self._claim.name and record.holder != "" and record.overlaps(self._claim)

    async def _end_overlapping(self, found: Sequence[LeaseRecord]) -> bool:
        """Whether nobody claims our slots under another name any more; what has run out is ended, so that it can't
        be renewed.
        """
        rivals = [record for record in found if self._is_rival(record)]
        if not all(self._is_over(record.name) for record in rivals):
            return False
        try:
            for record in rivals:
                await self._records.replace(replace(record, holder=""))
        except LeaseConflictError:
            return False
        return True

    def _is_free(self, own: LeaseRecord | None) -> bool:
        """A record that isn't there may have been deleted under a holder's hands, so that is waited for as well."""
        if own is not None and own.holder in {"", self._claim.holder}:
            return True
        return self._is_over(self._claim.name)

    def _own(self, found: Sequence[LeaseRecord]) -> LeaseRecord | None:
        return next((record for record in found if record.name == self._claim.name), None)

    async def _withdraw(self) -> None:
        """Claim nothing any more, as far as the cluster can be told."""
        if not self._version:
            return
        version, self._version = self._version, ""
        try:
            await self._records.replace(replace(self._claim, holder="", version=version))
        except (LeaseConflictError, LeasesUnavailableError):
            return  # it is somebody else's already, or runs out by itself
