"""The container of the vertex ``cdc``: a consumer group on a real Kafka.

Settings (by the rendered manifest): ``BLOCKLINE_KAFKA`` (``host:port``, more with commas), ``BLOCKLINE_KAFKA_TOPIC``,
``BLOCKLINE_KAFKA_GROUP``; those of logs and metrics as everywhere.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Final

import aiorun
from pynumaflow._constants import SOURCE_SERVER_INFO_FILE_PATH, SOURCE_SOCK_PATH

from pipeline.cdc.consumer import GroupReader
from pipeline.process.clock import SystemClock
from pipeline.process.logs import configure
from pipeline.process.metrics_server import serve_metrics
from pipeline.process.settings import SettingError, VertexSettings, trace_settings, vertex_settings
from pipeline.telemetry.traces_hops import SourceTraces
from pipeline.telemetry.traces_open import open_tracing
from sources.cdc.counting import keep_pending
from sources.cdc.handler import VERTEX, CdcSource
from sources.cdc.server import build_server

_USAGE_EXIT: Final = 2


async def serve(settings: VertexSettings, traces: SourceTraces | None = None) -> None:
    """Serve until the container is stopped or the server has failed."""
    clock = SystemClock()
    reader = GroupReader(settings.kafka, settings.kafka_topic, settings.kafka_group)
    await reader.start()
    counting = asyncio.create_task(keep_pending(reader, clock), name="pending")
    try:
        sock_path, info_path = settings.socket(SOURCE_SOCK_PATH), settings.socket(SOURCE_SERVER_INFO_FILE_PATH)
        await build_server(CdcSource(reader, clock, traces=traces), sock_path, info_path).aexec()
    finally:
        counting.cancel()
        await reader.close()


def settings_of(environment: Mapping[str, str]) -> VertexSettings:
    """The settings of this container.

    Raises:
        SettingError: a setting is missing or can't be.
    """
    settings = vertex_settings(environment)
    if not settings.kafka:
        raise SettingError("BLOCKLINE_KAFKA names no broker: set it to HOST:PORT.")
    return settings


def main(environment: Mapping[str, str]) -> int:
    """Exit code of the container."""
    try:
        settings = settings_of(environment)
        configure(settings.log_level, settings.log_format, VERTEX)
        tracing = open_tracing(trace_settings(environment), SystemClock(), VERTEX)
    except SettingError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE_EXIT
    serve_metrics(settings)
    aiorun.run(serve(settings, tracing.source(VERTEX)), use_uvloop=True)
    return 1  # nothing ends it but a stop or a fault, and the container is to start again then


if __name__ == "__main__":
    sys.exit(main(os.environ))
