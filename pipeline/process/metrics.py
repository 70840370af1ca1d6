"""How a metric is made: in the module of what it counts, with what an operator needs to know about it.

Prometheus' names begin with ``blockline_``. A label's values are a closed set (vertices, types of installed blocks,
statuses): what a person wrote or is called, and which run it was, is never one. docs/metrics.md is written from here.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
PREFIX: Final = "blockline_"
SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
"""From a handler that only computes to the longest wait for a service or a write without an answer."""
COUNT_BUCKETS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
"""Up to the most that a vertex is handed at once."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # when a series began is one more series for each


@dataclass(frozen=True, slots=True)
class Described:
    """A metric for people. ``name`` as it is scraped, ``unit`` of its value, ``action`` what to do about it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    unit: str
    text: str
    action: str


_DESCRIBED: Final[dict[str, Described]] = {}


def described() -> list[Described]:
    """All that were made in this process so far, by name."""
    return sorted(_DESCRIBED.values(), key=lambda each: each.name)


def describe(name: str, kind: str, text: str, labels: Sequence[str], unit: str, action: str) -> None:  # noqa: PLR0917
    """Enter a metric whose values somebody else collects.

    Raises:
        ValueError: there is one of that name, or it isn't ours by name.
    """
    if not name.startswith(PREFIX) or name in _DESCRIBED:
        raise ValueError(f"{name} isn't a new name that begins with {PREFIX}")
    _DESCRIBED[name] = Described(name, kind, tuple(labels), unit, text, action)


def counter(name: str, text: str, labels: Sequence[str] = (), *, unit: str, action: str) -> Counter:
    """One that only rises; ``name`` ends in ``_total``. Raises as :func:`describe`."""
    describe(name, "counter", text, labels, unit, action)
    return Counter(name, text, labels)


def gauge(name: str, text: str, labels: Sequence[str] = (), *, unit: str, action: str) -> Gauge:
    """One that rises and falls. Raises as :func:`describe`."""
    describe(name, "gauge", text, labels, unit, action)
    return Gauge(name, text, labels)


def histogram(
    name: str,
    text: str,
    labels: Sequence[str] = (),
    *,
    unit: str,
    action: str,
    buckets: Sequence[float] = SECONDS_BUCKETS,
) -> Histogram:
    """One that says how many were how large. Raises as :func:`describe`."""
    describe(name, "histogram", text, labels, unit, action)
    return Histogram(name, text, labels, buckets=buckets)


HANDLING_SECONDS: Final = histogram(
    "blockline_handling_seconds",
    "Time from a message (a batch, a poll) to its answer, by vertex; what a runner's block waits for is in it.",
    ["vertex"],
    unit="seconds",
    action="Of a runner: the service that its block calls is slow. Of a sink: Atlas is, or batches are large. Of the "
    "orchestrator: it lacks CPU.",
)


class Handling:
    """The handling times of one vertex."""

    def __init__(self, vertex: str) -> None:
        """``vertex`` by its name in the pipeline."""
        self._seconds = HANDLING_SECONDS.labels(vertex)

    def time(self) -> AbstractContextManager[Any]:
        """Measures from here to its end; any number at a time."""
        return self._seconds.time()

    def took(self, seconds: float) -> None:
        """One more, measured by its own clock."""
        self._seconds.observe(seconds)


def render() -> bytes:
    """All metrics of the process in the text format; its media type is :data:`CONTENT_TYPE`."""
    return generate_latest()
