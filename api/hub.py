"""Who waits for a change hears of it: fed by the follower of the topic, so that nobody polls the store."""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from pipeline.cdc.codec import Notification
from pipeline.core.ids import run_guid_of
from pipeline.store import types

KEPT_MAX: Final = 64
"""Events kept for one watcher; beyond that the oldest are dropped, since a document holds all before it."""


class Watch:
    """One watcher's events, from :meth:`Hub.watch`; a context manager."""

    def __init__(self, hub: "Hub", keys: tuple[str, ...], matters: Callable[[Notification], bool] | None) -> None:
        """See :meth:`Hub.watch`."""
        self._hub = hub
        self._keys = keys
        self._matters = matters
        self._events: deque[Notification | None] = deque(maxlen=KEPT_MAX)
        self._woken = asyncio.Event()

    async def next(self, timeout_s: float) -> tuple[bool, Notification | None]:
        """Wait for the next event: ``(True, event)``, ``(True, None)`` for "read again", ``(False, None)`` when the
        time is up.
        """
        if not self._events:
            try:
                async with asyncio.timeout(max(timeout_s, 0)):
                    await self._woken.wait()
            except TimeoutError:
                return False, None
        event = self._events.popleft()
        if not self._events:
            self._woken.clear()
        return True, event

    def put(self, event: Notification | None) -> None:
        """For the hub: an event, or None for "read again"."""
        if event is None or self._matters is None or self._matters(event):
            self._events.append(event)
            self._woken.set()

    def __enter__(self) -> Self:
        """Events from now on are kept."""
        self._hub.add(self, self._keys)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """No more events."""
        self._hub.remove(self, self._keys)


class Hub:
    """All watchers of one process; every method belongs to the event loop's thread."""

    def __init__(self) -> None:
        """Nobody watches yet."""
        self._watches: dict[str, set[Watch]] = {}
        self._is_closing = False
        self.workflows_epoch = 0
        """Rises whenever a workflow or version may have changed: what was read of them before may be old."""

    @property
    def is_closing(self) -> bool:
        """Whether the process is about to stop: streams and waits end."""
        return self._is_closing

    @property
    def watchers(self) -> int:
        """How many runs are watched."""
        return len(self._watches)

    def watch(self, *keys: str, matters: Callable[[Notification], bool] | None = None) -> Watch:
        """A watcher of these runs, by guid: of the runs themselves, and of their commands. Where given, events that
        don't ``matters`` are passed over.

        Enter it *before* reading what is watched, else a change between the two goes unheard.
        """
        return Watch(self, keys, matters)

    def publish(self, event: Notification) -> None:
        """A fact from the topic."""
        if event.type_name == types.WORKFLOW:
            self.workflows_changed()
        watches = self._watches.get(_key(event))
        for watch in tuple(watches or ()):
            watch.put(event)

    def read_again(self) -> None:
        """The follower has (re)connected: what happened meanwhile is in the store alone."""
        self.workflows_changed()
        for watch in {watch for watches in self._watches.values() for watch in watches}:
            watch.put(None)

    def workflows_changed(self) -> None:
        """Somebody wrote a workflow or a version: the topic says so, and before it whoever writes here."""
        self.workflows_epoch += 1

    def close(self) -> None:
        """The process is about to stop; everyone who waits is woken to see it."""
        self._is_closing = True
        self.read_again()

    def add(self, watch: Watch, keys: tuple[str, ...]) -> None:
        """For :class:`Watch`."""
        for key in keys:
            self._watches.setdefault(key, set()).add(watch)

    def remove(self, watch: Watch, keys: tuple[str, ...]) -> None:
        """For :class:`Watch`."""
        for key in keys:
            watches = self._watches.get(key, set())
            watches.discard(watch)
            if not watches:
                self._watches.pop(key, None)


def _key(told: Notification) -> str:
    if told.type_name == types.COMMAND and told.qualified_name:
        return run_guid_of(told.qualified_name)
    return told.guid
