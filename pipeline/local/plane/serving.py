"""Runs a vertex's real pynumaflow server inside this process, and starts it anew when it dies.

pynumaflow's own ``start()`` owns a process: it brings an event loop, stops it and exits when a handler raises. Here
the same servicer with the same handler stands behind a gRPC server of this loop, so that its death is the vertex's
alone. A server that has died isn't used again: the factory makes a new one, as a container's restart would.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc
from pynumaflow.mapper._servicer._async_servicer import AsyncMapServicer
from pynumaflow.proto.mapper import map_pb2_grpc
from pynumaflow.proto.sinker import sink_pb2_grpc
from pynumaflow.proto.sourcer import source_pb2_grpc
from pynumaflow.sinker.servicer.async_servicer import AsyncSinkServicer
from pynumaflow.sourcer.servicer.async_servicer import AsyncSourceServicer

from pipeline.core.clock import Clock
from pipeline.core.errors import BlocklineError
from pipeline.local.plane.flow import Counters
from pipeline.local.plane.manifest import Kind

ServerFactory = Callable[[str, str], Any]
"""From the paths of a Unix socket and a server-info file (which only a server that starts itself writes) to a
``MapAsyncServer``, ``SinkAsyncServer`` or ``SourceAsyncServer`` that isn't started. Called again after each death; the
handlers behind it may be new or the same."""

SOCKET_PATH_BYTES_MAX: Final = 107
"""What Linux allows for the path of a Unix socket, without the closing zero."""
RESTART_MIN_S: Final = 0.1
RESTART_MAX_S: Final = 10.0
CLOSE_GRACE_S: Final = 0.5
"""Streams whose client has gone end by themselves in a moment; what hasn't then is cut off."""
HANDLER_END_S: Final = 5.0
"""A cancelled handler gets this long to clean up."""
STABLE_S: Final = 30.0
"""A server that lived this long starts again without a wait."""
MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
"""pynumaflow's own bound on a gRPC message."""

_LOG = logging.getLogger(__name__)
_VENDOR_LOG: Final = "pynumaflow._constants"
_KINDS: Final = {
    Kind.SOURCE: (AsyncSourceServicer, source_pb2_grpc.add_SourceServicer_to_server),
    Kind.MAP: (AsyncMapServicer, map_pb2_grpc.add_MapServicer_to_server),
    Kind.SINK: (AsyncSinkServicer, sink_pb2_grpc.add_SinkServicer_to_server),
}
_CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.use_local_subchannel_pool", 1),
)


class ServerEndedError(BlocklineError):
    """The vertex's server ended its stream, or broke the protocol."""


class WrongServerError(BlocklineError):
    """The factory's server isn't of the kind that the manifest asks for, or its socket has no room."""


DIED: Final = (ServerEndedError, grpc.RpcError, asyncio.InvalidStateError)
"""What a stream to a dying server raises; InvalidStateError is a write after its end."""


class VertexServer:
    """One server and the channel to it; ``open`` and ``close`` may be called again and again."""

    def __init__(
        self, name: str, kind: Kind, factory: ServerFactory, *, directory: Path, clock: Clock, counters: Counters
    ) -> None:
        """Nothing is started; ``directory`` exists and its path is short."""
        self._name = name
        self._kind = kind
        self._factory = factory
        self._directory = directory
        self._clock = clock
        self._counters = counters
        self._generation = 0
        self._wait_s = 0.0
        self._opened_at_s = 0.0
        self._servicer: Any = None
        self._server: Any = None
        self._channel: Any = None
        self.is_up = False
        self.has_been_up = asyncio.Event()

    async def open(self) -> Any:
        """Start the server and connect to it; the channel.

        A failure of the first start is raised; one of a later start counts as another death.

        Raises:
            WrongServerError: see there.
            Exception: what the factory raised.
        """
        while True:
            if self._wait_s:
                await self._clock.sleep(self._wait_s)
            self._opened_at_s = self._clock.monotonic_s()
            try:
                await self._start()
            except Exception as error:
                if not self.has_been_up.is_set():
                    raise
                await self.died(error)
                continue
            self.is_up = True
            self.has_been_up.set()
            return self._channel

    async def _start(self) -> None:
        self._generation += 1
        path = self._directory / f"{self._name}.{self._generation}"
        if len(str(path).encode()) > SOCKET_PATH_BYTES_MAX:
            raise WrongServerError(f"the socket of {self._name!r} needs a run folder with a shorter path")
        await self._serve(str(path))
        self._channel = grpc.aio.insecure_channel(f"unix:{path}", options=_CHANNEL_OPTIONS)

    async def _serve(self, path: str) -> None:
        servicer_type, register = _KINDS[self._kind]
        vendor = self._factory(path, f"{path}.info")
        self._servicer = getattr(vendor, "servicer", None)
        if not isinstance(self._servicer, servicer_type):
            raise WrongServerError(f"the vertex {self._name!r} is a {self._kind} and needs pynumaflow's async server")
        self._servicer.set_shutdown_event(asyncio.Event())
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_send_message_length", vendor.max_message_size),
                ("grpc.max_receive_message_length", vendor.max_message_size),
            ]
        )
        self._server.add_insecure_port(f"unix:{path}")
        register(self._servicer, self._server)
        await self._server.start()

    async def died(self, error: BaseException) -> None:
        """Clean up after a death and say so; the next ``open`` waits a little longer each time."""
        self._counters.restarts += 1
        lived_s = self._clock.monotonic_s() - self._opened_at_s
        self._wait_s = (
            RESTART_MIN_S if lived_s >= STABLE_S or not self._wait_s else min(self._wait_s * 2, RESTART_MAX_S)
        )
        _LOG.error("the server of %s ended and starts again in %.1f s: %s", self._name, self._wait_s, _reason(error))
        await self.close()

    async def close(self) -> None:
        """Stop the server, end its handlers and remove its socket; no error when it isn't open."""
        self.is_up = False
        # Each is forgotten only after it is closed: a close that is cancelled midway is repeated by the plane's stop.
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
        if self._server is not None:
            await self._server.stop(CLOSE_GRACE_S)
            self._server = None
        if self._servicer is not None:
            await self._end_handlers()
            self._servicer = None
        (self._directory / f"{self._name}.{self._generation}").unlink(missing_ok=True)

    async def _end_handlers(self) -> None:
        # A container's end would take its handlers along; in this process they have to be ended one by one.
        tasks = [task for task in self._servicer.background_tasks if not task.done()]
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=HANDLER_END_S)
        if left:
            _LOG.error("%d handlers of %s don't end when they are cancelled", len(left), self._name)


def _reason(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_reason(inner) for inner in error.exceptions)
    if isinstance(error, grpc.RpcError):
        return str(error.details() or error.code())
    return str(error) or type(error).__name__


class CancelledFilter(logging.Filter):
    """Keeps pynumaflow from reporting as critical that a handler or a stream was cancelled: the plane did that."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a record about a cancellation and nothing else."""
        if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError | GeneratorExit):
            return False
        return not record.getMessage().rstrip("()").endswith(("CancelledError", "GeneratorExit"))

    def install(self) -> None:
        """From now on; may be called twice."""
        logging.getLogger(_VENDOR_LOG).addFilter(self)

    def remove(self) -> None:
        """No longer; may be called twice."""
        logging.getLogger(_VENDOR_LOG).removeFilter(self)
