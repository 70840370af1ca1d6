"""Messages that Atlas split because they were too large for one: put together again.

Measured on Apache Atlas 2.1 (``tests/golden/notifications``): over 1,000,000 bytes a notification is compressed, and
what is still too long is cut into parts. They count ``msgSplitIdx`` from 0 and share a ``msgId``; parts of several
messages may interleave, and on a topic with several partitions they may arrive in any order.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.cdc.buffer import Received
from pipeline.cdc.offsets import Position
from pipeline.core.clock import Clock
from pipeline.core.limits import PARTS_BYTES_MAX, PARTS_OF_A_MESSAGE_MAX, PARTS_WAIT_S
from pipeline.messages.canonical import MalformedError, decode, encode

_COUNT: Final = re.compile(rb'"msgSplitCount"\s*:\s*([0-9]{1,6})\b')


@dataclass(slots=True)
class _Pieces:
    """What has come of one message."""

    count: int
    since_s: float
    parts: dict[int, Received] = field(default_factory=dict)
    positions: dict[Position, None] = field(default_factory=dict)
    """In the order in which they came; more than there are parts where one was sent twice."""
    size_bytes: int = 0

    def add(self, index: int, received: Received) -> None:
        before = self.parts.get(index)
        self.size_bytes += len(received.payload) - (0 if before is None else len(before.payload))
        self.parts[index] = received
        self.positions[received.position] = None

    def whole(self) -> bytes:
        """The message as it would have come in one; what it says is for the codec to judge."""
        envelopes = [_envelope(self.parts[index].payload) for index in range(self.count)]
        joined = "".join(envelope["message"] for envelope in envelopes)
        return encode(envelopes[0] | {"msgSplitIdx": 1, "msgSplitCount": 1, "message": joined})


class Assembler:
    """Keeps parts until all of a message are there; belongs to one event loop.

    A part may come twice, from a reader that reads again or from Atlas' producer; that changes nothing.
    """

    def __init__(self, clock: Clock) -> None:
        """Nothing waits yet."""
        self._clock = clock
        self._waiting: dict[str, _Pieces] = {}
        self._size_bytes = 0
        self._members: dict[Position, tuple[Position, ...]] = {}

    def put_together(self, received: Received) -> Received | None:
        """The message itself where it came in one, or with its last part the whole; ``None`` while others are missing.

        A whole stands at the place of the part with the highest number, so the same parts read again give the same
        place.

        What claims to be a part and is none comes back as it is: the codec refuses it with a reason.
        """
        part = _part(received.payload)
        if part is None:
            return received
        message_id, index, count = part
        pieces = self._waiting.setdefault(message_id, _Pieces(count, self._clock.monotonic_s()))
        if pieces.count != count:
            return received
        before = pieces.size_bytes
        pieces.add(index, received)
        self._size_bytes += pieces.size_bytes - before
        if len(pieces.parts) < count:
            return None
        self._drop(message_id)
        place = pieces.parts[count - 1].position
        self._members[place] = tuple(pieces.positions)
        return Received(place, pieces.whole(), pieces.parts[count - 1].at)

    def members(self, place: Position) -> tuple[Position, ...]:
        """All places that a message took on the topic; asked once, when it is done."""
        return self._members.pop(place, (place,))

    def given_up(self, partitions: Collection[int]) -> list[Received]:
        """Parts whose others haven't come in time, or for which there is no room: each comes back once, oldest first.

        Of partitions other than ``partitions``, which another reader has now, nothing comes back: it reads them.
        """
        now_s = self._clock.monotonic_s()
        over: list[Received] = []
        for message_id, pieces in list(self._waiting.items()):
            if self._size_bytes <= PARTS_BYTES_MAX and now_s - pieces.since_s < PARTS_WAIT_S:
                break
            self._drop(message_id)
            ours = [part for part in pieces.parts.values() if part.position.partition in partitions]
            twice = pieces.positions.keys() - {part.position for part in pieces.parts.values()}
            if ours and twice:
                self._members[ours[0].position] = (ours[0].position, *twice)
            over += ours
        return over

    def _drop(self, message_id: str) -> None:
        self._size_bytes -= self._waiting.pop(message_id).size_bytes


def _part(payload: bytes) -> tuple[str, int, int] | None:
    """Message id, number and count of a part; ``None``: it isn't one."""
    found = _COUNT.search(payload)
    if found is None or int(found[1]) <= 1:
        return None
    try:
        envelope = _envelope(payload)
    except MalformedError:
        return None
    message_id, index, count = envelope.get("msgId"), envelope.get("msgSplitIdx"), envelope.get("msgSplitCount")
    if not isinstance(message_id, str) or not isinstance(index, int) or not isinstance(count, int):
        return None
    return (message_id, index, count) if 0 <= index < count <= PARTS_OF_A_MESSAGE_MAX else None


def _envelope(payload: bytes) -> dict[str, Any]:
    envelope = decode(payload)
    if not isinstance(envelope, dict) or not isinstance(envelope.get("message"), str):
        raise MalformedError("a part of a notification without a text in it")
    return envelope
