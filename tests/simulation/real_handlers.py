"""The product's own handlers, put into simulated worlds."""

from collections.abc import Collection, Sequence
from typing import Final

from pipeline.core.clock import Clock
from pipeline.machine.opened import OpenedRuns
from pipeline.machine.run import Run
from pipeline.messages.seal import Seal
from pipeline.spec.expressions import Evaluator
from pipeline.store.port import EntityStore
from pipeline.testing.handlers import Orchestrator, Sink, SinkAnswer, SinkPorts, Timer
from sinks.atlas.admission import Admission
from sinks.atlas.answers import Fallback, Ok, Shard
from sinks.atlas.handler import AtlasSinkHandler
from sinks.atlas.writing import Fate
from sources.timer.handler import TimerHandler
from udfs.orchestrator.handler import OrchestratorHandler

OPENED_CHARS_MAX: Final = 12_000


class QuietObserver:
    """Counts what a test may ask for."""

    def __init__(self) -> None:
        self.alerts: list[tuple[str, str, str]] = []
        self.writes = 0
        self.written = 0

    def inputs(self, count: int) -> None:
        pass

    def handled(self, seconds: float) -> None:
        pass

    def write_ended(self, fate: str, runs: int) -> None:
        self.writes += 1
        self.written += runs * (fate == Fate.WRITTEN)

    def run_written(self, run: Run, *, is_first: bool, is_last: bool) -> None:
        pass

    def letter(self, vertex: str, reason: str) -> None:
        pass

    def alert(self, kind: str, run_guid: str, detail: str) -> None:
        self.alerts.append((kind, run_guid, detail))


class SimulatedSink:
    """The real sink, its answers in the words of a world."""

    def __init__(self, handler: AtlasSinkHandler, observer: QuietObserver) -> None:
        self._handler = handler
        self._observer = observer

    async def handle(self, batch: Sequence[tuple[str, bytes]]) -> dict[str, SinkAnswer]:
        answers = await self._handler.handle(batch)
        failures = [alert for alert in self._observer.alerts if alert[0] in {"sink-failed", "machine-failed"}]
        if failures:
            raise AssertionError(failures[0])
        return {ident: _answer(answer) for ident, answer in answers.items()}


def _answer(answer: object) -> SinkAnswer:
    if isinstance(answer, Ok):
        return SinkAnswer.OK
    return SinkAnswer.FALLBACK if isinstance(answer, Fallback) else SinkAnswer.RETRY


class RealHandlers:
    """See :class:`pipeline.testing.handlers.Handlers`."""

    sink_type: type[AtlasSinkHandler] = AtlasSinkHandler
    opened_type: type[OpenedRuns] = OpenedRuns

    def __init__(self) -> None:
        self._opened: OpenedRuns | None = None

    def opened(self, seal: Seal, evaluator: Evaluator) -> OpenedRuns:
        """Shared, as in one process; so small that runs are opened from their texts as well."""
        if self._opened is None:
            self._opened = self.opened_type(seal, evaluator, chars_max=OPENED_CHARS_MAX)
        return self._opened

    def orchestrator(self, seal: Seal, evaluator: Evaluator, known_types: Collection[str], shards: int) -> Orchestrator:
        opened = self.opened(seal, evaluator)
        return OrchestratorHandler(seal, evaluator, known_types=known_types, shards=shards, opened=opened)

    def sink(self, ports: SinkPorts) -> Sink:
        observer = QuietObserver()
        handler = self.sink_type(
            ports.store,
            ports.seal,
            ports.evaluator,
            ports.lease,
            ports.clock,
            shard=Shard(ports.shard, ports.shards),
            admission=Admission(ports.store, ports.directory, ports.blocks),
            observer=observer,
            opened=self.opened(ports.seal, ports.evaluator),
        )
        return SimulatedSink(handler, observer)

    def timer(self, store: EntityStore, clock: Clock) -> Timer:
        return TimerHandler(store, clock)
