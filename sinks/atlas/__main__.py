"""The container of a vertex ``atlas-<shard>``.

Settings (by the rendered manifest): ``BLOCKLINE_SHARD`` of ``BLOCKLINE_SHARDS``, ``BLOCKLINE_ATLAS`` and its account,
``BLOCKLINE_ENGINE_KEY``, and the directory's; all of them are in docs/settings.md. Its slots are leased by a Kubernetes
``Lease`` of the pod's namespace, or by a file where ``BLOCKLINE_LEASE_DIR`` names a folder.
"""

import asyncio
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiorun
from pynumaflow._constants import SINK_SERVER_INFO_FILE_PATH, SINK_SOCK_PATH

from pipeline.blocks.registry import Registry
from pipeline.core.clock import Clock
from pipeline.core.errors import BlocklineError
from pipeline.directory.open import open_directory
from pipeline.expressions.cel import CelEvaluator
from pipeline.messages.seal import Seal
from pipeline.process.clock import SystemClock
from pipeline.process.logs import configure
from pipeline.process.metrics_server import serve_metrics
from pipeline.process.settings import SettingError, VertexSettings, engine_key, trace_settings, vertex_settings
from pipeline.store.cluster_lease import ClusterSlotLease
from pipeline.store.file_lease import FileSlotLease
from pipeline.store.kubernetes import ClusterAccess, KubernetesLeaseRecords
from pipeline.store.open import open_store
from pipeline.store.pyatlan_client import load as load_models
from pipeline.telemetry.traces_open import open_tracing
from pipeline.telemetry.traces_run import SinkTraces
from sinks.atlas.admission import Admission
from sinks.atlas.answers import Shard
from sinks.atlas.counting import CountingObserver
from sinks.atlas.handler import AtlasSinkHandler
from sinks.atlas.leased import LeasedSink, RenewedLease
from sinks.atlas.server import build_server

_USAGE_EXIT: Final = 2
_BLOCKS: Final = "udfs.runners"
_PIPELINE: Final = "blockline"
_SUFFIX_BYTES: Final = 4


def main(environment: Mapping[str, str]) -> int:
    """Serve until the platform ends the process; the exit code."""
    try:
        settings = vertex_settings(environment)
        vertex = _shard(settings).vertex
        configure(settings.log_level, settings.log_format, vertex)
        tracing = open_tracing(trace_settings(environment), SystemClock(), vertex)
        sink = sink_of(settings, environment, tracing.sink(vertex))
        # Before there is a lease: on a busy node the import may outlast one, and nothing renews it meanwhile.
        load_models()
    except BlocklineError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE_EXIT

    serve_metrics(settings)

    async def stop(_: asyncio.AbstractEventLoop) -> None:
        await sink.stop()

    serving = serve(sink, settings.socket(SINK_SOCK_PATH), settings.socket(SINK_SERVER_INFO_FILE_PATH))
    aiorun.run(serving, use_uvloop=True, shutdown_callback=stop)
    return 1  # nothing ends it but a stop or a fault, and the container is to start again then


async def serve(sink: LeasedSink, sock_path: str, info_path: str) -> None:
    """Serve on a Unix socket until the process is stopped or the server has failed."""
    keeping = asyncio.create_task(sink.keep_lease(), name="lease")
    try:
        await build_server(sink, sock_path, info_path).aexec()
    finally:
        keeping.cancel()


def sink_of(settings: VertexSettings, environment: Mapping[str, str], traces: SinkTraces | None = None) -> LeasedSink:
    """The sink that the settings describe, yet to be started; ``environment`` says which pod this is, ``traces`` are
    there where there is tracing.

    Raises:
        BlocklineError: a setting is missing or can't be; a sentence without secrets.
    """
    if not 0 <= settings.shard < settings.shards:
        raise SettingError("BLOCKLINE_SHARD is the number of this sink, from 0 to BLOCKLINE_SHARDS - 1.")
    seal, store, clock = Seal(engine_key(settings)), open_store(settings), SystemClock()
    directory, registry = open_directory(settings, clock), Registry.load(_BLOCKS)
    lease, shard = _lease(settings, environment, clock), _shard(settings)
    handler = AtlasSinkHandler(
        store,
        seal,
        CelEvaluator(),
        lease,
        clock,
        shard=shard,
        admission=Admission(store, directory, registry.defaults(registry.runner_types())),
        observer=CountingObserver(shard, lease),
        traces=traces,
    )
    return LeasedSink(handler, lease, clock)


def _shard(settings: VertexSettings) -> Shard:
    return Shard(settings.shard, settings.shards)


def _lease(settings: VertexSettings, environment: Mapping[str, str], clock: Clock) -> RenewedLease:
    if settings.lease_dir:
        return FileSlotLease(Path(settings.lease_dir), settings.shard, settings.shards, clock)
    pipeline = environment.get("NUMAFLOW_PIPELINE_NAME") or _PIPELINE
    return ClusterSlotLease(
        KubernetesLeaseRecords(ClusterAccess.in_pod(environment, Path(settings.service_account_dir)), pipeline, clock),
        clock,
        shard=settings.shard,
        shards=settings.shards,
        # A container that starts again in its pod is another holder: what the one before wrote may still be on its way.
        holder=f"{environment.get('NUMAFLOW_POD') or pipeline}/{secrets.token_hex(_SUFFIX_BYTES)}",
    )


if __name__ == "__main__":
    sys.exit(main(os.environ))
