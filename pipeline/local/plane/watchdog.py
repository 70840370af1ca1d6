"""Notices a loop that stands still, and says in the log which vertex holds it up, and where."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from pipeline.core.clock import Clock

LOOK_S: Final = 0.5
"""Between two looks."""
BLOCKED_S: Final = 1.0
"""A loop that hasn't had a turn for this long is blocked."""
VERTEX_TASK: Final = "vertex "
"""What the names of vertices' tasks begin with."""
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    owner: str | None
    asked_s: float | None = None
    blocker: str | None = None


class Watchdog:
    """A thread that asks every loop for a sign of life."""

    def __init__(self, clock: Clock, on_blocked: Callable[[str], None]) -> None:
        """``on_blocked`` is called in the watchdog's thread with the vertex, once a block."""
        self._clock = clock
        self._on_blocked = on_blocked
        self._watched: dict[asyncio.AbstractEventLoop, _Watched] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch the running loop, and whatever :meth:`watch` adds. Once."""
        self.watch(asyncio.get_running_loop(), threading.current_thread(), None)
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def watch(self, loop: asyncio.AbstractEventLoop, thread: threading.Thread, owner: str | None) -> None:
        """Another loop, which ``thread`` runs; without ``owner`` the name of the task at work tells the vertex."""
        self._watched[loop] = _Watched(loop, thread, owner)

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch it no more; no error when it isn't watched."""
        self._watched.pop(loop, None)

    def stop(self) -> None:
        """End the thread; may be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            for watched in list(self._watched.values()):
                self._look(watched)

    def _look(self, watched: _Watched) -> None:
        now_s = self._clock.monotonic_s()
        if watched.asked_s is None:
            watched.asked_s = now_s
            try:
                watched.loop.call_soon_threadsafe(self._answered, watched)
            except RuntimeError:  # it was closed meanwhile
                self.leave(watched.loop)
        elif watched.blocker is None and now_s - watched.asked_s >= BLOCKED_S:
            blocker = watched.blocker = watched.owner or _at_work(watched.loop)
            _LOG.warning(
                "%s has blocked %s for %.1f s now, in %s: compute and wait in an `await`, or say `blocking = true`",
                blocker,
                "its own thread" if watched.owner else "the loop that all vertices share",
                now_s - watched.asked_s,
                _place(watched.thread),
            )
            self._on_blocked(blocker)  # not the field: the loop, free again, may have cleared it

    def _answered(self, watched: _Watched) -> None:
        asked_s, blocker = watched.asked_s, watched.blocker
        watched.asked_s = watched.blocker = None
        if blocker is not None and asked_s is not None:
            _LOG.warning("%s blocks no more, after %.1f s", blocker, self._clock.monotonic_s() - asked_s)


def _at_work(loop: asyncio.AbstractEventLoop) -> str:
    task = asyncio.current_task(loop)
    if task is None:
        return "something outside of a task"
    name = task.get_name()
    return name.removeprefix(VERTEX_TASK) if name.startswith(VERTEX_TASK) else f"the task {name!r}"


def _place(thread: threading.Thread) -> str:
    """The innermost function at work: file, line and name, without the folders around the code."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001  (the only way to see another thread's)
    if frame is None:
        return "a thread that has ended"
    return f"{'/'.join(PurePath(frame.f_code.co_filename).parts[-3:])}:{frame.f_lineno} ({frame.f_code.co_name})"
