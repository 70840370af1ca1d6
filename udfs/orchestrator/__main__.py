"""The container of the vertex ``orchestrator``.

Settings (by the rendered manifest): ``BLOCKLINE_SHARDS``, ``BLOCKLINE_TYPES`` (installed types, with commas), and from
the engine's secret ``BLOCKLINE_ENGINE_KEY`` (hex, 32 bytes at least); ``BLOCKLINE_LOG_LEVEL`` and
``BLOCKLINE_LOG_FORMAT`` as everywhere.
"""

import os
import sys
from collections.abc import Mapping

from pynumaflow._constants import MAP_SERVER_INFO_FILE_PATH, MAP_SOCK_PATH

from pipeline.expressions.cel import CelEvaluator
from pipeline.messages.seal import Seal
from pipeline.process.clock import SystemClock
from pipeline.process.logs import configure
from pipeline.process.metrics_server import serve_metrics
from pipeline.process.settings import SettingError, VertexSettings, engine_key, trace_settings, vertex_settings
from pipeline.telemetry.traces_hops import OrchestratorTraces
from pipeline.telemetry.traces_open import open_tracing
from udfs.orchestrator.handler import VERTEX, OrchestratorHandler
from udfs.orchestrator.server import build_server


def handler_of(settings: VertexSettings, traces: OrchestratorTraces | None = None) -> OrchestratorHandler:
    """The handler that the settings describe; ``traces`` are there where there is tracing.

    Raises:
        SettingError: a setting is missing or wrong; the text names it and no secret.
    """
    seal = Seal(engine_key(settings))
    types = [name for name in settings.types.split(",") if name]
    if not types:
        raise SettingError("BLOCKLINE_TYPES names the installed types, with commas between them.")
    return OrchestratorHandler(seal, CelEvaluator(), known_types=types, shards=settings.shards, traces=traces)


def main(environment: Mapping[str, str]) -> int:
    """Serve until the platform ends the process; the exit code."""
    try:
        settings = vertex_settings(environment)
        configure(settings.log_level, settings.log_format, "orchestrator")
        clock = SystemClock()
        tracing = open_tracing(trace_settings(environment), clock, VERTEX)
        handler = handler_of(settings, tracing.orchestrator(VERTEX))
    except SettingError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    serve_metrics(settings)
    sock_path, info_path = settings.socket(MAP_SOCK_PATH), settings.socket(MAP_SERVER_INFO_FILE_PATH)
    build_server(handler, clock, sock_path, info_path).start()
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
