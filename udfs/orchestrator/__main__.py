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
from udfs.orchestrator.handler import OrchestratorHandler
from udfs.orchestrator.server import build_server


def handler_of(environment: Mapping[str, str]) -> OrchestratorHandler:
    """The handler that the settings describe.

    Raises:
        ValueError: a setting is missing or wrong; the text names it and no secret.
    """
    try:
        seal = Seal(bytes.fromhex(environment.get("BLOCKLINE_ENGINE_KEY", "")))
    except ValueError:
        raise ValueError("BLOCKLINE_ENGINE_KEY is the engine's key in hex, 32 bytes or more.") from None
    try:
        shards = int(environment["BLOCKLINE_SHARDS"])
    except (KeyError, ValueError):
        raise ValueError("BLOCKLINE_SHARDS is the number of sinks.") from None
    types = [name for name in environment.get("BLOCKLINE_TYPES", "").split(",") if name]
    if not types:
        raise ValueError("BLOCKLINE_TYPES names the installed types, with commas between them.")
    return OrchestratorHandler(seal, CelEvaluator(), known_types=types, shards=shards)


def main(environment: Mapping[str, str]) -> int:
    """Serve until the platform ends the process; the exit code."""
    configure(environment.get("BLOCKLINE_LOG_LEVEL", "INFO"), environment.get("BLOCKLINE_LOG_FORMAT", "json"))
    try:
        handler = handler_of(environment)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    build_server(handler, SystemClock(), MAP_SOCK_PATH, MAP_SERVER_INFO_FILE_PATH).start()
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
