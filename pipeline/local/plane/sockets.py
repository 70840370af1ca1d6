"""The transport that goes through pynumaflow's servers: each listens on a Unix socket, in this process.

pynumaflow's own ``start()`` owns a process: it brings an event loop, stops it and exits when a handler raises. Here
the same servicer with the same handler stands behind a gRPC server of this loop, so that its death is the vertex's
alone.
"""

import asyncio
import logging
from pathlib import Path
from typing import Any, Final

import grpc
from pynumaflow.mapper._servicer._async_servicer import AsyncMapServicer
from pynumaflow.proto.mapper import map_pb2_grpc
from pynumaflow.proto.sinker import sink_pb2_grpc
from pynumaflow.proto.sourcer import source_pb2_grpc
from pynumaflow.sinker.servicer.async_servicer import AsyncSinkServicer
from pynumaflow.sourcer.servicer.async_servicer import AsyncSourceServicer

from pipeline.local.plane.direct import ServerFactory
from pipeline.local.plane.line import Line, Link
from pipeline.local.plane.links import WrongServerError
from pipeline.local.plane.manifest import Kind
from pipeline.local.plane.server import end

CLOSE_GRACE_S: Final = 0.5
"""Streams whose client has gone end by themselves in a moment; what hasn't then is cut off."""

_VENDOR_LOG: Final = "pynumaflow._constants"
_KINDS: Final = {
    Kind.SOURCE: (AsyncSourceServicer, source_pb2_grpc.add_SourceServicer_to_server),
    Kind.MAP: (AsyncMapServicer, map_pb2_grpc.add_MapServicer_to_server),
    Kind.SINK: (AsyncSinkServicer, sink_pb2_grpc.add_SinkServicer_to_server),
}


class SocketHost:
    """One server behind a socket, the channel to it and the link over that."""

    def __init__(self, factory: ServerFactory, name: str, directory: Path) -> None:
        """Nothing is started; ``directory`` exists and its path is short."""
        self._factory = factory
        self._name = name
        self._directory = directory
        self._generation = 0
        self._servicer: Any = None
        self._server: Any = None
        self._line = Line(name)
        self._filter = CancelledFilter()

    @property
    def _path(self) -> Path:
        return self._directory / f"{self._name}.{self._generation}"

    async def start(self, kind: Kind) -> Link:
        """See :class:`~pipeline.local.plane.links.Host`."""
        self._generation += 1
        path = self._line.path_of(self._path)
        self._filter.install()
        await self._serve(path, kind)
        return await self._line.open(kind, path)

    async def _serve(self, path: str, kind: Kind) -> None:
        servicer_type, register = _KINDS[kind]
        vendor = self._factory(path, f"{path}.info")
        self._servicer = getattr(vendor, "servicer", None)
        if not isinstance(self._servicer, servicer_type):
            self._servicer = None
            raise WrongServerError(f"the vertex {self._name!r} is a {kind} and needs pynumaflow's async server")
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

    async def stop(self) -> None:
        """See :class:`~pipeline.local.plane.links.Host`."""
        await self._line.close()
        if self._server is not None:
            await self._server.stop(CLOSE_GRACE_S)
            self._server = None
        if self._servicer is not None:
            # A container's end would take its handlers along; in this process they have to be ended one by one.
            await end(self._servicer.background_tasks, self._name)
            self._servicer = None
        self._path.unlink(missing_ok=True)
        self._filter.remove()


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
