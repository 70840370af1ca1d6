"""Reads notifications from a Kafka, in a thread of its own, since librdkafka's calls block.

Two ways to read: in a *group* (a real Kafka: replicas share the partitions, offsets are committed there), and
*assigned* (the local broker, where joining a group takes 23 s; and whoever wants all of the topic for itself).
"""

import asyncio
import logging
import threading
from collections.abc import Iterable
from typing import Any, Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.cdc.buffer import Buffer, Received
from pipeline.cdc.offsets import DoneOffsets, Position

FETCH_WAIT_MS: Final = 5
"""How long the broker may hold an empty fetch. Tansu doesn't wake a fetch that waits; it looks again in that time.
Measured from send to read, p50 and p99, and the broker's part of a core at rest: 20 ms gives 5.8, 10.9, 2 %; 10 ms 2.7,
7.1, 3 %; 5 ms 1.9, 3.9, 3 %; 2 ms 1.7, 2.8, 5 %. A Kafka answers when a message comes, so it costs one nothing."""
PULL_MESSAGES_MAX: Final = 500
POLL_S: Final = 0.1
"""A thread notices within this that it is to stop, or that the buffer has room again."""
COMMIT_MS: Final = 1_000
QUERY_S: Final = 2.0
CLOSE_S: Final = 5.0
SESSION_RETRY_S: Final = 1.0
"""Between a reader's failure and its next try; joining a group isn't free."""

_LOG: Final = logging.getLogger(__name__)


class EventReader(Protocol):
    """Where the source gets its messages. Belongs to one event loop."""

    async def start(self) -> None:
        """Begin to read; a broker that isn't there is waited for."""
        ...

    async def read(self, limit: int, timeout_s: float) -> list[Received]:
        """Up to ``limit`` messages: what there is, else the first that come in time, else none."""
        ...

    def done(self, positions: Iterable[Position]) -> None:
        """These needn't come again; in any order, and again without harm."""
        ...

    async def pending(self) -> int:
        """Messages on the broker that aren't done; -1 when that isn't known."""
        ...

    def partitions(self) -> list[int]:
        """The partitions that are read now."""
        ...

    async def close(self) -> None:
        """Stop; may be called twice."""
        ...


def settings(bootstrap: str, **more: Any) -> dict[str, Any]:
    """What all consumers are set to; ``more`` with ``_`` for the dots."""
    return {
        "bootstrap.servers": bootstrap,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        "fetch.min.bytes": 1,
        "fetch.error.backoff.ms": 50,
        "fetch.message.max.bytes": 8 * 1024 * 1024,
        "queued.max.messages.kbytes": 16 * 1024,
        "socket.nagle.disable": True,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "allow.auto.create.topics": False,
        "log_level": 2,  # of a broker that is away, our own sentence says enough
        **{name.replace("_", "."): value for name, value in more.items()},
    }


def pull(consumer: Consumer, timeout_s: float) -> list[Message]:
    """The messages that are there, else the first one to come: ``consume`` alone would wait until all have come."""
    first = consumer.poll(timeout_s)
    return [] if first is None else [first, *consumer.consume(PULL_MESSAGES_MAX, 0)]


def refuse_fatal(messages: Iterable[Message]) -> None:
    """A consumer with a fatal error reads nothing any more: whoever has one needs another.

    A broker that restarts can bring one about: what a static member commits just then is refused as its predecessor's.

    Raises:
        KafkaException: there is one among them.
    """
    for message in messages:
        error = message.error()
        if error is not None and (error.fatal() or error.code() == KafkaError._FATAL):  # noqa: SLF001  (its name)
            raise KafkaException(error)


def received(messages: Iterable[Message]) -> list[Received]:
    """Messages without the errors among them, which are logged."""
    taken = []
    for message in messages:
        error = message.error()
        if error is not None:
            _LOG.warning("the broker said: %s", error.str())
            continue
        place = Position(message.topic(), message.partition(), message.offset())
        taken.append(Received(place, message.value() or b"", max(0, message.timestamp()[1])))
    return taken


class GroupReader:
    """Reads its share of a topic in a consumer group, and commits what is done up to the first gap.

    Only the thread calls the consumer: with confluent-kafka 2.16 another thread's call waits as long as the first one
    polls again and again, so one call from the event loop would hang it.

    A partition that is taken away is forgotten, with what of it is still in the buffer: whoever has it now reads it
    from the last commit on. librdkafka reconnects by itself.
    """

    def __init__(self, bootstrap: str, topic: str, group: str, *, instance: str = "") -> None:
        """``group``: the same for all replicas of the source. ``instance``: who this one is among them, if it comes
        back under the same name after it was killed; the group needn't find out first that it is gone (45 s).
        """
        self._topic = topic
        self._config = settings(
            bootstrap,
            group_id=group,
            partition_assignment_strategy="cooperative-sticky",
            enable_auto_commit=True,
            auto_commit_interval_ms=COMMIT_MS,
            **({"group_instance_id": instance} if instance else {}),
        )
        self._done: dict[tuple[str, int], DoneOffsets] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._to_store: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cdc-group", daemon=True)
        self._consumer: Consumer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._buffer: Buffer | None = None

    async def start(self) -> None:
        """See :class:`EventReader`."""
        self._loop = asyncio.get_running_loop()
        self._buffer = Buffer()
        self._consumer = self._join()
        self._thread.start()

    async def started(self) -> None:
        """As :meth:`pipeline.cdc.assigned.AssignedReader.started`: the group knows its place, nothing is missed."""

    async def read(self, limit: int, timeout_s: float) -> list[Received]:
        """See :class:`EventReader`."""
        return await self._running().take(limit, timeout_s)

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs: started, not closed, not failed. Says nothing about the broker."""
        return self._thread.is_alive()

    def done(self, positions: Iterable[Position]) -> None:
        """See :class:`EventReader`."""
        with self._lock:
            for place in positions:
                key = (place.topic, place.partition)
                partition = self._done.get(key)
                if partition is not None and partition.done(place.offset):
                    self._to_store[key] = partition.floor

    async def pending(self) -> int:
        """See :class:`EventReader`; by the ends that the last fetches told, which costs the broker nothing."""
        with self._lock:
            return sum(max(0, self._ends.get(key, 0) - done.floor) for key, done in self._done.items())

    def partitions(self) -> list[int]:
        """See :class:`EventReader`."""
        with self._lock:
            return sorted(partition for _, partition in self._done)

    async def close(self) -> None:
        """See :class:`EventReader`; leaves the group and commits what is done."""
        self._is_closing.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, CLOSE_S)

    def _run(self) -> None:
        is_over = False
        while not is_over:
            try:
                self._session()
                is_over = True
            except Exception:  # noqa: BLE001  (logged, and begun anew: nobody would notice that nothing comes)
                if self._loop is None or self._loop.is_closed():
                    _LOG.info("the event loop has ended, so reading does too")
                    return
                _LOG.exception("reading failed and begins anew")
                self._forget_all()
                is_over = self._is_closing.wait(SESSION_RETRY_S)

    def _join(self) -> Consumer:
        consumer = Consumer(self._config, logger=_LOG)
        consumer.subscribe([self._topic], on_revoke=self._forget, on_lost=self._forget)
        return consumer

    def _session(self) -> None:
        """Be a member of the group until closed. Whoever comes after a failure reads from the last commit on."""
        consumer, buffer = self._consumer or self._join(), self._running()
        self._consumer = None
        is_paused = False
        try:
            while not self._is_closing.is_set():
                if buffer.is_full() != is_paused:
                    is_paused = not is_paused
                    (consumer.pause if is_paused else consumer.resume)(consumer.assignment())
                # Also while paused: a member that doesn't poll is thrown out of its group.
                pulled = pull(consumer, POLL_S)
                refuse_fatal(pulled)
                taken = received(pulled)
                self._note(consumer, taken)
                buffer.put(taken)
                self._store(consumer)
        finally:
            try:
                self._store(consumer)
            finally:
                consumer.close()

    def _store(self, consumer: Consumer) -> None:
        with self._lock:
            moved = [TopicPartition(*key, floor) for key, floor in self._to_store.items()]
            self._to_store.clear()
        if moved:
            try:
                consumer.store_offsets(offsets=moved)
            except KafkaException as error:  # taken away since: its new reader reads it again
                _LOG.info("offsets weren't stored: %s", error)

    def _note(self, consumer: Consumer, taken: list[Received]) -> None:
        keys = {(message.position.topic, message.position.partition) for message in taken}
        ends = {key: known_end(consumer, *key) for key in keys}
        with self._lock:
            self._ends.update(ends)
            for message in taken:
                place = message.position
                key = (place.topic, place.partition)
                self._done.setdefault(key, DoneOffsets(place.offset)).read(place.offset)

    def _forget(self, _: Consumer, taken_away: list[TopicPartition]) -> None:
        keys = {(partition.topic, partition.partition) for partition in taken_away}
        with self._lock:
            for key in keys:
                self._done.pop(key, None)
                self._to_store.pop(key, None)
        self._running().drop(lambda place: (place.topic, place.partition) in keys)

    def _forget_all(self) -> None:
        with self._lock:
            self._done.clear()
            self._ends.clear()
            self._to_store.clear()
        self._running().drop(lambda _: True)

    def _running(self) -> Buffer:
        if self._buffer is None:
            raise RuntimeError("the reader wasn't started")
        return self._buffer


def known_end(consumer: Consumer, topic: str, partition: int) -> int:
    """The offset of the next message, as of the last fetch; negative while nothing was fetched."""
    offsets = consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
    return -1 if offsets is None else int(offsets[1])
