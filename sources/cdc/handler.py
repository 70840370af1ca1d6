"""Atlas' notifications as the pipeline's events: reads, translates, acks; decides nothing."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from pynumaflow.shared.asynciter import NonBlockingIterator
from pynumaflow.sourcer import (
    AckRequest,
    Message,
    NackRequest,
    Offset,
    PartitionsResponse,
    PendingResponse,
    ReadRequest,
    Sourcer,
)

from pipeline.cdc.buffer import Received
from pipeline.cdc.codec import read, to_event
from pipeline.cdc.consumer import EventReader
from pipeline.cdc.offsets import Position
from pipeline.cdc.parts import Assembler
from pipeline.core.clock import Clock
from pipeline.core.limits import RESULT_BYTES_MAX
from pipeline.messages.canonical import MalformedError
from pipeline.messages.tagged import dead_letter
from pipeline.telemetry.traces_hops import SourceTraces
from sources.cdc.counting import EVENTS, LAG_SECONDS

VERTEX: Final = "cdc"
_GIVEN, _DROPPED, _DEAD = (EVENTS.labels(outcome) for outcome in ("GIVEN", "DROPPED", "DEAD"))

OnDone = Callable[[list[Position]], Awaitable[None]]
"""Told of everything that needn't be read again, before the source's ack is answered."""

_LOG: Final = logging.getLogger(__name__)


async def _nobody(_: list[Position]) -> None:
    """Where the broker itself remembers."""


class CdcSource(Sourcer):  # type: ignore[misc]  # pynumaflow carries no types
    """The vertex ``cdc``. A message's offset is its place on the topic, so what is read again has the same one.

    What concerns nobody is done at once. Garbage goes on as a dead letter, which the orchestrator passes to the
    vertex of that name: a source has no tags. No exception leaves a method for a bad message.
    """

    def __init__(
        self, reader: EventReader, clock: Clock, on_done: OnDone = _nobody, traces: SourceTraces | None = None
    ) -> None:
        """``reader`` is started and closed by the caller. ``on_done`` may raise: then the messages come again after a
        restart. ``traces`` are there where there is tracing.
        """
        self._reader = reader
        self._clock = clock
        self._on_done = on_done
        self._traces = traces
        self._parts = Assembler(clock)
        self._given: dict[bytes, Message] = {}
        self._again: list[bytes] = []

    async def read_handler(self, datum: ReadRequest, output: NonBlockingIterator) -> None:
        """Give what there is; the first to come within the time-out when there is nothing."""
        again, self._again = self._again[: datum.num_records], self._again[datum.num_records :]
        repeats = [self._given[offset] for offset in again if offset in self._given]
        for message in repeats:
            await output.put(message)
        if repeats:
            return
        dropped: list[Position] = []
        fresh: list[Message] = []
        for received in self._counted(await self._read(datum.num_records, datum.timeout_in_ms / 1000)):
            payload = self._payload(received)
            if payload is None:
                dropped.append(received.position)
            else:
                fresh.append(self._give(received, payload))
        # All of them are on the books before the first is put: whoever dies at a put is given them again.
        try:
            for message in fresh:
                await output.put(message)
        finally:
            await self._finish(dropped)

    async def ack_handler(self, ack_request: AckRequest) -> None:
        """These arrived everywhere; unknown ones and repeats are no error."""
        for offset in _offsets(ack_request):
            self._given.pop(offset, None)
        await self._finish(_positions(ack_request))

    def give_again(self) -> None:
        """A new server takes over from one that died: what it was given and hasn't acked may not have arrived."""
        self._again = list(self._given)

    async def nack_handler(self, nack_request: NackRequest) -> None:
        """These come again with the next read."""
        self._again += [offset for offset in _offsets(nack_request) if offset in self._given]

    async def pending_handler(self) -> PendingResponse:
        """The consumer lag; what the vertex scales on."""
        return PendingResponse(count=await self._reader.pending())

    async def active_partitions_handler(self) -> PartitionsResponse:
        """The partitions that this replica reads."""
        return PartitionsResponse(partitions=self._reader.partitions())

    async def _read(self, limit: int, timeout_s: float) -> list[Received]:
        """Whole messages; parts whose others never came are among them, and are garbage."""
        whole = [self._parts.put_together(received) for received in await self._reader.read(limit, timeout_s)]
        return [*self._parts.given_up(self._reader.partitions()), *(message for message in whole if message)]

    def _counted(self, whole: list[Received]) -> list[Received]:
        oldest = min((received.at for received in whole if received.at), default=0)
        if oldest:
            LAG_SECONDS.observe(max(0, self._clock.now_ms() - oldest) / 1000)
        return whole

    def _payload(self, received: Received) -> bytes | None:
        reason = "the source failed on this message"
        try:
            told = read(received.payload)
            event = None if told is None else to_event(told)
            payload = None if event is None else event.encode()
        except MalformedError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001  (no message may stop the source; the letter keeps the message)
            reason = f"{reason} ({type(error).__name__})"
        else:
            if payload is None or len(payload) <= RESULT_BYTES_MAX:
                (_DROPPED if payload is None else _GIVEN).inc()
                if event is not None and self._traces is not None:
                    self._traces.given(event)
                return payload
            reason = f"the event takes {len(payload)} bytes; {RESULT_BYTES_MAX} fit in a message"
        _DEAD.inc()
        _LOG.warning("%s goes to the dead letters: %s", received.position.encode().decode(), reason)
        return dead_letter(
            received.payload,
            reason=reason,
            vertex=VERTEX,
            at=self._clock.now_ms(),
            source_offset=received.position.encode().decode(),
        ).encode()

    def _give(self, received: Received, payload: bytes) -> Message:
        offset = received.position.encode()
        at = datetime.fromtimestamp((received.at or self._clock.now_ms()) / 1000, UTC)
        message = Message(payload, Offset(offset, received.position.partition), at)
        self._given[offset] = message
        return message

    async def _finish(self, positions: list[Position]) -> None:
        """Whoever keeps the messages is told first: what it doesn't know yet comes again, which does no harm."""
        if not positions:
            return
        positions = [member for position in positions for member in self._parts.members(position)]
        try:
            await self._on_done(positions)
        except Exception as error:  # noqa: BLE001  (an ack that gets lost costs a repeat, a raise costs the server)
            _LOG.warning("%d acks weren't recorded: %s", len(positions), type(error).__name__)
        self._reader.done(positions)


def _offsets(request: AckRequest | NackRequest) -> Sequence[bytes]:
    return [offset.offset for offset in request.offsets]


def _positions(request: AckRequest) -> list[Position]:
    positions = []
    for offset in _offsets(request):
        try:
            positions.append(Position.parse(offset))
        except MalformedError as error:
            _LOG.warning("an ack names nothing: %s", error)
    return positions
