"""The spans of the hops that a run's messages take: sources, orchestrator, runners, API."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.core.clock import Clock
from pipeline.messages.envelopes import Dispatch, Event, Operation, Outcome, Replay, Result
from pipeline.telemetry.traces import Kind, Span, Traces, Value, caller_of, error_type, harmless, named, traceparent_of
from pipeline.telemetry.traces_ids import SpanRef, attempt_span, hop_span, inner_span, run_span, task_span, write_span


@dataclass(frozen=True, slots=True)
class SourceTraces:
    """Tells of what a source gave to the pipeline."""

    traces: Traces
    clock: Clock
    vertex: str

    @harmless
    def given(self, event: Event | Replay) -> None:
        """A change of the store, from its time until it was read; a tick, which has one moment."""
        if not isinstance(event, Event) or not event.run_guid or not self.traces.covers(event.run_guid):
            return
        is_tick = event.operation is Operation.TICK
        ended_at = event.at if is_tick else max(event.at, self.clock.now_ms())
        name = "tick" if is_tick else "event"
        self.traces.tell(
            Span(
                # What comes again after a restart was read again, at another time: that is another span.
                ref=hop_span(event.run_guid, name, event.entity, event.guid, event.operation, event.at, ended_at),
                parent=run_span(event.run_guid),
                name=name,
                started_at=event.at,
                ended_at=ended_at,
                attributes=_of_event(event, self.vertex),
                kind=Kind.PRODUCER,
            )
        )


@dataclass(frozen=True, slots=True)
class OrchestratorTraces:
    """Tells of what the orchestrator made of an event."""

    traces: Traces
    clock: Clock
    vertex: str

    @harmless
    def decided(self, event: Event, sent: int, began_at: int, revision_of: Callable[[Event], int | None]) -> None:
        """So many messages went out; ``revision_of`` says which state it read, if the event has one."""
        guid = event.run_guid
        if not guid or not self.traces.covers(guid):
            return
        revision = revision_of(event)
        self.traces.tell(
            Span(
                ref=hop_span(guid, "decide", event.entity, event.guid, event.operation, event.at, began_at),
                parent=write_span(guid, revision) if revision else run_span(guid),
                name="decide",
                started_at=began_at,
                ended_at=max(began_at, self.clock.now_ms()),
                attributes={
                    **_of_event(event, self.vertex),
                    "blockline.sent": sent,
                    **({} if revision is None else {"blockline.revision": revision}),
                },
                kind=Kind.CONSUMER,
            )
        )


@dataclass(frozen=True, slots=True)
class RunnerTraces:
    """Tells of a runner's attempts."""

    traces: Traces
    vertex: str

    def traceparent(self, dispatch: Dispatch, started_at: int) -> str | None:
        """The header for services that this attempt calls; None where its run isn't traced."""
        if not self.traces.covers(dispatch.run_guid):
            return None
        return traceparent_of(_attempt(dispatch, started_at))

    @harmless
    def ended(self, dispatch: Dispatch, result: Result) -> None:
        """The attempt has its result."""
        if not self.traces.covers(dispatch.run_guid):
            return
        is_error = result.outcome is Outcome.FAILED
        attributes: dict[str, Value] = {
            "blockline.hop": self.vertex,
            "blockline.run": dispatch.run_guid,
            "blockline.task": dispatch.task,
            "blockline.type": dispatch.type,
            "blockline.round": dispatch.round,
            "blockline.attempt": dispatch.attempt,
            "blockline.step": dispatch.step,
            "blockline.outcome": str(result.outcome),
            **error_type(result.error.name if result.error else None),
        }
        self.traces.tell(
            Span(
                ref=_attempt(dispatch, result.started_at),
                parent=task_span(dispatch.run_guid, dispatch.task, dispatch.round, dispatch.attempt, dispatch.step),
                name=named("attempt", dispatch.task),
                started_at=result.started_at,
                ended_at=max(result.started_at, result.ended_at),
                attributes=attributes,
                kind=Kind.CONSUMER,
                is_error=is_error,
            )
        )


@dataclass(frozen=True, slots=True)
class ApiTraces:
    """Tells of what people and clients asked of a run."""

    traces: Traces
    clock: Clock

    @harmless
    def asked(self, run_guid: str, action: str, began_at: int, *, key: str, header: str | None) -> None:
        """A start or a command was written. ``key`` tells it from others of its kind and stands nowhere, ``header`` is
        the caller's ``traceparent``: its trace gets a span that leads to the run's, and the other way round.
        """
        if not self.traces.covers(run_guid):
            return
        ended_at, caller = max(began_at, self.clock.now_ms()), caller_of(header)
        ref = hop_span(run_guid, "asked", action, key, began_at)
        theirs = None if caller is None else inner_span(caller, run_guid, action, key, began_at)
        self._tell(ref, run_span(run_guid), theirs, run_guid, action, (began_at, ended_at))
        if theirs is not None:
            self._tell(theirs, caller, ref, run_guid, action, (began_at, ended_at))

    def _tell(  # noqa: PLR0917  (twice the same, in two traces)
        self,
        ref: SpanRef,
        parent: SpanRef | None,
        link: SpanRef | None,
        run_guid: str,
        action: str,
        times: tuple[int, int],
    ) -> None:
        self.traces.tell(
            Span(
                ref=ref,
                parent=parent,
                name=action,
                started_at=times[0],
                ended_at=times[1],
                attributes={"blockline.hop": "api", "blockline.run": run_guid, "blockline.action": action},
                links=() if link is None else (link,),
                kind=Kind.SERVER,
            )
        )


def _attempt(dispatch: Dispatch, started_at: int) -> SpanRef:
    return attempt_span(dispatch.run_guid, dispatch.task, dispatch.round, dispatch.attempt, dispatch.step, started_at)


def _of_event(event: Event, vertex: str) -> dict[str, Value]:
    return {
        "blockline.hop": vertex,
        "blockline.run": event.run_guid,
        "blockline.entity": event.entity,
        "blockline.operation": str(event.operation),
    }
