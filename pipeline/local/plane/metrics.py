"""The plane's counters for Prometheus: ``blockline_plane_*``, by vertex."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.local.plane.plane import LocalPlane

_COUNTERS: Final = {
    "processed": "Messages that a vertex has dealt with",
    "retries": "Messages that were sent to a server again",
    "fallbacks": "Messages that a sink gave to its fallback",
    "dropped": "Messages that a handler dropped on purpose",
    "unrouted": "Messages whose tags no edge takes",
    "discarded": "Messages for a full edge that discards",
    "let_go": "Messages in the buffer of such an edge for which their source doesn't wait any more",
    "duplicates": "Offsets that a source gave again",
    "restarts": "Deaths of a vertex's server",
    "blocks": "Times that a vertex held up its loop for more than a second",
}
_GAUGES: Final = {
    "is_up": "Whether the vertex's server listens",
    "buffered": "Messages waiting for a vertex",
    "in_flight": "Messages in work",
}


class PlaneCollector(Collector):
    """Reads :meth:`LocalPlane.status` whenever metrics are asked for; costs nothing otherwise."""

    def __init__(self, plane: LocalPlane) -> None:
        """To be registered (and unregistered) by whoever owns the registry."""
        self._plane = plane

    def collect(self) -> Iterator[Metric]:
        """One family a counter, one sample a vertex."""
        status = self._plane.status()
        families: list[CounterMetricFamily | GaugeMetricFamily] = []
        for name, text in _COUNTERS.items():
            families.append(CounterMetricFamily(f"blockline_plane_{name}", text, labels=["vertex"]))
        for name, text in _GAUGES.items():
            families.append(GaugeMetricFamily(f"blockline_plane_{name}", text, labels=["vertex"]))
        for family, name in zip(families, (*_COUNTERS, *_GAUGES), strict=True):
            for vertex, values in status.items():
                family.add_metric([vertex], float(getattr(values, name)))
            yield family
