"""The plane itself: reads the manifest, wires the vertices, runs and stops them."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pipeline.core.clock import Clock
from pipeline.core.errors import BlocklineError
from pipeline.local.plane.direct import DirectHost, ServerFactory
from pipeline.local.plane.flow import Counters, Datum, Edge, Outlet, Traffic
from pipeline.local.plane.links import Host
from pipeline.local.plane.manifest import Kind, Plan, VertexPlan, read_plan
from pipeline.local.plane.map_vertex import MapVertex
from pipeline.local.plane.pace import Pace
from pipeline.local.plane.server import VertexServer
from pipeline.local.plane.sink_vertex import SinkVertex
from pipeline.local.plane.sockets import SocketHost
from pipeline.local.plane.source_vertex import SourceVertex
from pipeline.local.plane.threads import ThreadHost
from pipeline.local.plane.vertex import Equipment, Runnable
from pipeline.local.plane.watchdog import Watchdog

_LOG = logging.getLogger(__name__)
_VERTICES: Final[Mapping[Kind, Callable[[Equipment], Runnable]]] = {
    Kind.SOURCE: SourceVertex,
    Kind.MAP: MapVertex,
    Kind.SINK: SinkVertex,
}


HostMaker = Callable[[str], Host]
"""From the name of a server, unique in the plane and fit for a file's, to what starts and stops it."""


class MissingServerError(BlocklineError):
    """The manifest has a vertex (or a fallback) for which no server was handed in, or the other way round."""


@dataclass(frozen=True, slots=True)
class VertexStatus:
    """A vertex with all its replicas since the start: ``buffered`` and ``in_flight`` are as of now, the others only
    grow; ``is_up`` while one replica is, with all its servers.

    ``dropped`` by the handler's own wish, ``unrouted`` since no edge took the tags, ``discarded`` at a full edge,
    ``let_go`` beyond an edge's share (see :class:`~pipeline.local.plane.flow.Edge`), ``duplicates`` are offsets a
    source gave twice, ``blocks`` the times it held up its loop (see the watchdog).
    """

    name: str
    kind: Kind
    is_up: bool
    buffered: int
    in_flight: int
    processed: int
    retries: int
    fallbacks: int
    dropped: int
    unrouted: int
    discarded: int
    let_go: int
    duplicates: int
    restarts: int
    blocks: int


@dataclass(frozen=True, slots=True)
class _Wired:
    """A vertex; its replicas share buffer, outlet and counters, those of ``shared``, which is the first one's."""

    plan: VertexPlan
    replicas: Sequence[tuple[Equipment, Runnable]]

    @property
    def shared(self) -> Equipment:
        return self.replicas[0][0]

    @property
    def servers(self) -> Sequence[VertexServer]:
        return [server for equipment, _ in self.replicas for server in equipment.servers]


def fallback_of(vertex: str) -> str:
    """The key in ``servers`` of a sink's fallback."""
    return f"{vertex}/fallback"


def on_success_of(vertex: str) -> str:
    """The key in ``servers`` of the sink that is told of a sink's successes."""
    return f"{vertex}/on-success"


def direct(servers: Mapping[str, ServerFactory]) -> dict[str, HostMaker]:
    """Hosts that call the handlers in the running event loop, without gRPC between."""
    return {name: partial(DirectHost, factory) for name, factory in servers.items()}


def in_threads(servers: Mapping[str, ServerFactory]) -> dict[str, HostMaker]:
    """Hosts of map servers whose handlers may block: each in a thread with a loop of its own."""
    return {name: partial(ThreadHost, factory) for name, factory in servers.items()}


def over_sockets(servers: Mapping[str, ServerFactory], run_dir: Path) -> dict[str, HostMaker]:
    """Hosts of pynumaflow's servers in this process; ``run_dir``: an existing folder with a short path, for sockets."""
    return {name: partial(SocketHost, factory, directory=run_dir) for name, factory in servers.items()}


class LocalPlane:
    """Executes one Pipeline manifest with the servers handed in, all of it moved by the running event loop."""

    def __init__(self, manifest: str, hosts: Mapping[str, HostMaker], clock: Clock) -> None:
        """``hosts``: one a vertex, by its name, and one under :func:`fallback_of` for a sink with a fallback; see
        :func:`direct`, :func:`in_threads` and :func:`over_sockets`, which may be mixed.

        Raises:
            ManifestError: the plane can't do what the manifest says.
            MissingServerError: vertices and servers don't match.
        """
        self._plan = read_plan(manifest)
        _check_servers(self._plan, hosts)
        self._tasks: list[asyncio.Task[None]] = []
        self._watchdog = Watchdog(clock, self._blocked)
        self._wired = _wire(self._plan, hosts, clock, self._watchdog)

    async def start(self) -> None:
        """Start every vertex; returns when all servers listen. Once only: a stopped plane stays stopped.

        Raises:
            WrongServerError: a factory's server isn't what the manifest asks for; nothing runs any more then.
        """
        self._watchdog.start()
        for wired in self._wired:
            name = f"vertex {wired.plan.name}"
            work = [wired.shared.outlet.run(), *(part for _, vertex in wired.replicas for part in vertex.work())]
            self._tasks += [asyncio.create_task(part, name=name) for part in work]
        up = asyncio.create_task(self._are_up())
        failed = asyncio.create_task(self.watch())
        try:
            await asyncio.wait((up, failed), return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                await self.stop()
                failed.result()
        finally:
            up.cancel()
            failed.cancel()

    async def _are_up(self) -> None:
        for wired in self._wired:
            for server in wired.servers:
                await server.has_been_up.wait()

    async def watch(self) -> None:
        """Until the plane is stopped.

        Raises:
            Exception: a vertex ended by itself, which only a mistake (of the plane, a factory or a sink without
                fallback) can bring about; what it raised. The plane isn't whole any more then: stop it.
        """
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            if not task.cancelled() and (error := task.exception()):
                _LOG.error("%s ended: %s", task.get_name(), error)
                raise error

    async def stop(self) -> None:
        """End all vertices and their servers now; what isn't acked comes again next time. May be called twice."""
        servers = [server for wired in self._wired for server in wired.servers]
        for server in servers:
            server.ends()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(server.close() for server in servers))  # a process takes its time to end
        self._watchdog.stop()

    def _blocked(self, server: str) -> None:
        for wired in self._wired:
            if server in {each.name for each in wired.servers}:
                wired.shared.counters.blocks += 1

    def status(self) -> dict[str, VertexStatus]:
        """Every vertex by name, in the manifest's order."""
        return {wired.plan.name: _status(wired) for wired in self._wired}


def _check_servers(plan: Plan, hosts: Mapping[str, HostMaker]) -> None:
    needed = {vertex.name for vertex in plan.vertices}
    needed |= {fallback_of(vertex.name) for vertex in plan.vertices if vertex.has_fallback}
    needed |= {on_success_of(vertex.name) for vertex in plan.vertices if vertex.has_on_success}
    missing, extra = sorted(needed - hosts.keys()), sorted(hosts.keys() - needed)
    if missing:
        raise MissingServerError(f"no server was handed in for {', '.join(missing)}")
    if extra:
        raise MissingServerError(f"the manifest has no vertex for {', '.join(extra)}")


def _wire(plan: Plan, hosts: Mapping[str, HostMaker], clock: Clock, watchdog: Watchdog) -> list[_Wired]:
    buffers: dict[str, asyncio.Queue[Datum]] = {
        vertex.name: asyncio.Queue(vertex.buffer_messages_max) for vertex in plan.vertices
    }
    traffic = Traffic()
    return [_wire_vertex(plan, vertex, buffers, hosts, clock, watchdog, traffic) for vertex in plan.vertices]


def _held_max(plan: Plan) -> int:
    """A discarding edge's share: all of them together hold half of what a source may have on its way at the most."""
    rooms = [vertex.concurrency for vertex in plan.vertices if vertex.kind is Kind.SOURCE]
    return min(rooms) // (2 * max(1, sum(edge.is_discarding for edge in plan.edges)))


def _wire_vertex(  # noqa: PLR0917  (what a vertex is wired from)
    plan: Plan,
    vertex: VertexPlan,
    buffers: Mapping[str, asyncio.Queue[Datum]],
    hosts: Mapping[str, HostMaker],
    clock: Clock,
    watchdog: Watchdog,
    traffic: Traffic,
) -> _Wired:
    counters = Counters()
    held_max = _held_max(plan)
    edges = [Edge(edge, buffers[edge.to_vertex], held_max) for edge in plan.edges if edge.from_vertex == vertex.name]

    def server(name: str, kind: Kind, make: HostMaker) -> VertexServer:
        host = make(name)
        if isinstance(host, ThreadHost):
            host.watched_by(watchdog)
        return VertexServer(name, kind, host, clock, counters)

    def further(name: str, key: str) -> VertexServer | None:
        return server(name, Kind.SINK, hosts[key]) if key in hosts else None

    def replica(number: int) -> Equipment:
        # No vertex is called so: a name in a cluster has no dots.
        name = f"{vertex.name}.{number}" if number else vertex.name
        return Equipment(
            plan=vertex,
            buffer=buffers[vertex.name],
            server=server(name, vertex.kind, hosts[vertex.name]),
            outlet=outlet,
            counters=counters,
            clock=clock,
            traffic=traffic,
            fallback=further(f"{name}-fb", fallback_of(vertex.name)),
            on_success=further(f"{name}-ok", on_success_of(vertex.name)),
            pace=pace,
        )

    outlet, pace = Outlet(edges, counters), Pace(vertex.rate, clock) if vertex.rate else None
    made = [replica(number) for number in range(vertex.replicas)]
    return _Wired(vertex, [(equipment, _VERTICES[vertex.kind](equipment)) for equipment in made])


def _status(wired: _Wired) -> VertexStatus:
    counters = wired.shared.counters
    return VertexStatus(
        name=wired.plan.name,
        kind=wired.plan.kind,
        is_up=any(all(server.is_up for server in equipment.servers) for equipment, _ in wired.replicas),
        buffered=wired.shared.buffer.qsize(),
        in_flight=sum(vertex.in_flight() for _, vertex in wired.replicas)
        + (wired.shared.outlet.waiting() if wired.plan.kind is Kind.MAP else 0),
        processed=counters.processed,
        retries=counters.retries,
        fallbacks=counters.fallbacks,
        dropped=counters.dropped,
        unrouted=counters.unrouted,
        discarded=counters.discarded,
        let_go=counters.let_go,
        duplicates=counters.duplicates,
        restarts=counters.restarts,
        blocks=counters.blocks,
    )
