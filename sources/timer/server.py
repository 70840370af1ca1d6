"""The timer as a pynumaflow source: one search a second, however often it is read."""

import logging
from collections import OrderedDict
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from pynumaflow.sourcer import (
    Message,
    Offset,
    PartitionsResponse,
    PendingResponse,
    SourceAsyncServer,
    Sourcer,
    get_default_partitions,
)

from pipeline.core.clock import Clock
from pipeline.messages.envelopes import Event, Replay
from pipeline.process.metrics import Handling
from pipeline.store.port import StoreRefusedError, StoreUnavailableError
from pipeline.telemetry.traces_hops import SourceTraces
from sources.timer.counting import DUE, LATENESS_SECONDS, POLL_FAILURES
from sources.timer.handler import VERTEX, TimerHandler

POLL_S: Final = 1.0
OFFSETS_KEPT_S: Final = 120.0
"""An offset that was given is remembered for so long; it names its minute, so it isn't found any more after that."""
_LOG: Final = logging.getLogger("blockline.timer")


class TimerSource(Sourcer):  # type: ignore[misc]  # pynumaflow carries no types
    """Hands on what the handler finds; what wasn't acked is found again, under the offset of a later minute."""

    def __init__(self, handler: TimerHandler, clock: Clock, traces: SourceTraces | None = None) -> None:
        """One source a handler; ``traces`` are there where there is tracing."""
        self._traces = traces
        self._handler = handler
        self._clock = clock
        self._handling = Handling(VERTEX)
        self._polled_s: float | None = None
        self._ready: OrderedDict[str, Event | Replay] = OrderedDict()
        self._given: OrderedDict[str, float] = OrderedDict()

    async def read_handler(self, datum: Any, output: Any) -> None:
        """At most ``num_records`` ticks; returns by the read's time-out if there are none."""
        await self._poll(datum.timeout_in_ms / 1000)
        for offset in list(islice(self._ready, datum.num_records)):
            event = self._ready.pop(offset)
            self._given[offset] = self._clock.monotonic_s()
            message = Message(
                payload=event.encode(),
                offset=Offset.offset_with_default_partition_id(offset.encode()),
                event_time=datetime.fromtimestamp(event.at / 1000, UTC),
            )
            if self._traces is not None:
                self._traces.given(event)
            await output.put(message)

    async def ack_handler(self, ack_request: Any) -> None:
        """Nothing to remember: a tick that was handled has moved the run's wake-up."""

    async def nack_handler(self, ack_request: Any) -> None:
        """Given again at the next poll."""
        for offset in ack_request.offsets:
            self._given.pop(offset.offset.decode(), None)

    async def pending_handler(self) -> PendingResponse:
        """Ticks found and not yet handed on."""
        return PendingResponse(count=len(self._ready))

    async def active_partitions_handler(self) -> PartitionsResponse:
        """One: there is one replica."""
        return PartitionsResponse(partitions=get_default_partitions())

    async def _poll(self, timeout_s: float) -> None:
        now_s = self._clock.monotonic_s()
        due_in_s = 0.0 if self._polled_s is None else self._polled_s + POLL_S - now_s
        if due_in_s > 0:
            if self._ready:
                return
            await self._clock.sleep(min(due_in_s, timeout_s))
            if due_in_s > timeout_s:
                return
        self._polled_s = self._clock.monotonic_s()
        self._forget(self._polled_s - OFFSETS_KEPT_S)
        is_behind = bool(self._ready)
        try:
            with self._handling.time():
                found = await self._handler.poll(is_behind=is_behind)
        except (StoreUnavailableError, StoreRefusedError) as error:
            _LOG.warning("the store can't be searched: %s", error)
            POLL_FAILURES.inc()
            return
        except Exception:  # noqa: BLE001  (logged; the batch comes again)
            # An exception that leaves a handler ends the server; the next poll starts from nothing anyway.
            _LOG.exception("a poll failed")
            POLL_FAILURES.inc()
            return
        fresh = {offset: event for offset, event in found if offset not in self._given}
        if is_behind:
            self._ready = OrderedDict({**fresh, **self._ready})
        else:
            self._ready.update(fresh)
            DUE.set(len(found))
        LATENESS_SECONDS.set(self._handler.late_ms / 1000)

    def _forget(self, before_s: float) -> None:
        while self._given and next(iter(self._given.values())) < before_s:
            self._given.popitem(last=False)


def build_server(
    handler: TimerHandler, clock: Clock, sock_path: str, info_path: str, traces: SourceTraces | None = None
) -> SourceAsyncServer:
    """A server on a Unix socket that is yet to be started (``aexec`` or ``start``)."""
    return SourceAsyncServer(TimerSource(handler, clock, traces), sock_path=sock_path, server_info_file=info_path)
