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
from pipeline.process.settings import SettingError, VertexSettings, engine_key, vertex_settings
from udfs.orchestrator.handler import OrchestratorHandler
from udfs.orchestrator.server import build_server


def handler_of(settings: VertexSettings) -> OrchestratorHandler:
    """The handler that the settings describe.

    Raises:
        SettingError: a setting is missing or wrong; the text names it and no secret.
    """
    seal = Seal(engine_key(settings))
    types = [name for name in settings.types.split(",") if name]
    if not types:
        raise SettingError("BLOCKLINE_TYPES names the installed types, with commas between them.")
    return OrchestratorHandler(seal, CelEvaluator(), known_types=types, shards=settings.shards)


def main(environment: Mapping[str, str]) -> int:
    """Serve until the platform ends the process; the exit code."""
    try:
        settings = vertex_settings(environment)
        configure(settings.log_level, settings.log_format, "orchestrator")
        handler = handler_of(settings)
    except SettingError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    serve_metrics(settings)
    sock_path, info_path = settings.socket(MAP_SOCK_PATH), settings.socket(MAP_SERVER_INFO_FILE_PATH)
    build_server(handler, SystemClock(), sock_path, info_path).start()
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
