"""Every vertex of the pipeline as its real pynumaflow server, put together for one machine."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.blocks.outputs import ArgumentReader
from pipeline.blocks.registry import Registry
from pipeline.blocks.secrets import Secrets
from pipeline.blocks.shell import RunnerShell
from pipeline.blocks.time_limit import AsyncioTimeLimit
from pipeline.cdc.consumer import EventReader
from pipeline.cdc.offsets import Position
from pipeline.core.clock import Clock
from pipeline.directory.port import Directory
from pipeline.local.plane.direct import ServerFactory
from pipeline.local.plane.plane import fallback_of
from pipeline.machine.opened import OpenedRuns
from pipeline.mail.port import Mailer
from pipeline.messages.seal import Seal
from pipeline.spec.expressions import Evaluator
from pipeline.store.catalog import StoreCatalog
from pipeline.store.file_lease import FileSlotLease
from pipeline.store.outputs import StoredOutputs
from pipeline.store.port import EntityStore
from pipeline.telemetry.traces_open import Tracing
from pipeline.topology.build import atlas_vertex, runner_vertex
from pipeline.web.port import WebClient
from sinks.atlas.admission import Admission
from sinks.atlas.answers import Shard
from sinks.atlas.counting import CountingObserver
from sinks.atlas.handler import AtlasSinkHandler
from sinks.atlas.leased import Handles, LeasedSink
from sinks.atlas.server import build_server as build_atlas_server
from sinks.dead_letter.counting import count_letter
from sinks.dead_letter.handler import DeadLetterHandler
from sinks.dead_letter.server import build_server as build_dead_letter_server
from sources.cdc.handler import CdcSource
from sources.cdc.server import build_server as build_cdc_server
from sources.timer.handler import TimerHandler
from sources.timer.server import build_server as build_timer_server
from udfs.orchestrator.handler import OrchestratorHandler
from udfs.orchestrator.server import build_server as build_orchestrator_server
from udfs.runners.counting import counting
from udfs.runners.server import build_server as build_runner_server


@dataclass(frozen=True, slots=True)
class Parts:
    """What the vertices of one machine share. ``folder`` holds the leases' locks; ``settles_s`` is for how long the
    store may carry out what a process sent that was killed.
    """

    store: EntityStore
    seal: Seal
    evaluator: Evaluator
    opened: OpenedRuns
    registry: Registry
    directory: Directory
    mailer: Mailer
    web: WebClient
    secrets: Secrets
    reader: EventReader
    on_done: Callable[[list[Position]], Awaitable[None]]
    clock: Clock
    folder: Path
    settles_s: float
    shards: int
    public_url: str
    tracing: Tracing
    leased: list[LeasedSink] = field(default_factory=list)
    """The sinks that give their leases back when they are stopped: those whose store outlives this process."""


def servers(parts: Parts) -> dict[str, ServerFactory]:
    """A factory a vertex of the rendered manifest, by its name; each makes a server on the socket it is given."""
    found: dict[str, ServerFactory] = {
        "cdc": _cdc(parts),
        "timer": _timer(parts),
        "orchestrator": _orchestrator(parts),
        "dead-letter": _dead_letter(parts),
    }
    found |= {runner_vertex(block_type): _runner(parts, block_type) for block_type in parts.registry.runner_types()}
    for shard in range(parts.shards):
        found[atlas_vertex(shard)] = _atlas(parts, shard)
        found[fallback_of(atlas_vertex(shard))] = _dead_letter(parts)
    return found


def blocking_vertices(registry: Registry) -> list[str]:
    """The vertices whose handlers may block their thread, by their blocks' manifests."""
    return [
        runner_vertex(block_type) for block_type in registry.runner_types() if registry.manifest(block_type).blocking
    ]


def _cdc(parts: Parts) -> ServerFactory:
    # One source for the life of the process: what a server was given when it died, the next one is given again.
    source = CdcSource(parts.reader, parts.clock, parts.on_done, parts.tracing.source("cdc"))

    def build(sock_path: str, info_path: str) -> Any:
        return build_cdc_server(source, sock_path, info_path)

    return build


def _timer(parts: Parts) -> ServerFactory:
    def build(sock_path: str, info_path: str) -> Any:
        handler, traces = TimerHandler(parts.store, parts.clock), parts.tracing.source("timer")
        return build_timer_server(handler, parts.clock, sock_path, info_path, traces)

    return build


def _orchestrator(parts: Parts) -> ServerFactory:
    handler = OrchestratorHandler(
        parts.seal,
        parts.evaluator,
        known_types=parts.registry.runner_types(),
        shards=parts.shards,
        opened=parts.opened,
        traces=parts.tracing.orchestrator("orchestrator"),
    )

    def build(sock_path: str, info_path: str) -> Any:
        return build_orchestrator_server(handler, parts.clock, sock_path, info_path)

    return build


def _runner(parts: Parts, block_type: str) -> ServerFactory:
    ports: Mapping[str, Any] = {
        "directory": parts.directory,
        "mailer": parts.mailer,
        "public_url": parts.public_url,
        "catalog": StoreCatalog(parts.store),
        "web": parts.web,
    }
    manifest = parts.registry.manifest(block_type)
    shell = RunnerShell(
        parts.registry.create(block_type, ports),
        manifest,
        parts.clock,
        time_limit=AsyncioTimeLimit(),
        reader=ArgumentReader(StoredOutputs(parts.store), parts.evaluator),
        secrets=parts.secrets if manifest.has_secrets else None,
        on_result=counting(block_type),
        traces=parts.tracing.runner(runner_vertex(block_type)),
    )

    def build(sock_path: str, info_path: str) -> Any:
        return build_runner_server(shell, sock_path=sock_path, info_path=info_path)

    return build


def _atlas(parts: Parts, shard: int) -> ServerFactory:
    # One handler for the life of the process: it holds the shard's lease, and what it wrote under it.
    this = Shard(shard, parts.shards)
    lease = FileSlotLease(parts.folder, shard, parts.shards, parts.clock, settles_s=parts.settles_s)
    handler: Handles = AtlasSinkHandler(
        parts.store,
        parts.seal,
        parts.evaluator,
        lease,
        parts.clock,
        shard=this,
        admission=Admission(parts.store, parts.directory, parts.registry.defaults(parts.registry.runner_types())),
        observer=CountingObserver(this, lease),
        opened=parts.opened,
        traces=parts.tracing.sink(this.vertex),
    )
    if parts.settles_s:
        handler = LeasedSink(handler, lease, parts.clock)
        parts.leased.append(handler)

    def build(sock_path: str, info_path: str) -> Any:
        return build_atlas_server(handler, sock_path, info_path)

    return build


def _dead_letter(parts: Parts) -> ServerFactory:
    handler = DeadLetterHandler(parts.store, parts.clock, on_kept=count_letter)

    def build(sock_path: str, info_path: str) -> Any:
        return build_dead_letter_server(handler, sock_path, info_path)

    return build
