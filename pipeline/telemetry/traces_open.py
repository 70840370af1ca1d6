"""The traces that the settings ask for; without a collector, none, and nothing of OpenTelemetry is imported."""

import atexit
import ssl
from dataclasses import dataclass

from pipeline.core.clock import Clock
from pipeline.process.settings import SettingError, TraceSettings, otlp_headers, otlp_url, variable_of
from pipeline.telemetry.traces import Traces
from pipeline.telemetry.traces_hops import ApiTraces, OrchestratorTraces, RunnerTraces, SourceTraces
from pipeline.telemetry.traces_queue import Sender, SpanQueue
from pipeline.telemetry.traces_run import SinkTraces


@dataclass(frozen=True, slots=True)
class Tracing:
    """What the parts of a process tell spans to; ``None`` each where there is no tracing."""

    clock: Clock
    traces: Traces | None = None
    queue: SpanQueue | None = None

    def source(self, vertex: str) -> SourceTraces | None:
        """For a source."""
        return None if self.traces is None else SourceTraces(self.traces, self.clock, vertex)

    def orchestrator(self, vertex: str) -> OrchestratorTraces | None:
        """For the orchestrator."""
        return None if self.traces is None else OrchestratorTraces(self.traces, self.clock, vertex)

    def runner(self, vertex: str) -> RunnerTraces | None:
        """For a runner."""
        return None if self.traces is None else RunnerTraces(self.traces, vertex)

    def sink(self, vertex: str) -> SinkTraces | None:
        """For a sink; one each."""
        return None if self.traces is None else SinkTraces(self.traces, self.clock, vertex)

    def api(self) -> ApiTraces | None:
        """For the API."""
        return None if self.traces is None else ApiTraces(self.traces, self.clock)

    def stop(self) -> None:
        """Send what waits, for a bounded time; may be called twice."""
        if self.queue is not None:
            self.queue.stop()


def open_tracing(settings: TraceSettings, clock: Clock, service: str) -> Tracing:
    """``service`` is the name that this process' spans stand under. Ends with the process.

    Raises:
        SettingError: a setting can't be; the sentence repeats no secret.
    """
    if not settings.otlp_endpoint:
        return Tracing(clock)
    url, headers, trusted = otlp_url(settings), otlp_headers(settings), ssl.create_default_context()
    if settings.otlp_authorities:
        try:
            trusted.load_verify_locations(settings.otlp_authorities)
        except (OSError, ssl.SSLError):
            raise SettingError(f"{variable_of('otlp_authorities')} names no file that can be read as PEM.") from None

    def open_sender() -> Sender:
        from pipeline.telemetry.traces_otlp import OtlpSender  # noqa: PLC0415  (whoever doesn't trace doesn't import it)

        return OtlpSender(url, headers, trusted=trusted, service=service)

    queue = SpanQueue(open_sender, clock)
    queue.start()
    atexit.register(queue.stop)
    return Tracing(clock, Traces(queue, settings.trace_percent), queue)
