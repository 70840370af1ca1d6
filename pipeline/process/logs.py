"""How a process logs: one line an event on standard error, for people or as JSON for collectors."""

import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

from pipeline.core.errors import BlocklineError
from pipeline.messages.canonical import encode

_TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_LOUD: Final = ("aiorun", "httpx", "httpcore", "pyatlan", "uvicorn", "asyncio", "urllib3", "pynumaflow")
"""Loggers that speak of every request; kept at WARNING unless DEBUG was asked for."""


ABOUT: Final = ("vertex", "run", "task", "attempt")
"""What a line is about, where that is known: given as ``extra=`` by whoever logs. ``run`` is a guid."""
_ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class DiscreetFormatter(logging.Formatter):
    """Text for people. Of an error: its kind and where it was, and its words only if they are the engine's own.

    Words of other errors can quote what was worked on: a password in an address, an argument of a task.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the standard library's name)
        """The line, and behind it what it is about."""
        about = ", ".join(f"{name} {value!r}" for name, value in _about(record).items())
        return super().formatMessage(record) + (f" ({about})" if about else "")

    def formatException(self, ei: _ErrorInfo) -> str:  # noqa: N802  (the standard library's name)
        """The frames, the innermost last, and what led to it."""
        return "" if ei[1] is None else "\n".join(_told(ei[1], set()))


class JsonFormatter(DiscreetFormatter):
    """One JSON object a line: ``at`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``trace`` for errors.

    Also those of :data:`ABOUT` that the record has; ``vertex`` is the process' own where the record names none.
    """

    def __init__(self, vertex: str | None = None) -> None:
        """``vertex`` is the one that this process is, if it is one."""
        super().__init__()
        self._vertex = vertex

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        body: dict[str, str | int] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._vertex is not None:
            body["vertex"] = self._vertex
        body.update(_about(record))
        if record.exc_info:
            body["trace"] = self.formatException(record.exc_info)
        return encode(body).decode()


def configure(level: str, log_format: str, vertex: str | None = None) -> None:
    """Set up logging for the whole process; may be called again, the last call counts.

    ``level`` is a name of the standard library's, ``log_format`` is ``text`` or ``json``, ``vertex`` the one that the
    process is.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(vertex) if log_format == "json" else DiscreetFormatter(_TEXT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.NOTSET if level.upper() == "DEBUG" else logging.WARNING)


def _about(record: logging.LogRecord) -> dict[str, str | int]:
    return {name: value for name in ABOUT if (value := getattr(record, name, None)) is not None}


def _told(error: BaseException, seen: set[int]) -> list[str]:
    """What led to an error, and then the error: as Python tells it, without the words of others."""
    seen.add(id(error))
    led = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = [*_told(led, seen), "which led to:"] if led is not None and id(led) not in seen else []
    lines += [line.rstrip("\n") for line in traceback.format_tb(error.__traceback__)]
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    lines.append(f"{kind}: {error}" if isinstance(error, BlocklineError) else kind)
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            lines += ["one of its parts:", *_told(part, seen)]
    return lines
