"""What every vertex of the plane has: its plan, its buffer, its server, its edges and its counters."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.core.clock import Clock
from pipeline.local.plane.flow import Counters, Datum, Outlet, Traffic
from pipeline.local.plane.manifest import VertexPlan
from pipeline.local.plane.pace import Pace
from pipeline.local.plane.server import VertexServer


@dataclass(slots=True)
class Equipment:
    """Handed to each replica of a vertex by the plane: servers of its own, and what all replicas share. ``traffic`` is
    that of the whole plane; ``fallback``, ``on_success`` and ``pace`` are there where the manifest has them.
    """

    plan: VertexPlan
    buffer: asyncio.Queue[Datum]
    server: VertexServer
    outlet: Outlet
    counters: Counters
    clock: Clock
    traffic: Traffic
    fallback: VertexServer | None = None
    on_success: VertexServer | None = None
    pace: Pace | None = None

    @property
    def servers(self) -> Sequence[VertexServer]:
        """Its servers, a sink's further ones included."""
        return [server for server in (self.server, self.fallback, self.on_success) if server]


class Runnable(Protocol):
    """A vertex as the plane sees it."""

    def in_flight(self) -> int:
        """Messages in work, those in a buffer or on their way to one excluded."""
        ...

    def work(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What it does, for tasks of the plane: until cancelled; only a mistake of the plane's own ends it otherwise.

        Called once.
        """
        ...
