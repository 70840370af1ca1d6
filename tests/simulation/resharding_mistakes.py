"""Mistakes in what a sink does with runs of another one (rule 4, ADR 27)."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline.testing.resharding import ReshardingWorld
from sinks.atlas.handler import AtlasSinkHandler, Group
from tests.simulation.real_handlers import RealHandlers


class LettersForStrays(AtlasSinkHandler):
    """A result of another sink's run is refused for good."""

    def _group(self, batch: Sequence[tuple[str, bytes]], answers: dict[str, Any], strays: list[Any]) -> dict[str, Any]:
        mine: list[Any] = []
        groups = super()._group(batch, answers, mine)
        answers.update({ident: self._fallback(payload, "not mine", None) for ident, payload, _ in mine})
        return groups


class JudgesStrays(AtlasSinkHandler):
    """Whatever comes is judged, whoever owns it."""

    def _group(self, batch: Sequence[tuple[str, bytes]], answers: dict[str, Any], strays: list[Any]) -> dict[str, Any]:
        mine: list[Any] = []
        groups = super()._group(batch, answers, mine)
        for stray in mine:
            groups.setdefault(stray[2].run_guid, Group()).given.append(stray)
        return groups


def _resharded(sink: type[AtlasSinkHandler]) -> Callable[[int], ReshardingWorld]:
    handlers = RealHandlers()
    handlers.sink_type = sink
    return lambda seed: ReshardingWorld(seed, handlers)


RESHARDED: dict[str, Callable[[int], ReshardingWorld]] = {
    "4 a result of another sink's run is refused": _resharded(LettersForStrays),
    "4 a sink judges runs it doesn't own": _resharded(JudgesStrays),
}
