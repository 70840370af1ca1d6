"""Where a vertex in a container of its own is asked for its numbers: ``http://HOST:PORT/metrics``, for Prometheus."""

import logging
from typing import Final

from prometheus_client import start_http_server

from pipeline.process.settings import VertexSettings, variable_of

_LOG: Final = logging.getLogger("blockline.metrics")


def serve_metrics(settings: VertexSettings) -> bool:
    """Answer in a thread of its own until the process ends; whether it does. Once a process.

    Port 0 asks for none. A port that can't be had is said in one sentence, and the vertex works on without its numbers:
    work is worth more than counting it, and whoever scrapes sees that nobody answers.
    """
    if not settings.metrics_port:
        return False
    try:
        start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        _LOG.error(
            "No metrics: %s:%d can't be listened on (%s). Set %s to a free port, or 0 for none.",
            settings.metrics_host,
            settings.metrics_port,
            error.strerror or "no such address",
            variable_of("metrics_port"),
        )
        return False
    return True
