"""What a vertex needs of its server, whichever way it is reached: the ports that every transport keeps."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from pipeline.core.errors import BlocklineError
from pipeline.local.plane.flow import Datum, Metadata
from pipeline.local.plane.manifest import Kind

HANDLER_END_S: Final = 5.0
"""A cancelled handler gets this long to clean up."""


class ServerEndedError(BlocklineError):
    """The vertex's server ended, or broke the protocol: what was in its hands is given to the next one."""


class WrongServerError(BlocklineError):
    """The server isn't of the kind that the manifest asks for, or its socket has no room."""


class Link(Protocol):
    """A server that was started. ``lost`` is set once, with the reason; nothing of the link counts from then on."""

    lost: "asyncio.Future[ServerEndedError]"


class MapLink(Link, Protocol):
    """To a map server."""

    async def answer(self, datum: Datum) -> Sequence[tuple[Datum, tuple[str, ...]]]:
        """What the handler made of one message, each with its tags; many calls may be under way at a time.

        Raises:
            ServerEndedError: the handler raised, or the server is gone.
        """
        ...


class Status(Enum):
    """What a sink says of a message."""

    SUCCESS = 0
    FAILURE = 1
    FALLBACK = 2
    ON_SUCCESS = 4


class Answer(NamedTuple):
    """A sink's word on a message; ``message`` (value, keys, metadata) goes to the ``onSuccess`` sink in its place."""

    status: Status
    message: tuple[bytes, Sequence[str], Metadata] | None = None


class SinkLink(Link, Protocol):
    """To a sink server."""

    async def deliver(self, batch: Mapping[str, Datum]) -> dict[str, Answer]:
        """What became of a batch, by id; one call at a time.

        Raises:
            ServerEndedError: the handler raised, or the server is gone.
        """
        ...


class Offset(NamedTuple):
    """What a source calls a message."""

    partition: int
    offset: bytes


class Given(NamedTuple):
    """A message out of a source."""

    offset: Offset
    value: bytes
    keys: Sequence[str]
    event_time: datetime
    headers: Mapping[str, str]
    metadata: Metadata


class Taker(Protocol):
    """Takes what a source gives, at once."""

    def __call__(self, given: Given) -> None:
        """Called in the source's order."""
        ...


class SourceLink(Link, Protocol):
    """To a source server; one read and one ack may be under way at the same time."""

    async def read(self, count: int, timeout_s: float, take: Taker) -> None:
        """Take up to ``count`` messages; returns when the server has no more for now.

        Raises:
            ServerEndedError: the handler raised, or the server is gone.
        """
        ...

    async def ack(self, offsets: Sequence[Offset]) -> None:
        """Say that all that came of these has arrived; returns when the server knows.

        Raises:
            ServerEndedError: the handler raised, or the server is gone.
        """
        ...


class Host(Protocol):
    """Starts one server of a vertex and ends it, again and again: a server that died isn't used any more."""

    async def start(self, kind: Kind) -> Any:
        """A new server; its :class:`MapLink`, :class:`SinkLink` or :class:`SourceLink`, as ``kind`` says.

        Raises:
            WrongServerError: see there.
            Exception: what the factory raised.
        """
        ...

    async def stop(self) -> None:
        """End the server and all that belongs to it; no error when none was started."""
        ...


def reason_of(error: BaseException) -> str:
    """Why, in one line."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(reason_of(inner) for inner in error.exceptions)
    return str(error) or type(error).__name__
