"""The spans of runs, as values, and the port that takes them.

What may stand in one: guids of runs, names of tasks, types, statuses, names of errors, counts. Never an argument, an
input, an output, a message or a person: :data:`ATTRIBUTES` is all there is, and a span with another one isn't made.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import wraps
from typing import Final, ParamSpec, Protocol

from pipeline.core.errors import ErrorName
from pipeline.telemetry.traces_ids import SpanRef, is_sampled, trace_id_of

P = ParamSpec("P")
ATTRIBUTES: Final = frozenset(
    {
        "blockline.hop",
        "blockline.run",
        "blockline.task",
        "blockline.type",
        "blockline.round",
        "blockline.attempt",
        "blockline.step",
        "blockline.dispatches",
        "blockline.status",
        "blockline.outcome",
        "blockline.revision",
        "blockline.waited_ms",
        "blockline.action",
        "blockline.entity",
        "blockline.operation",
        "blockline.sent",
        "blockline.messages",
        "blockline.runs",
        "blockline.workflow.version",
        "error.type",
    }
)
NAME_CHARS_MAX: Final = 200
TRACEPARENT: Final = "traceparent"
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1
_ERRORS: Final = frozenset(map(str, ErrorName))
_LOG: Final = logging.getLogger("blockline.traces")

Value = str | int


class Kind(StrEnum):
    """Who asks whom, in OpenTelemetry's words."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


@dataclass(frozen=True, slots=True)
class Span:
    """Something that has ended. Times are Unix milliseconds."""

    ref: SpanRef
    parent: SpanRef | None
    name: str
    started_at: int
    ended_at: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    links: tuple[SpanRef, ...] = ()
    kind: Kind = Kind.INTERNAL
    is_error: bool = False


class SpanTaker(Protocol):
    """The port to whatever keeps spans."""

    def take(self, span: Span) -> None:
        """Keep it, or count it as dropped; returns at once and never raises. May be called from any thread."""
        ...


class Traces:
    """What a process has for making spans."""

    def __init__(self, taker: SpanTaker, percent: int = 100) -> None:
        """``percent`` of all runs are traced, each whole or not at all."""
        self._taker = taker
        self._percent = percent

    def covers(self, run_guid: str) -> bool:
        """Whether this run is traced; every process says the same."""
        return is_sampled(trace_id_of(run_guid), self._percent)

    def tell(self, span: Span) -> None:
        """Hand it on.

        Raises:
            ValueError: it has an attribute that isn't one of :data:`ATTRIBUTES`.
        """
        if not ATTRIBUTES.issuperset(span.attributes):
            raise ValueError(f"spans have no attribute {sorted(set(span.attributes) - ATTRIBUTES)}")
        self._taker.take(span)


def harmless(tell: Callable[P, None]) -> Callable[P, None]:
    """Telling must never stop work: what fails is logged by its kind and where, and nothing else happens."""

    @wraps(tell)
    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            tell(*args, **kwargs)
        except Exception:  # noqa: BLE001  (whatever it is: the work goes on without its span)
            _LOG.exception("a span can't be made")

    return told


def error_type(name: str | None) -> dict[str, Value]:
    """The attribute for the name of an error: those of the closed list only, never words."""
    return {"error.type": name} if name in _ERRORS else {}


def named(what: str, task: str) -> str:
    """The name of a task's span."""
    return f"{what} {task}"[:NAME_CHARS_MAX]


def traceparent_of(ref: SpanRef) -> str:
    """The W3C header that makes a service's spans children of this sampled one."""
    return f"00-{ref.trace_id:032x}-{ref.span_id:016x}-{_SAMPLED:02x}"


def caller_of(header: str | None) -> SpanRef | None:
    """The caller's span by its W3C header; None without a header, with a broken one, or where it isn't sampled: who
    doesn't want that request traced isn't sent spans of it.
    """
    found = _TRACEPARENT.fullmatch(header.strip()) if header else None
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    ref = SpanRef(int(found[2], 16), int(found[3], 16))
    is_wanted = int(found[4], 16) & _SAMPLED
    return ref if ref.trace_id and ref.span_id and is_wanted else None
