"""The container of the vertex ``timer``.

Settings (by the rendered manifest): ``BLOCKLINE_ATLAS`` (the address), and from Atlas' secret ``BLOCKLINE_USER`` and
``BLOCKLINE_PASSWORD``; ``BLOCKLINE_LOG_LEVEL`` and ``BLOCKLINE_LOG_FORMAT`` as everywhere.
"""

import os
import sys
from collections.abc import Mapping

from pynumaflow._constants import SOURCE_SERVER_INFO_FILE_PATH, SOURCE_SOCK_PATH

from pipeline.core.errors import BlocklineError
from pipeline.process.clock import SystemClock
from pipeline.process.logs import configure
from pipeline.process.metrics_server import serve_metrics
from pipeline.process.settings import trace_settings, vertex_settings
from pipeline.store.open import open_store
from pipeline.telemetry.traces_open import open_tracing
from sources.timer.handler import VERTEX, TimerHandler
from sources.timer.server import build_server


def main(environment: Mapping[str, str]) -> int:
    """Serve until the platform ends the process; the exit code."""
    try:
        settings = vertex_settings(environment)
        configure(settings.log_level, settings.log_format, "timer")
        store, clock = open_store(settings), SystemClock()
        tracing = open_tracing(trace_settings(environment), clock, VERTEX)
    except BlocklineError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    serve_metrics(settings)
    build_server(
        TimerHandler(store, clock),
        clock,
        settings.socket(SOURCE_SOCK_PATH),
        settings.socket(SOURCE_SERVER_INFO_FILE_PATH),
        tracing.source(VERTEX),
    ).start()
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
