"""Where a message stands on the broker, and which of those that were read are done."""

from typing import NamedTuple

from pipeline.messages.canonical import MalformedError


class Position(NamedTuple):
    """A message's place: stable, so it is the message's offset in the pipeline too."""

    topic: str
    partition: int
    offset: int

    def encode(self) -> bytes:
        """``topic:partition:offset``."""
        return f"{self.topic}:{self.partition}:{self.offset}".encode()

    @classmethod
    def parse(cls, data: bytes) -> "Position":
        """The inverse of :meth:`encode`.

        Raises:
            MalformedError: not a position.
        """
        try:
            topic, partition, offset = data.decode().rsplit(":", 2)
            return cls(topic, int(partition), int(offset))
        except ValueError:
            raise MalformedError("not a position on a topic") from None


class DoneOffsets:
    """What of one partition is done: in any order, and with gaps where the broker left offsets out.

    :attr:`floor` is the first offset that isn't done; everything before it may be committed.
    """

    def __init__(self, first: int) -> None:
        """``first``: the offset from which on is read."""
        self.floor = first
        self._read = first
        self._ahead: set[int] = set()

    def read(self, offset: int) -> None:
        """``offset`` was read; those skipped since the last one don't exist, so they count as done."""
        for missing in range(self._read, offset):
            self.done(missing)
        self._read = max(self._read, offset + 1)

    def done(self, offset: int) -> bool:
        """Whether that moved the floor; may be called twice for one offset."""
        if offset < self.floor:
            return False
        self._ahead.add(offset)
        before = self.floor
        while self.floor in self._ahead:
            self._ahead.remove(self.floor)
            self.floor += 1
        return self.floor > before
