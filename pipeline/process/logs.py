"""How a process logs: one line an event on standard error, for people or as JSON for collectors."""

import logging
import sys
from datetime import UTC, datetime
from typing import Final

from pipeline.messages.canonical import encode

_TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_LOUD: Final = ("httpx", "httpcore", "pyatlan", "uvicorn", "asyncio", "urllib3", "pynumaflow")
"""Loggers that speak of every request; kept at WARNING unless DEBUG was asked for."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``at`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``trace`` for errors."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        body = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            body["trace"] = self.formatException(record.exc_info)
        return encode(body).decode()


def configure(level: str, log_format: str) -> None:
    """Set up logging for the whole process; may be called again, the last call counts.

    ``level`` is a name of the standard library's, ``log_format`` is ``text`` or ``json``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(_TEXT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.NOTSET if level.upper() == "DEBUG" else logging.WARNING)
