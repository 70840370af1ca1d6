"""Where events travel on this machine: the embedded broker, or a Kafka of one's own."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from pipeline.cdc.admin import TopicAdmin
from pipeline.cdc.assigned import AssignedReader, TopicFollower
from pipeline.cdc.consumer import GroupReader
from pipeline.cdc.offsets import Position
from pipeline.cdc.producer import BrokerUnavailableError, KafkaEventProducer
from pipeline.cdc.topics import TOPIC
from pipeline.core.clock import Clock
from pipeline.local.atlas.outbox import EventProducer
from pipeline.local.broker import LocalBroker


class Topic(Protocol):
    """Sends, reads and follows the events of this machine. Belongs to one event loop."""

    @property
    def is_up(self) -> bool:
        """Whether the broker runs, as far as is known here."""
        ...

    async def start(self) -> None:
        """Start what has to be started."""
        ...

    async def look(self) -> None:
        """Find out whether the broker is there, where that takes asking; now and then."""
        ...

    def producer(self, *, keeps: bool) -> EventProducer:
        """For the outbox. ``keeps``: until :meth:`acked`, for the vertex ``cdc``, where the broker would forget."""
        ...

    def reader(self) -> AssignedReader | GroupReader:
        """For the vertex ``cdc``."""
        ...

    def follower(self) -> TopicFollower:
        """For the API."""
        ...

    def acked(self, positions: list[Position]) -> None:
        """These won't be read again."""
        ...

    def on_restart(self, call: Callable[[], None]) -> None:
        """``call`` each time the broker has lost everything."""
        ...

    async def stop(self) -> None:
        """Stop what was started; may be called twice."""
        ...


class EmbeddedTopic:
    """The broker as a child process."""

    def __init__(self, clock: Clock) -> None:
        """Nothing is started."""
        self._clock = clock
        self._broker = LocalBroker(clock)

    @property
    def is_up(self) -> bool:
        """See :class:`Topic`."""
        return self._broker.is_up

    async def start(self) -> None:
        """See :class:`Topic`."""
        await self._broker.start()

    async def look(self) -> None:
        """See :class:`Topic`; a child process is known to be there."""

    def producer(self, *, keeps: bool) -> EventProducer:
        """See :class:`Topic`."""
        return self._broker if keeps else _Passing(self._broker)

    def reader(self) -> AssignedReader:
        """See :class:`Topic`."""
        return AssignedReader(self._broker.bootstrap, name="cdc", gate=self._broker.rotation)

    def follower(self) -> TopicFollower:
        """See :class:`Topic`."""
        return TopicFollower(self._broker.bootstrap, self._clock, name="api", gate=self._broker.rotation)

    def acked(self, positions: list[Position]) -> None:
        """See :class:`Topic`."""
        self._broker.acked(positions)

    def on_restart(self, call: Callable[[], None]) -> None:
        """See :class:`Topic`."""
        self._broker.on_restart(call)

    async def stop(self) -> None:
        """See :class:`Topic`."""
        await self._broker.stop()


class _Passing:
    """See :class:`~pipeline.local.atlas.outbox.EventProducer`: the topic is over for us with what is sent."""

    def __init__(self, broker: LocalBroker) -> None:
        """The broker sends."""
        self._broker = broker

    async def send(self, payload: bytes) -> Position:
        """See the port."""
        position = await self._broker.send(payload)
        self._broker.acked([position])
        return position


@contextlib.contextmanager
def _reached(bootstrap: str) -> Iterator[None]:
    """What the client says of a broker that doesn't answer, in words for who starts us."""
    try:
        yield
    except BrokerUnavailableError as error:
        raise BrokerUnavailableError(
            f"No Kafka answers at {bootstrap}: does it run, and does it advertise an address that is reached from here?"
        ) from error


class KafkaTopic:
    """A Kafka that somebody else runs; what isn't handled is in the outbox all the same, so it is read from its end."""

    def __init__(self, bootstrap: str, clock: Clock) -> None:
        """``bootstrap``: ``host:port``, more with commas."""
        self._bootstrap = bootstrap
        self._clock = clock
        self._producer: KafkaEventProducer | None = None
        self._is_up = False

    @property
    def is_up(self) -> bool:
        """See :class:`Topic`; as of the last look."""
        return self._is_up

    async def start(self) -> None:
        """See :class:`Topic`."""
        with _reached(self._bootstrap):
            await TopicAdmin(self._bootstrap).create(TOPIC)
        self._producer = KafkaEventProducer(self._bootstrap, TOPIC)
        self._is_up = True

    async def look(self) -> None:
        """See :class:`Topic`; what sends and reads reconnects by itself, and says nothing of it."""
        try:
            self._is_up = TOPIC in await TopicAdmin(self._bootstrap).names()
        except BrokerUnavailableError:
            self._is_up = False

    def producer(self, *, keeps: bool) -> EventProducer:
        """See :class:`Topic`; started before. A Kafka has its own retention."""
        del keeps
        if self._producer is None:
            raise RuntimeError("the topic wasn't started")
        return self._producer

    def reader(self) -> AssignedReader | GroupReader:
        """See :class:`Topic`."""
        return AssignedReader(self._bootstrap, name="cdc", start="end", topic=TOPIC)

    def follower(self) -> TopicFollower:
        """See :class:`Topic`."""
        return TopicFollower(self._bootstrap, self._clock, name="api", topic=TOPIC)

    def acked(self, positions: list[Position]) -> None:
        """See :class:`Topic`; a Kafka has its own retention."""

    def on_restart(self, call: Callable[[], None]) -> None:
        """See :class:`Topic`; a Kafka keeps what it has."""

    async def stop(self) -> None:
        """See :class:`Topic`."""
        if self._producer is not None:
            await self._producer.close()


class AtlasTopic(KafkaTopic):
    """The topic of a real Atlas: what isn't handled is on the Kafka alone, so the place reached is kept there too."""

    def __init__(self, bootstrap: str, clock: Clock, group: str, instance: str) -> None:
        """``instance`` names this machine in ``group``: what it had when it was killed is its own again at once."""
        super().__init__(bootstrap, clock)
        self._group = group
        self._instance = instance

    async def start(self) -> None:
        """See :class:`Topic`; the topic is Atlas' to make.

        Raises:
            BrokerUnavailableError: there is no broker, or no such topic on it.
        """
        with _reached(self._bootstrap):
            names = await TopicAdmin(self._bootstrap).names()
        if TOPIC not in names:
            raise BrokerUnavailableError(
                f"There is no topic {TOPIC} on that Kafka: an Atlas makes it at its start, or whoever runs the Kafka."
            )
        self._is_up = True

    def reader(self) -> GroupReader:
        """See :class:`Topic`."""
        return GroupReader(self._bootstrap, TOPIC, self._group, instance=self._instance)
