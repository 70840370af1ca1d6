"""Reads all of a topic without a group: from its beginning (the source on one machine), or live (the API).

On the local broker topics are numbered and end (:mod:`pipeline.cdc.topics`), and the broker may be started anew, with
nothing in it. So reading goes in sessions: one consumer on one topic, until the topic says where it goes on or the
broker is gone; then a new consumer on the next topic. A consumer is never left on a topic that may be deleted:
librdkafka 2.16.0 doesn't survive that (see :meth:`pipeline.cdc.admin.TopicAdmin.delete`).
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterable
from typing import Final, Literal, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.cdc.buffer import Buffer, Received
from pipeline.cdc.codec import Notification
from pipeline.cdc.consumer import CLOSE_S, POLL_S, QUERY_S, known_end, pull, received, settings
from pipeline.cdc.following import told_by
from pipeline.cdc.offsets import DoneOffsets, Position
from pipeline.cdc.parts import Assembler
from pipeline.cdc.topics import next_topic_of, number_of
from pipeline.core.clock import Clock

RETRY_S: Final = 0.1
"""Between two looks for a broker or a topic that isn't there."""
FOLLOW_BATCH: Final = 500
FOLLOW_WAIT_S: Final = 60.0

_GONE: Final = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT})  # noqa: SLF001  (librdkafka's names)
_LOG: Final = logging.getLogger(__name__)


class Gate(Protocol):
    """Who knows which topics are about to be deleted. Called in the readers' threads."""

    def enter(self, reader: str, topic: str) -> bool:
        """Whether ``reader`` may read ``topic`` now; if so, the topic stays until it leaves."""
        ...

    def leave(self, reader: str) -> None:
        """``reader`` reads no topic any more."""
        ...


class AssignedReader:
    """See :class:`pipeline.cdc.consumer.EventReader`; commits nothing, since nobody would remember it.

    ``topic`` given: that one, all of its partitions, for ever. Without: the local broker's numbered topics.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        name: str,
        start: Literal["beginning", "end"] = "beginning",
        topic: str | None = None,
        gate: Gate | None = None,
    ) -> None:
        """``name`` tells this reader from the others at the ``gate``. ``start`` is about the first topic only."""
        self._name = name
        self._start = start
        self._fixed = topic
        self._gate = gate
        self._config = settings(bootstrap, group_id=f"unused-{name}", enable_auto_commit=False)
        self._is_closing = threading.Event()
        self._is_lost = threading.Event()
        self._is_reading = asyncio.Event()
        self._lock = threading.Lock()
        self._done: dict[tuple[str, int], DoneOffsets] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._number_min = -1
        self._resume: dict[tuple[str, int], int] = {}
        self._buffer: Buffer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=f"cdc-{name}", daemon=True)

    async def start(self) -> None:
        """See :class:`~pipeline.cdc.consumer.EventReader`."""
        self._loop = asyncio.get_running_loop()
        self._buffer = Buffer()
        self._thread.start()

    async def started(self) -> None:
        """Wait until the reader is at its place: what is sent from now on is read."""
        await self._is_reading.wait()

    async def read(self, limit: int, timeout_s: float) -> list[Received]:
        """See :class:`~pipeline.cdc.consumer.EventReader`."""
        return await self._running().take(limit, timeout_s)

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs: started, not closed, not failed. Says nothing about the broker."""
        return self._thread.is_alive()

    def done(self, positions: Iterable[Position]) -> None:
        """See :class:`~pipeline.cdc.consumer.EventReader`; counted for :meth:`pending`."""
        with self._lock:
            for place in positions:
                partition = self._done.get((place.topic, place.partition))
                if partition is not None:
                    partition.done(place.offset)

    async def pending(self) -> int:
        """See :class:`~pipeline.cdc.consumer.EventReader`; as of the last fetch."""
        with self._lock:
            return sum(max(0, self._ends.get(key, done.floor) - done.floor) for key, done in self._done.items())

    def partitions(self) -> list[int]:
        """See :class:`~pipeline.cdc.consumer.EventReader`."""
        with self._lock:
            return sorted({partition for _, partition in self._done}) or [0]

    async def close(self) -> None:
        """See :class:`~pipeline.cdc.consumer.EventReader`."""
        self._is_closing.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, CLOSE_S)

    def _run(self) -> None:
        following: str | None = None
        while not self._is_closing.is_set():
            try:
                following = self._session(following)
            except Exception:  # noqa: BLE001  (logged, and begun anew: nobody would notice that nothing comes)
                if self._loop is None or self._loop.is_closed():
                    _LOG.info("the event loop has ended, so reading does too")
                    return
                _LOG.exception("reading failed and begins anew")
                following = None
            if following is None:
                self._is_closing.wait(RETRY_S)

    def _session(self, topic: str | None) -> str | None:
        """Read one topic to its end; the topic that follows, None when it is to be looked for."""
        self._is_lost.clear()
        consumer = Consumer({**self._config, "error_cb": self._on_error}, logger=_LOG)
        try:
            topic = topic or self._find(consumer)
            if topic is None or not self._may_enter(topic):
                return None
            consumer.assign(self._places(consumer, topic))
            self._tell_started()
            return self._read_all(consumer, topic)
        except KafkaException as error:
            _LOG.info("the broker isn't there: %s", error)
            return None
        finally:
            try:
                consumer.close()
            finally:
                if self._gate is not None:
                    self._gate.leave(self._name)

    def _find(self, consumer: Consumer) -> str | None:
        """The topic to read: the fixed one; else the first numbered one that isn't read to its end, or for a live
        start the newest of all.
        """
        there = consumer.list_topics(timeout=QUERY_S).topics
        if self._fixed is not None:
            return self._fixed if self._fixed in there else None
        known = {number: str(name) for name in there if (number := number_of(name)) is not None}
        numbers = [number for number in known if number >= self._number_min]
        if not numbers:
            return None
        return known[max(numbers) if self._number_min < 0 and self._start == "end" else min(numbers)]

    def _places(self, consumer: Consumer, topic: str) -> list[TopicPartition]:
        """Where to begin: of each partition after the last message read, else where a reader of this kind starts.

        Nothing is noted before all places are known: who fails half-way would begin elsewhere the next time.
        """
        is_live = self._number_min < 0 and self._start == "end"
        known = [0] if self._fixed is None else _partitions(consumer, topic)
        fresh = {
            (topic, partition): _watermarks(consumer, topic, partition)[is_live]
            for partition in known
            if (topic, partition) not in self._resume
        }
        self._number_min = max(self._number_min, number_of(topic) or 0)
        self._resume = {key: place for key, place in self._resume.items() if key[0] == topic} | fresh
        with self._lock:
            self._done |= {key: DoneOffsets(first) for key, first in fresh.items()}
        return [TopicPartition(topic, partition, self._resume[topic, partition]) for partition in known]

    def _read_all(self, consumer: Consumer, topic: str) -> str | None:
        buffer = self._running()
        while not self._is_closing.is_set() and not self._is_lost.is_set():
            if buffer.is_full():
                self._is_closing.wait(POLL_S / 10)
                continue
            taken = received(pull(consumer, POLL_S))
            following = next_topic_of(taken[-1].payload) if taken and self._fixed is None else None
            self._note(consumer, taken)
            if following is not None:
                self.done([taken.pop().position])
                self._number_min, self._resume = (number_of(topic) or 0) + 1, {}
            buffer.put(taken)
            if following is not None:
                return following
        return None

    def _note(self, consumer: Consumer, taken: list[Received]) -> None:
        with self._lock:
            for message in taken:
                place = message.position
                key = (place.topic, place.partition)
                self._done[key].read(place.offset)
                self._ends[key] = place.offset + 1
                self._resume[key] = place.offset + 1
        for key in {(message.position.topic, message.position.partition) for message in taken[-1:]}:
            high = known_end(consumer, *key)
            with self._lock:
                self._ends[key] = max(self._ends[key], high)
                self._forget_old(key[0])

    def _forget_old(self, topic: str) -> None:
        over = [key for key, done in self._done.items() if key[0] != topic and done.floor >= self._ends.get(key, 0)]
        for key in over:
            del self._done[key]
            self._ends.pop(key, None)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in _GONE and self._fixed is None:
            self._is_lost.set()  # whatever comes back is empty, and has another topic

    def _may_enter(self, topic: str) -> bool:
        return self._gate is None or self._gate.enter(self._name, topic)

    def _tell_started(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._is_reading.set)

    def _running(self) -> Buffer:
        if self._buffer is None:
            raise RuntimeError("the reader wasn't started")
        return self._buffer


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    found = sorted(consumer.list_topics(topic, QUERY_S).topics[topic].partitions)
    if not found:
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
    return found


def _watermarks(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    offsets = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=QUERY_S)
    if offsets is None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001  (librdkafka's name)
    return int(offsets[0]), int(offsets[1])


class TopicFollower:
    """What happens from now on, for whoever tells people about it: live only, all partitions, nothing is acked.

    Events of a time without broker are missing, or come twice; whoever shows a state reads it afresh then.
    """

    def __init__(
        self, bootstrap: str, clock: Clock, *, name: str, topic: str | None = None, gate: Gate | None = None
    ) -> None:
        """As :class:`AssignedReader`; ``clock`` says how long a part of a message has waited for the others."""
        self._reader = AssignedReader(bootstrap, name=name, start="end", topic=topic, gate=gate)
        self._parts = Assembler(clock)

    async def start(self) -> None:
        """Begin to follow; returns at once. :meth:`started` says when nothing is missed any more."""
        await self._reader.start()

    async def started(self) -> None:
        """Wait until the follower is at the end of the topic."""
        await self._reader.started()

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs: started, not closed, not failed."""
        return self._reader.is_alive

    async def notifications(self) -> AsyncIterator[Notification]:
        """Every notification of our types, for ever; garbage is the pipeline's business and is passed over here."""
        while True:
            for message in await self._reader.read(FOLLOW_BATCH, FOLLOW_WAIT_S):
                told = told_by(self._parts, message)
                if told is not None:
                    yield told
            self._parts.given_up(())

    async def close(self) -> None:
        """Stop; may be called twice."""
        await self._reader.close()
