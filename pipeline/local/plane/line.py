"""How the plane is connected to a server on a Unix socket, whichever process that is in."""

from pathlib import Path
from typing import Final

import grpc

from pipeline.local.plane.links import WrongServerError
from pipeline.local.plane.manifest import Kind
from pipeline.local.plane.streams import MapStream, SinkStream, SourceStreams, connect

SOCKET_PATH_BYTES_MAX: Final = 107
"""What Linux allows for the path of a Unix socket, without the closing zero."""
MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
"""pynumaflow's own bound on a gRPC message."""
_OPTIONS: Final = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.use_local_subchannel_pool", 1),
)

Link = MapStream | SinkStream | SourceStreams


class Line:
    """The channel to a server on a Unix socket, and the link over it. Belongs to one event loop."""

    def __init__(self, name: str) -> None:
        """Not open; ``name`` of the server, for people."""
        self._name = name
        self._channel: grpc.aio.Channel | None = None
        self._link: Link | None = None

    def path_of(self, path: Path) -> str:
        """The path as the system is told it.

        Raises:
            WrongServerError: it is too long for a socket.
        """
        if len(str(path).encode()) > SOCKET_PATH_BYTES_MAX:
            raise WrongServerError(f"the socket of {self._name!r} needs a run folder with a shorter path")
        return str(path)

    async def open(self, kind: Kind, path: str) -> Link:
        """The link of this kind to the server that listens at ``path``.

        Raises:
            ServerEndedError: as :func:`pipeline.local.plane.streams.connect`.
        """
        self._channel = grpc.aio.insecure_channel(f"unix:{path}", options=_OPTIONS)
        self._link = await connect(kind, self._channel)
        return self._link

    async def close(self) -> None:
        """Close what is open; may be called twice. Each is forgotten only after it is closed: a close that is cancelled
        midway is repeated by the plane's stop.
        """
        if self._link is not None:
            await self._link.close()
            self._link = None
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
