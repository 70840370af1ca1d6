"""From a reading thread to the event loop: bounded, so that a slow pipeline stops the reading."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from pipeline.cdc.offsets import Position

BUFFER_MESSAGES_MAX: Final = 2_000
BUFFER_BYTES_MAX: Final = 32 * 1024 * 1024


class Received(NamedTuple):
    """A message as it came: its bytes, its place, and the broker's time in milliseconds (0 = unknown)."""

    position: Position
    payload: bytes
    at: int


class Buffer:
    """One thread puts, one event loop takes. Belongs to the loop it was made in."""

    def __init__(self) -> None:
        """Empty."""
        self._loop = asyncio.get_running_loop()
        self._messages: deque[Received] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._has_messages = asyncio.Event()

    def is_full(self) -> bool:
        """Whether the thread should stop reading for now."""
        return len(self._messages) >= BUFFER_MESSAGES_MAX or self._bytes >= BUFFER_BYTES_MAX

    def put(self, messages: Sequence[Received]) -> None:
        """Called by the thread; what is put is kept even when the buffer is full.

        Raises:
            RuntimeError: the loop is closed.
        """
        if not messages:
            return
        with self._lock:
            was_empty = not self._messages
            self._messages.extend(messages)
            self._bytes += sum(len(message.payload) for message in messages)
        if was_empty:
            self._loop.call_soon_threadsafe(self._has_messages.set)

    def drop(self, is_unwanted: Callable[[Position], bool]) -> None:
        """Called by the thread: forget messages that another reader gets now."""
        with self._lock:
            self._messages = deque(message for message in self._messages if not is_unwanted(message.position))
            self._bytes = sum(len(message.payload) for message in self._messages)

    async def take(self, limit: int, timeout_s: float) -> list[Received]:
        """Up to ``limit`` messages: what there is, else the first that come within ``timeout_s``, else none."""
        taken = self._take(limit)
        if taken:
            return taken
        try:
            async with asyncio.timeout(timeout_s):
                while not taken:
                    self._has_messages.clear()
                    taken = self._take(limit)
                    if not taken:
                        await self._has_messages.wait()
        except TimeoutError:
            return []
        return taken

    def _take(self, limit: int) -> list[Received]:
        with self._lock:
            taken = [self._messages.popleft() for _ in range(min(limit, len(self._messages)))]
            self._bytes -= sum(len(message.payload) for message in taken)
        return taken
