"""The plane's counters for Prometheus: ``blockline_plane_*``, by vertex."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.local.plane.plane import LocalPlane
from pipeline.process.metrics import describe

_PREFIX: Final = "blockline_plane_"
_NOTHING: Final = "Nothing by itself."
_COUNTERS: Final = {
    "processed": ("Messages that a vertex has dealt with", "messages", _NOTHING),
    "retries": (
        "Messages that were sent to a server again",
        "messages",
        "Atlas is away, or the vertex dies; see the log.",
    ),
    "fallbacks": ("Messages that a sink gave to its fallback", "messages", "`blockline dead-letter list` says why."),
    "dropped": ("Messages that a handler dropped on purpose", "messages", _NOTHING),
    "unrouted": ("Messages whose tags no edge takes", "messages", "A fault of ours: please report it."),
    "discarded": (
        "Messages for a full edge that discards",
        "messages",
        "A type's runner can't follow; its tasks come again when their lease is over.",
    ),
    "let_go": (
        "Messages in the buffer of such an edge for which their source doesn't wait any more",
        "messages",
        "Nothing: it is how a slow type holds nobody else up.",
    ),
    "duplicates": ("Offsets that a source gave again", "messages", "Many: acks get lost; see the log."),
    "restarts": ("Deaths of a vertex's server", "deaths", "The log says of what the vertex dies."),
    "blocks": (
        "Times that a vertex held up its loop for more than a second",
        "times",
        "A block computes or waits without `await`: declare it `blocking`, or use `--isolated`.",
    ),
}
_GAUGES: Final = {
    "is_up": ("Whether the vertex's server listens, 1 or 0", "", "0: it is being started again; the log says why."),
    "buffered": ("Messages waiting for a vertex", "messages", "It can't follow: look at its handling time."),
    "in_flight": ("Messages in work", "messages", "Near its concurrency: what the vertex calls is slow."),
}
for _name, (_text, _unit, _action) in _COUNTERS.items():
    describe(f"{_PREFIX}{_name}_total", "counter", f"{_text}.", ["vertex"], _unit, _action)
for _name, (_text, _unit, _action) in _GAUGES.items():
    describe(f"{_PREFIX}{_name}", "gauge", f"{_text}.", ["vertex"], _unit, _action)


class PlaneCollector(Collector):
    """Reads :meth:`LocalPlane.status` whenever metrics are asked for; costs nothing otherwise."""

    def __init__(self, plane: LocalPlane) -> None:
        """To be registered (and unregistered) by whoever owns the registry."""
        self._plane = plane

    def collect(self) -> Iterator[Metric]:
        """One family a counter, one sample a vertex."""
        status = self._plane.status()
        families: list[CounterMetricFamily | GaugeMetricFamily] = []
        for name, (text, *_) in _COUNTERS.items():
            families.append(CounterMetricFamily(f"{_PREFIX}{name}", text, labels=["vertex"]))
        for name, (text, *_) in _GAUGES.items():
            families.append(GaugeMetricFamily(f"{_PREFIX}{name}", text, labels=["vertex"]))
        for family, name in zip(families, (*_COUNTERS, *_GAUGES), strict=True):
            for vertex, values in status.items():
                family.add_metric([vertex], float(getattr(values, name)))
            yield family
