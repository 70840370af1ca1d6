"""A map server in a thread of its own with a loop of its own: what blocks there stalls nobody else.

For handlers that compute or wait without ``await``. The handler's own messages do wait for one another. A thread can't
be ended from outside: one that blocks for ever is left behind when the plane stops, and dies with the process.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from pipeline.local.plane.direct import DirectHost, DirectMap, ServerFactory
from pipeline.local.plane.flow import Datum
from pipeline.local.plane.links import HANDLER_END_S, ServerEndedError, WrongServerError
from pipeline.local.plane.manifest import Kind
from pipeline.local.plane.watchdog import Watchdog

_LOG = logging.getLogger(__name__)


class ThreadHost:
    """One map vertex's handler and the thread it runs in; a new thread after each death."""

    def __init__(self, factory: ServerFactory, name: str) -> None:
        """Nothing is started. The factory is called in the thread: what it makes may belong to the thread's loop."""
        self._inner = DirectHost(factory, name)
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: Future[None] = Future()
        self._watchdog: Watchdog | None = None

    def watched_by(self, watchdog: Watchdog) -> None:
        """Have its loops watched too; before the first start."""
        self._watchdog = watchdog

    async def start(self, kind: Kind) -> "ThreadMap":
        """See :class:`~pipeline.local.plane.links.Host`."""
        if kind is not Kind.MAP:
            raise WrongServerError(f"the vertex {self._name!r} is a {kind}: only maps have threads of their own")
        self._loop, self._ended = asyncio.new_event_loop(), Future()
        thread = threading.Thread(target=_run, args=(self._loop, self._ended), name=self._name, daemon=True)
        thread.start()
        if self._watchdog is not None:
            self._watchdog.watch(self._loop, thread, self._name)
        inner = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._inner.start(kind), self._loop))
        if not isinstance(inner, DirectMap):
            raise WrongServerError(f"the vertex {self._name!r} has no map's handler")
        return ThreadMap(inner, self._loop)

    async def stop(self) -> None:
        """See :class:`~pipeline.local.plane.links.Host`."""
        if self._loop is None:
            return
        if self._watchdog is not None:
            self._watchdog.leave(self._loop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        try:
            await asyncio.wait_for(asyncio.wrap_future(self._ended), HANDLER_END_S)
        except TimeoutError:
            _LOG.error("a handler of %s still blocks its thread, which is left behind", self._name)
        self._loop = None


class ThreadMap:
    """See :class:`~pipeline.local.plane.links.MapLink`: each message goes over to the thread's loop and comes back."""

    def __init__(self, inner: DirectMap, loop: asyncio.AbstractEventLoop) -> None:
        """Belongs to the running loop; ``inner`` to the other."""
        self.lost: asyncio.Future[ServerEndedError] = asyncio.get_running_loop().create_future()
        self._inner = inner
        self._loop = loop

    async def answer(self, datum: Datum) -> Sequence[tuple[Datum, tuple[str, ...]]]:
        """See the port."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._inner.answer(datum), self._loop))


def _run(loop: asyncio.AbstractEventLoop, ended: "Future[None]") -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=HANDLER_END_S))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    finally:
        if not ended.cancelled():
            ended.set_result(None)
