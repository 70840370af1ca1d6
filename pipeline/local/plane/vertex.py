"""What every vertex of the plane has: its plan, its buffer, its server, its edges and its counters."""

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.core.clock import Clock
from pipeline.local.plane.flow import Counters, Datum, Outlet
from pipeline.local.plane.manifest import VertexPlan
from pipeline.local.plane.serving import ServerEndedError, VertexServer


@dataclass(slots=True)
class Equipment:
    """Handed to a vertex by the plane. ``fallback`` is there where the manifest has one."""

    plan: VertexPlan
    buffer: asyncio.Queue[Datum]
    server: VertexServer
    outlet: Outlet
    counters: Counters
    clock: Clock
    fallback: VertexServer | None = None


class Runnable(Protocol):
    """A vertex as the plane sees it."""

    def in_flight(self) -> int:
        """Messages in work, those in the buffer excluded."""
        ...

    async def run(self) -> None:
        """Work until cancelled; only a mistake of the plane's own ends it otherwise."""
        ...


async def shake_hands(call: Any, handshake: Any) -> None:
    """Open a stream as Numaflow does: a first message both ways.

    Raises:
        ServerEndedError: the server answered something else, or nothing.
    """
    await call.write(handshake)
    answer = await call.read()
    if not answer or not answer.handshake.sot:
        raise ServerEndedError("no handshake")


async def ended(call: Any) -> ServerEndedError:
    """Why a stream ended, in one sentence."""
    return ServerEndedError(str(await call.details() or await call.code()))
