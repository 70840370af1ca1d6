"""What moves through the plane and how it finds its way: data, their lineage, bounded buffers, edges by tag."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Final

from pipeline.local.plane.manifest import EdgePlan

DROP: Final = "U+005C__DROP__"
"""Numaflow's tag for a message that goes nowhere."""
_IDS = count(1)


@dataclass(slots=True)
class Traffic:
    """How many messages of a plane are on their way; those that were let go aren't counted.

    ``in_handlers`` of them are in a map vertex's hands: perhaps for long, so nobody should wait for them.
    """

    under_way: int = 0
    in_handlers: int = 0

    @property
    def moving(self) -> int:
        """Those that will be elsewhere soon."""
        return self.under_way - self.in_handlers


class Lineage:
    """All that came of one source message; calls back once nothing of it is on its way any more.

    Made with one holder, its maker.
    """

    __slots__ = ("_held", "_on_done", "_traffic")

    def __init__(self, on_done: Callable[[], None], traffic: Traffic | None = None) -> None:
        """``on_done`` is called exactly once. ``traffic`` counts its messages."""
        self._held = 1
        self._on_done = on_done
        self._traffic = traffic or Traffic()
        self._traffic.under_way += 1

    def hold(self) -> None:
        """One more message belongs to it."""
        self._held += 1
        self._traffic.under_way += 1

    def release(self) -> None:
        """One of them has arrived, or was dropped."""
        self._held -= 1
        self._traffic.under_way -= 1
        if self._held == 0:
            self._on_done()


Metadata = Mapping[str, Mapping[str, bytes]]
"""Numaflow's user metadata: keys and values by group."""
NO_METADATA: Final[Metadata] = {}


@dataclass(slots=True, eq=False)
class Datum:
    """A message on an edge; ``id`` is unique in this process, ``event_time`` is UTC without saying so (pynumaflow's).

    Shared between edges and between tries: a transport hands copies of its parts to a handler.
    """

    value: bytes
    keys: Sequence[str]
    event_time: datetime
    headers: Mapping[str, str]
    metadata: Metadata
    lineage: Lineage
    id: str = field(default_factory=lambda: str(next(_IDS)))

    def follow(self, value: bytes, keys: Sequence[str], metadata: Metadata) -> "Datum":
        """What came of it: another message of the same lineage."""
        return Datum(value, keys, self.event_time, self.headers, metadata, self.lineage)

    def let_go(self) -> "Datum":
        """The same message for which no source waits: it may get lost."""
        return replace(self, lineage=Lineage(lambda: None))


@dataclass(slots=True)
class Counters:
    """What a vertex did since the plane was started."""

    processed: int = 0
    retries: int = 0
    fallbacks: int = 0
    dropped: int = 0
    unrouted: int = 0
    discarded: int = 0
    let_go: int = 0
    duplicates: int = 0
    restarts: int = 0
    blocks: int = 0


def is_taken(edge: EdgePlan, tags: Iterable[str]) -> bool:
    """Whether a message with these tags takes the edge.

    Numaflow's ``should_forward``: without conditions everything does; OR: one of the values is a tag; AND: all of
    them are; NOT: none is. No tags are like any other set of tags.
    """
    present = set(tags)
    match edge.operator:
        case None:
            return True
        case "or":
            return bool(edge.values & present)
        case "and":
            return edge.values <= present
        case "not":
            return not edge.values & present


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a message can go: the buffer of the next vertex, and what happens when that is full.

    ``held_max``: of an edge that discards, so many messages in the buffer keep their source waiting for its ack. The
    others are let go: they may get lost as those that are discarded may, and are healed alike. Else one vertex that
    hangs would in time hold all that a source may have on its way, and everybody would stand still.
    """

    plan: EdgePlan
    buffer: asyncio.Queue[Datum]
    held_max: int


class Outlet:
    """The edges that leave a vertex.

    ``emit`` never waits: what finds its buffer full waits here (or is discarded, where the edge says so), and the
    vertex takes nothing new while :meth:`is_blocked`. So one full edge stalls its siblings, as in Numaflow.
    """

    def __init__(self, edges: Sequence[Edge], counters: Counters) -> None:
        """No task is started; ``run`` is the task."""
        self._edges = edges
        self._counters = counters
        self._routes: dict[tuple[str, ...], tuple[Edge, ...]] = {}
        self._waiting: deque[tuple[Edge, Datum]] = deque()
        self._arrived = asyncio.Event()
        self._cleared = asyncio.Event()
        self._cleared.set()

    @property
    def is_blocked(self) -> bool:
        """Whether something waits for a full buffer."""
        return bool(self._waiting)

    def waiting(self) -> int:
        """Messages that wait for a full buffer."""
        return len(self._waiting)

    async def cleared(self) -> None:
        """Until nothing waits."""
        await self._cleared.wait()

    def emit(self, datum: Datum, tags: tuple[str, ...]) -> None:
        """Put a copy on every edge that takes the tags; each copy holds the lineage."""
        if DROP in tags:
            self._counters.dropped += 1
            return
        edges = self._route(tags)
        if not edges:
            self._counters.unrouted += 1
        for edge in edges:
            self._put(edge, datum)

    def _route(self, tags: tuple[str, ...]) -> tuple[Edge, ...]:
        edges = self._routes.get(tags)
        if edges is None:
            edges = tuple(edge for edge in self._edges if is_taken(edge.plan, tags))
            if len(self._routes) < 10_000:  # noqa: PLR2004  (tags are few; a bound all the same)
                self._routes[tags] = edges
        return edges

    def _put(self, edge: Edge, datum: Datum) -> None:
        if not edge.buffer.full():
            if edge.plan.is_discarding and edge.buffer.qsize() >= edge.held_max:
                self._counters.let_go += 1
                edge.buffer.put_nowait(datum.let_go())
                return
            datum.lineage.hold()
            edge.buffer.put_nowait(datum)
        elif edge.plan.is_discarding:
            self._counters.discarded += 1
        else:
            datum.lineage.hold()
            self._waiting.append((edge, datum))
            self._cleared.clear()
            self._arrived.set()

    async def run(self) -> None:
        """Move what waits, for the life of the vertex."""
        while True:
            await self._arrived.wait()
            while self._waiting:
                edge, datum = self._waiting[0]
                await edge.buffer.put(datum)
                self._waiting.popleft()
            self._arrived.clear()
            self._cleared.set()
