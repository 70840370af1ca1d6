"""A map vertex: up to ``concurrency`` messages in work at a time, answered in any order."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from pipeline.local.plane.flow import Datum
from pipeline.local.plane.links import MapLink, ServerEndedError
from pipeline.local.plane.server import end
from pipeline.local.plane.vertex import Equipment

TURN_S: Final = 0.001
"""Handlers that never wait are called one after the other for this long; then everybody else has a turn."""


class MapVertex:
    """Gives what is in its buffer to the handler and sends its results along the edges.

    Workers take one message after the other, so a message costs no task of its own; there is always an idle one until
    there are ``concurrency``. What hasn't been answered when the server is lost is given to the next one.
    """

    def __init__(self, equipment: Equipment) -> None:
        """Nothing is started."""
        self._equipment = equipment
        self._in_work: dict[str, Datum] = {}
        self._again: deque[Datum] = deque()
        self._workers: list[asyncio.Task[None]] = []
        self._idle = 0

    def in_flight(self) -> int:
        """See :class:`~pipeline.local.plane.vertex.Runnable`."""
        return len(self._in_work)

    def work(self) -> Sequence[Coroutine[Any, Any, None]]:
        """See :class:`~pipeline.local.plane.vertex.Runnable`."""
        return (self._equipment.server.keep(self._session),)

    async def _session(self, link: MapLink) -> None:
        self._again = deque(self._in_work.values())
        self._equipment.counters.retries += len(self._again)
        self._workers, self._idle = [], 0
        mistake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hire(link, mistake)
        try:
            await mistake
        finally:
            await end(self._workers, self._equipment.server.name)

    def _hire(self, link: MapLink, mistake: "asyncio.Future[None]") -> None:
        self._idle += 1
        name = f"vertex {self._equipment.server.name}"
        self._workers.append(asyncio.create_task(self._toil(link, mistake), name=name))

    async def _toil(self, link: MapLink, mistake: "asyncio.Future[None]") -> None:
        try:
            await self._take_turns(link, mistake)
        except ServerEndedError as error:
            if not link.lost.done():
                link.lost.set_result(error)
        except Exception as error:  # noqa: BLE001  (handed to the vertex, which ends by it)
            if not mistake.done():
                mistake.set_exception(error)

    async def _take_turns(self, link: MapLink, mistake: "asyncio.Future[None]") -> None:
        equipment, clock = self._equipment, self._equipment.clock
        outlet, lost = equipment.outlet, link.lost
        turn_began_s = clock.monotonic_s()
        while True:
            datum = self._again.popleft() if self._again else await equipment.buffer.get()
            self._in_work[datum.id] = datum
            self._idle -= 1
            if not self._idle and len(self._workers) < equipment.plan.concurrency:
                self._hire(link, mistake)
            if equipment.pace:
                await equipment.pace.take(1)
            while outlet.is_blocked:
                await outlet.cleared()
            equipment.traffic.in_handlers += 1
            try:
                results = await link.answer(datum)
            finally:
                equipment.traffic.in_handlers -= 1
            if lost.done():
                return  # the next server is given it
            del self._in_work[datum.id]
            self._answered(datum, results)
            self._idle += 1
            if clock.monotonic_s() - turn_began_s > TURN_S:
                await asyncio.sleep(0)
                turn_began_s = clock.monotonic_s()

    def _answered(self, datum: Datum, results: Sequence[tuple[Datum, tuple[str, ...]]]) -> None:
        emit = self._equipment.outlet.emit
        for result, tags in results:
            emit(result, tags)
        self._equipment.counters.processed += 1
        datum.lineage.release()
