"""The numbers of ``blockline up --isolated``: its own, and those that its vertices' processes tell, in one text."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import httpx
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from pipeline.local.ports import LOOPBACK
from pipeline.process.metrics import gauge

ANSWERS_WITHIN_S: Final = 2.0
"""A process that is busy for longer is left out of this answer."""
_ANSWERS: Final = gauge(
    "blockline_process_answers",
    "With `--isolated`, whether a vertex' process told its numbers when it was asked, 1 or 0.",
    ["process"],
    unit="",
    action="0: it starts, hangs or has died (`blockline_plane_is_up`), or its port was taken, which the log says.",
)


class Gathered:
    """Asks each process when it is asked itself. Belongs to one event loop; may be called any number of times."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        """``ports`` of this machine by the processes' names: vertices, and sinks' fallbacks."""
        self._ports = ports

    async def render(self) -> bytes:
        """The text for Prometheus. What a process tells has its name as the label ``process``; one that doesn't answer
        is left out.
        """
        async with httpx.AsyncClient(timeout=ANSWERS_WITHIN_S, trust_env=False) as client:
            told = await asyncio.gather(*(self._told(client, name, port) for name, port in self._ports.items()))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Together([list(REGISTRY.collect()), *told]))
        return generate_latest(registry)

    async def _told(self, client: httpx.AsyncClient, name: str, port: int) -> list[Metric]:
        try:
            answer = (await client.get(f"http://{LOOPBACK}:{port}/metrics")).raise_for_status()
            families = list(text_string_to_metric_families(answer.text))
        except (httpx.HTTPError, ValueError):  # ValueError: another program that has the port now
            families = []
        _ANSWERS.labels(name).set(bool(families))
        for family in families:
            family.samples = [sample._replace(labels={**sample.labels, "process": name}) for sample in family.samples]
        return families


@dataclass(frozen=True, slots=True, eq=False)  # a registry keeps it by its identity
class _Together(Collector):
    """Each family once, with the samples of all that have it."""

    told: list[list[Metric]]

    def collect(self) -> Iterator[Metric]:
        """By the first that tells of a family, in that order."""
        families: dict[str, Metric] = {}
        for metric in (metric for each in self.told for metric in each):
            if metric.name not in families:
                families[metric.name] = Metric(metric.name, metric.documentation, metric.type)
            families[metric.name].samples += metric.samples
        yield from families.values()
