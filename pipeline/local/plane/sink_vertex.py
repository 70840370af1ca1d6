"""A sink vertex: one batch at a time. What fails is tried for ever, what the sink gives up goes to its fallback, and
what it wants told of its success to the sink for that.
"""

import asyncio
import zlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pipeline.local.plane.flow import Counters, Datum
from pipeline.local.plane.links import Answer, ServerEndedError, SinkLink, Status
from pipeline.local.plane.manifest import BackoffPlan
from pipeline.local.plane.server import VertexServer
from pipeline.local.plane.vertex import Equipment

GATHER_READS_MAX: Final = 5
"""While messages are moving, a batch is gathered for so many read time-outs at most. A write costs as much as the work
on some transitions, so a busy sink writes seldom, and an idle one at once."""
_LAST: Final = frozenset({Status.SUCCESS, Status.FAILURE})


class SinkVertex:
    """Gathers batches from its buffer and delivers each until all of it has arrived."""

    def __init__(self, equipment: Equipment) -> None:
        """Nothing is started."""
        self._equipment = equipment
        behind = {Status.FALLBACK: equipment.fallback, Status.ON_SUCCESS: equipment.on_success}
        self._further = {
            status: Courier(server, equipment.counters, _LAST) for status, server in behind.items() if server
        }
        self._sink = Courier(equipment.server, equipment.counters, _LAST | self._further.keys())
        self._batch: dict[str, Datum] = {}

    def in_flight(self) -> int:
        """See :class:`~pipeline.local.plane.vertex.Runnable`."""
        return len(self._batch)

    def work(self) -> Sequence[Coroutine[Any, Any, None]]:
        """See :class:`~pipeline.local.plane.vertex.Runnable`."""
        return (self._write(), *(courier.work() for courier in (self._sink, *self._further.values())))

    async def _write(self) -> None:
        while True:
            await self._gather()
            if pace := self._equipment.pace:
                await pace.take(len(self._batch))
            sent_on = await self._deliver(self._sink, self._batch)
            self._equipment.counters.fallbacks += len(sent_on.get(Status.FALLBACK, ()))
            for status, batch in sent_on.items():
                await self._deliver(self._further[status], batch)

    async def _gather(self) -> None:
        """What there is, and what comes within the read time-out as long as anything is on its way. After that, what
        comes as long as anything is moving.
        """
        first = await self._equipment.buffer.get()
        self._batch[first.id] = first
        traffic, timeout_s = self._equipment.traffic, self._equipment.plan.read_timeout_s
        began_s = asyncio.get_running_loop().time()
        if not await self._joined(began_s + timeout_s, lambda: traffic.under_way):
            await self._joined(began_s + GATHER_READS_MAX * timeout_s, lambda: traffic.moving)

    async def _joined(self, until_s: float, others: Callable[[], int]) -> bool:
        """Whether the batch is full, or has all there is, before ``until_s``."""
        plan, buffer, batch = self._equipment.plan, self._equipment.buffer, self._batch
        try:
            async with asyncio.timeout_at(until_s):
                while len(batch) < plan.read_batch_size:
                    if buffer.empty() and others() <= len(batch):
                        break
                    datum = await buffer.get()
                    batch[datum.id] = datum
        except TimeoutError:
            return False
        return True

    async def _deliver(self, courier: "Courier", batch: Mapping[str, Datum]) -> dict[Status, dict[str, Datum]]:
        """Until nothing of the batch fails any more; what goes on to a further sink, by the status that sends it."""
        left = dict(batch)
        sent_on: dict[Status, dict[str, Datum]] = {}
        tries = 0
        while left:
            for datum_id, answer in (await courier.deliver(left)).items():
                if answer.status is Status.FAILURE:
                    continue
                datum = left.pop(datum_id)
                if answer.status is Status.SUCCESS:
                    self._arrived(datum)
                else:
                    sent_on.setdefault(answer.status, {})[datum_id] = _sent_on(datum, answer)
            if left:
                self._equipment.counters.retries += len(left)
                await self._equipment.clock.sleep(
                    backoff_s(self._equipment.plan.backoff, self._equipment.plan.name, tries)
                )
                tries += 1
        return sent_on

    def _arrived(self, datum: Datum) -> None:
        del self._batch[datum.id]
        self._equipment.counters.processed += 1
        datum.lineage.release()


def _sent_on(datum: Datum, answer: Answer) -> Datum:
    """The message, or what the sink wants said in its place."""
    if answer.message is None:
        return datum
    value, keys, metadata = answer.message
    return replace(datum, value=value, keys=keys, metadata=metadata)


def backoff_s(plan: BackoffPlan, vertex: str, tries: int) -> float:
    """The wait before the next try, after ``tries`` waits before it (from 0).

    Jitter takes up to that share off; it is derived from vertex and try, so vertices part and a test repeats.
    """
    whole_s = min(plan.cap_s, plan.interval_s * plan.factor ** min(tries, 64))
    return whole_s * (1 - plan.jitter * zlib.crc32(f"{vertex}/{tries}".encode()) / 2**32)


class Courier:
    """Brings batches to one sink server; a batch outlives the server."""

    def __init__(self, server: VertexServer, counters: Counters, known: frozenset[Status]) -> None:
        """Nothing is started; ``known`` are the statuses that the server may answer with."""
        self._server = server
        self._known = known
        self._counters = counters
        self._batch: Mapping[str, Datum] = {}
        self._has_batch = asyncio.Event()
        self._was_given = False
        self._answers: asyncio.Future[dict[str, Answer]] | None = None

    async def deliver(self, batch: Mapping[str, Datum]) -> dict[str, Answer]:
        """An answer for each message of the batch; one call at a time."""
        self._batch, self._was_given = batch, False
        self._answers = asyncio.get_running_loop().create_future()
        self._has_batch.set()
        return await self._answers

    def work(self) -> Coroutine[Any, Any, None]:
        """Deliver what is asked for, for the life of the vertex."""
        return self._server.keep(self._session)

    async def _session(self, link: SinkLink) -> None:
        while True:
            await self._has_batch.wait()
            self._counters.retries += len(self._batch) if self._was_given else 0
            self._was_given = True
            answers = self._checked(await link.deliver(self._batch))
            if link.lost.done():
                return  # the next server is given it
            self._has_batch.clear()
            if self._answers is not None:
                self._answers.set_result(answers)

    def _checked(self, answers: dict[str, Answer]) -> dict[str, Answer]:
        if answers.keys() != self._batch.keys():
            raise ServerEndedError(f"{len(answers)} answers to a batch of {len(self._batch)}")
        odd = sorted({answer.status.name for answer in answers.values()} - {status.name for status in self._known})
        if odd:
            raise ServerEndedError(f"the manifest has no sink for answers of {', '.join(odd)}")
        return answers
