"""Identities of traces and spans, all derived from what a message says.

So any process can name a span of any other one without being told of it, and what is seen twice gives the same span.
Digests, not the guids themselves: a trace's id goes out to services that are called, which learn nothing by it.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_TRACE_BYTES: Final = 16
_SPAN_BYTES: Final = 8
_KEPT_MAX: Final = 4_096
_PERCENT: Final = 100
_LAST_64_BITS: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class SpanRef:
    """A span, wherever it was made."""

    trace_id: int
    span_id: int


@lru_cache(maxsize=_KEPT_MAX)
def trace_id_of(run_guid: str) -> int:
    """The trace of a run: 128 bits, never 0."""
    return _digest(_TRACE_BYTES, "trace", run_guid)


def is_sampled(trace_id: int, percent: int) -> bool:
    """Whether a trace is among the ``percent`` (0 to 100) that are kept; every process says the same of it."""
    return (trace_id & _LAST_64_BITS) * _PERCENT < percent << 64


def run_span(run_guid: str) -> SpanRef:
    """The root."""
    return _span(run_guid, "run")


def task_span(run_guid: str, task: str, round_: int, attempt: int, step: int) -> SpanRef:
    """One step of one attempt of a task, from its dispatch until its result is written."""
    return _span(run_guid, "task", task, round_, attempt, step)


def settled_span(run_guid: str, task: str, round_: int, attempt: int, step: int) -> SpanRef:
    """A task that ended without a runner: decided by people, by time, or by the machine itself."""
    return _span(run_guid, "settled", task, round_, attempt, step)


def resumed_span(run_guid: str, task: str, round_: int, attempt: int, step: int) -> SpanRef:
    """A task that goes on with this attempt and step after another one."""
    return _span(run_guid, "resumed", task, round_, attempt, step)


def attempt_span(  # noqa: PLR0917  (what names it)
    run_guid: str, task: str, round_: int, attempt: int, step: int, started_at: int
) -> SpanRef:
    """The work of a runner. A dispatch that came twice was worked on twice: its start is part of the name."""
    return _span(run_guid, "attempt", task, round_, attempt, step, started_at)


def write_span(run_guid: str, revision: int) -> SpanRef:
    """The write of a revision: there is one."""
    return _span(run_guid, "write", revision)


def hop_span(run_guid: str, hop: str, *parts: str | int) -> SpanRef:
    """Another hop of a run's messages; ``parts`` tell it from its like, the time of its start among them."""
    return _span(run_guid, "hop", hop, *parts)


def batch_span(vertex: str, began_at: int, first: SpanRef) -> SpanRef:
    """A sink's batch: a trace of its own, since it serves many runs. ``first`` is one of the writes in it."""
    seed = f"{vertex}/{began_at}/{first.span_id}"
    return SpanRef(_digest(_TRACE_BYTES, "batch", seed), _digest(_SPAN_BYTES, "batch-span", seed))


def inner_span(outer: SpanRef, *parts: str | int) -> SpanRef:
    """A span of ours in somebody else's trace, below theirs."""
    return SpanRef(outer.trace_id, _digest(_SPAN_BYTES, "inner", outer.span_id, *parts))


def _span(run_guid: str, *parts: str | int) -> SpanRef:
    return SpanRef(trace_id_of(run_guid), _digest(_SPAN_BYTES, run_guid, *parts))


def _digest(size: int, *parts: str | int) -> int:
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:size]) or 1
