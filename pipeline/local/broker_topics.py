"""When the local broker goes on in a fresh topic, and which old ones may be deleted.

Tansu holds every message in memory and frees it only with its topic. Deleting is safe when all of a topic is acked and
nobody reads it: librdkafka ends the process when a topic is deleted under a consumer (see
:meth:`pipeline.cdc.admin.TopicAdmin.delete`). So readers enter and leave topics here.
"""

import threading
from collections.abc import Iterable
from typing import Final

from pipeline.cdc.offsets import DoneOffsets, Position

EVENTS_MAX: Final = 20_000
BYTES_MAX: Final = 32 * 1024 * 1024
_NEARLY: Final = 0.8


class TopicRotation:
    """The topics of one broker, from its start. Readers' threads call :meth:`enter` and :meth:`leave`; all else is
    for one event loop.
    """

    def __init__(self, *, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        """A topic is full at ``events_max`` messages or ``bytes_max`` bytes, whichever comes first."""
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._events = 0
        self._bytes = 0
        self._number = 0
        self._acked: dict[str, DoneOffsets] = {}
        self._ends: dict[str, int] = {}
        self._readers: dict[str, str] = {}
        self._doomed: set[str] = set()
        self._lock = threading.Lock()
        self.current = ""

    def next_number(self, now_ms: int) -> int:
        """A number above all given before, also by earlier brokers: their readers look for a greater one."""
        self._number = max(self._number + 1, now_ms)
        return self._number

    def begin(self, topic: str) -> None:
        """A broker was started with an empty memory: earlier topics are gone."""
        self._acked.clear()
        self._ends.clear()
        with self._lock:
            self._doomed.clear()
        self.go_on(topic)

    def go_on(self, topic: str) -> None:
        """What is sent from now on goes to ``topic``."""
        self.current = topic
        self._acked[topic] = DoneOffsets(0)
        self._events = self._bytes = 0

    def sent(self, place: Position, payload_bytes: int) -> None:
        """A message is on the topic."""
        if place.topic == self.current:
            self._events += 1
            self._bytes += payload_bytes

    def is_full(self) -> bool:
        """Whether to go on in another topic."""
        return self._events >= self._events_max or self._bytes >= self._bytes_max

    def is_nearly_full(self) -> bool:
        """Whether the next topic should be made."""
        return self._events >= _NEARLY * self._events_max or self._bytes >= _NEARLY * self._bytes_max

    def ended(self, mark: Position) -> None:
        """``mark`` is the last message of its topic; nobody acks it. Of a topic that is gone it means nothing."""
        if mark.topic in self._acked:
            self._ends[mark.topic] = mark.offset

    def acked(self, positions: Iterable[Position]) -> None:
        """In any order, again without harm; of topics that are gone, too."""
        for place in positions:
            topic = self._acked.get(place.topic)
            if topic is not None:
                topic.done(place.offset)

    def enter(self, reader: str, topic: str) -> bool:
        """See :class:`pipeline.cdc.assigned.Gate`."""
        with self._lock:
            if topic in self._doomed:
                return False
            self._readers[reader] = topic
            return True

    def leave(self, reader: str) -> None:
        """See :class:`pipeline.cdc.assigned.Gate`."""
        with self._lock:
            self._readers.pop(reader, None)

    def condemned(self) -> list[str]:
        """Topics to delete now: over, wholly acked, read by nobody. Each is named once; nobody may enter it again."""
        over = [topic for topic, end in self._ends.items() if self._acked[topic].floor >= end]
        with self._lock:
            read = set(self._readers.values())
            doomed = [topic for topic in over if topic not in read]
            self._doomed.update(doomed)
        for topic in doomed:
            del self._ends[topic], self._acked[topic]
        return doomed

    def spared(self, topic: str) -> None:
        """It couldn't be deleted: named again later, unless it is gone with its broker."""
        with self._lock:
            if topic not in self._doomed:
                return
        self._acked[topic] = DoneOffsets(0)
        self._ends[topic] = 0
