"""The life of a vertex's server: started, used until it is lost, started anew after a wait that grows."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from pipeline.core.clock import Clock
from pipeline.local.plane.flow import Counters
from pipeline.local.plane.links import HANDLER_END_S, Host, ServerEndedError, reason_of
from pipeline.local.plane.manifest import Kind

RESTART_MIN_S: Final = 0.1
RESTART_MAX_S: Final = 10.0
STABLE_S: Final = 30.0
"""A server that lived this long starts again without a wait."""
_END_S: Final = HANDLER_END_S + 1
_LOG = logging.getLogger(__name__)


class VertexServer:
    """One server at a time, of one host."""

    def __init__(self, name: str, kind: Kind, host: Host, clock: Clock, counters: Counters) -> None:
        """Nothing is started."""
        self.name = name
        self._kind = kind
        self._host = host
        self._clock = clock
        self._counters = counters
        self._wait_s = 0.0
        self._opened_at_s = 0.0
        self._is_ending = False
        self.is_up = False
        self.has_been_up = asyncio.Event()

    async def keep(self, work: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        """Start the server and do ``work`` over its link; again with a new server whenever one is lost. For ever.

        ``work`` is cancelled when the link is lost, and has ended before the next server is made: a container's end
        would take its handlers along.

        Raises:
            WrongServerError: the first start failed.
            Exception: what the factory raised at the first start; a mistake of ``work``.
        """
        while True:
            link = await self._open()
            self._check()
            working = asyncio.create_task(work(link), name=f"vertex {self.name}")
            try:
                await asyncio.wait((working, link.lost), return_when=asyncio.FIRST_COMPLETED)
                error = _why(working, link.lost)
                if not link.lost.done():
                    link.lost.set_result(error)
            finally:
                await end((working,), self.name, _END_S)
            await self._died(error)

    async def _open(self) -> Any:
        while True:
            self._check()
            if self._wait_s:
                await self._clock.sleep(self._wait_s)
            self._opened_at_s = self._clock.monotonic_s()
            try:
                link = await self._host.start(self._kind)
            except Exception as error:
                if not self.has_been_up.is_set():
                    raise
                await self._died(error)
                continue
            self.is_up = True
            self.has_been_up.set()
            return link

    def ends(self) -> None:
        """No other server is started: called before :meth:`keep` is cancelled.

        A cancellation alone may get lost: gRPC stops a server with ``asyncio.wait_for``, which before Python 3.12
        swallows one that comes as it ends.
        """
        self._is_ending = True

    def _check(self) -> None:
        if self._is_ending:
            raise asyncio.CancelledError

    async def _died(self, error: Exception) -> None:
        self.is_up = False
        self._counters.restarts += 1
        lived_s = self._clock.monotonic_s() - self._opened_at_s
        self._wait_s = (
            RESTART_MIN_S if lived_s >= STABLE_S or not self._wait_s else min(self._wait_s * 2, RESTART_MAX_S)
        )
        cause = error.__cause__
        _LOG.error(
            "the server of %s ended and starts again in %.1f s: %s",
            self.name,
            self._wait_s,
            reason_of(error),
            exc_info=cause if cause is not None else None,
        )
        await self._host.stop()

    async def close(self) -> None:
        """End the server; may be called twice."""
        self.is_up = False
        await self._host.stop()


def _why(working: "asyncio.Task[None]", lost: "asyncio.Future[ServerEndedError]") -> ServerEndedError:
    if lost.done():
        return lost.result()
    if working.cancelled():
        return ServerEndedError("its work was cancelled from inside")
    error = working.exception()
    if isinstance(error, ServerEndedError):
        return error
    raise error or AssertionError("the work of a vertex doesn't end by itself")


async def end(tasks: Iterable["asyncio.Task[Any]"], name: str, within_s: float = HANDLER_END_S) -> None:
    """Cancel tasks and wait until they have ended; the log says when a handler doesn't let itself be cancelled."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if not left:
        return
    _, left_over = await asyncio.wait(left, timeout=within_s)
    if left_over:
        _LOG.error("%d handlers of %s don't end when they are cancelled", len(left_over), name)
