"""Virtual time, and coroutines driven through it one step after another: no event loop, no threads, no waiting.

Handlers await nothing but their ports; the ports of a world await :class:`Step`, which tells the scheduler when to
go on and with what. So the same seed gives the same order of everything.
"""

import heapq
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")
Resume = Callable[[Any, BaseException | None], None]


class Step:
    """What a port awaits: ``begin`` is handed a function to call once, later, with a value or an error."""

    __slots__ = ("begin",)

    def __init__(self, begin: Callable[[Resume], None]) -> None:
        """``begin`` must not call its argument before it returns."""
        self.begin = begin

    def __await__(self) -> Generator["Step", Any, Any]:
        return (yield self)


class Scheduler:
    """A queue of things to do at virtual milliseconds; those of one moment in the order in which they were put."""

    def __init__(self, now_ms: int) -> None:
        """Starts at ``now_ms``, Unix time."""
        self.now_ms = now_ms
        self._queue: list[tuple[int, int, Callable[[], object]]] = []
        self._count = 0

    def at(self, at_ms: int, action: Callable[[], object]) -> None:
        """Do it then, or now if that has passed."""
        self._count += 1
        heapq.heappush(self._queue, (max(at_ms, self.now_ms), self._count, action))

    def after(self, delay_ms: int, action: Callable[[], object]) -> None:
        """Do it that much later."""
        self.at(self.now_ms + delay_ms, action)

    def run(self, until_ms: int, steps_max: int) -> bool:
        """Everything up to that time; False if there was no end to it."""
        for _ in range(steps_max):
            if not self._queue or self._queue[0][0] > until_ms:
                return True
            self.now_ms, _, action = heapq.heappop(self._queue)
            action()
        return False


class Process:
    """One coroutine on its way; dead ones never go on, frozen ones later."""

    __slots__ = ("_coroutine", "_frozen_until", "_on_end", "_scheduler", "is_dead")

    def __init__(
        self,
        scheduler: Scheduler,
        coroutine: Coroutine[Any, Any, Any],
        on_end: Callable[[Any, BaseException | None], None],
        frozen_until: Callable[[], int],
    ) -> None:
        """``on_end`` gets its value or the error that left it; ``frozen_until`` is asked before each step."""
        self._scheduler = scheduler
        self._coroutine = coroutine
        self._on_end = on_end
        self._frozen_until = frozen_until
        self.is_dead = False

    def go_on(self, value: Any = None, error: BaseException | None = None) -> None:
        """Run to the next step that waits."""
        if self.is_dead:
            return
        frozen_until = self._frozen_until()
        if frozen_until > self._scheduler.now_ms:
            self._scheduler.at(frozen_until, lambda: self.go_on(value, error))
            return
        try:
            step = self._coroutine.send(value) if error is None else self._coroutine.throw(error)
        except StopIteration as stop:
            self.is_dead = True
            self._on_end(stop.value, None)
        except Exception as left:  # noqa: BLE001  (whatever leaves a handler is the world's to judge)
            self.is_dead = True
            self._on_end(None, left)
        else:
            step.begin(self.go_on)

    def kill(self) -> None:
        """End it where it stands; may be called again."""
        if not self.is_dead:
            self.is_dead = True
            self._coroutine.close()


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The value of a coroutine that never waits (the memory store's)."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise AssertionError("this coroutine waits for something")
