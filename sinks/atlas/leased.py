"""A sink in a container: its lease is kept while nothing comes, and given back when it ends."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from pipeline.core.clock import Clock
from pipeline.core.limits import LEASE_RENEW_S, STORE_WRITE_TIMEOUT_S
from pipeline.store.leases import SlotLease
from sinks.atlas.answers import Answer, Retry

STOP_S: Final = 2 * STORE_WRITE_TIMEOUT_S + 2.0
"""For the batch under way at the end: a write without an answer is waited for, and all of it is less than the 30 s
after which Kubernetes kills.
"""
STOPPING: Final = "this sink is ending; its slots are taken over"
_LOG: Final = logging.getLogger("blockline.sink")


class Handles(Protocol):
    """What answers a batch; see :class:`sinks.atlas.handler.AtlasSinkHandler`."""

    async def handle(self, batch: Sequence[tuple[str, bytes]]) -> dict[str, Answer]:
        """An answer for each message."""
        ...


class RenewedLease(SlotLease, Protocol):
    """A lease that runs out unless it is renewed."""

    async def renew(self) -> None:
        """Keep it if it is held."""
        ...


class LeasedSink:
    """Hands batches on until it is stopped. Belongs to one event loop."""

    def __init__(self, handler: Handles, lease: RenewedLease, clock: Clock) -> None:
        """``lease`` is the handler's own."""
        self._handler = handler
        self._lease = lease
        self._clock = clock
        self._under_way = 0
        self._is_stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def handle(self, batch: Sequence[tuple[str, bytes]]) -> dict[str, Answer]:
        """See :class:`Handles`; once it is being stopped, everything is to come again."""
        if self._is_stopping:
            return {ident: Retry(STOPPING) for ident, _ in batch}
        self._under_way += 1
        self._idle.clear()
        try:
            return await self._handler.handle(batch)
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self._idle.set()

    async def keep_lease(self) -> None:
        """Until it is cancelled: take the lease once, so that the first message needn't wait for it, and renew it.

        What was lost is left to the handler to take again, which then drops what it believed to know.
        """
        while not await self._lease.acquire():
            await self._clock.sleep(LEASE_RENEW_S)
        while True:
            await self._clock.sleep(LEASE_RENEW_S)
            await self._lease.renew()

    async def stop(self) -> None:
        """Give the lease back as soon as no write is under way; where one stays under way, the lease runs out."""
        self._is_stopping = True
        try:
            await asyncio.wait_for(self._idle.wait(), STOP_S)
        except TimeoutError:
            _LOG.warning("a batch is still under way, so the lease isn't given back: it runs out by itself")
            return
        await self._lease.release()
