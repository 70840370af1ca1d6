"""The spans of a run, by the one process that changes it: its sink, once a change is written.

All their times and names stand in the run's document, so what is written again gives the same spans again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.core.clock import Clock
from pipeline.core.limits import TRACE_LINKS_MAX
from pipeline.core.statuses import FAILED_ANY, RunStatus, TaskStatus
from pipeline.machine.run import Run, TaskState
from pipeline.telemetry.traces import Kind, Span, Traces, Value, error_type, harmless, named
from pipeline.telemetry.traces_ids import (
    SpanRef,
    batch_span,
    resumed_span,
    run_span,
    settled_span,
    task_span,
    write_span,
)

_FAILED = FAILED_ANY | {TaskStatus.RETRYING, TaskStatus.INCIDENT}
_FAILED_RUNS = frozenset({RunStatus.FAILURE, RunStatus.EXPIRED, RunStatus.TERMINATED})
_HELD_UP = frozenset({TaskStatus.WAITING, TaskStatus.RETRYING, TaskStatus.INCIDENT})


def spans_between(before: Run, after: Run) -> list[Span]:
    """The spans that a change has ended. A ``before`` of revision 0 was never written, so it is part of the change."""
    spans = [] if before.revision else list(_of_tasks(None, before))
    spans += _of_tasks(before, after)
    if after.is_over and (not before.is_over or not before.revision):
        spans.append(_of_run(after))
    return spans


def _of_run(run: Run) -> Span:
    workflow = run.request.workflow or {}
    version = workflow.get("version")
    attributes: dict[str, Value] = {
        "blockline.hop": "run",
        "blockline.run": run.guid,
        "blockline.status": str(run.status),
        "blockline.revision": run.revision,
        **({"blockline.workflow.version": version} if isinstance(version, int) else {}),
        **error_type(run.error.name if run.error else None),
    }
    return Span(
        ref=run_span(run.guid),
        parent=None,
        name="run",
        started_at=run.request.created_at,
        ended_at=run.ended_at or run.updated_at,
        attributes=attributes,
        is_error=run.status in _FAILED_RUNS,
    )


def _of_tasks(before: Run | None, after: Run) -> Iterator[Span]:
    for name, state in after.tasks.items():
        old = before.tasks.get(name) if before is not None else None
        if old is state:
            continue
        task = _Task(after, name, old, state)
        if old is not None and old.status is TaskStatus.RUNNING:
            yield from task.after_work(old)
        else:
            yield from task.after_rest()


@dataclass(frozen=True, slots=True)
class _Task:
    """One task that changed."""

    run: Run
    name: str
    old: TaskState | None
    new: TaskState

    def after_work(self, old: TaskState) -> Iterator[Span]:
        """Of a task that a runner had."""
        is_same = _key(old) == _key(self.new)
        if is_same and self.new.status is TaskStatus.RUNNING:
            return
        status = self.new.status
        if not is_same and not self.new.is_over:
            status = TaskStatus.WAITING if self.new.step > old.step else TaskStatus.RETRYING
        sent_by = old.dispatched_revision
        yield self._span(
            task_span(self.run.guid, self.name, *_key(old)),
            "task",
            old,
            status,
            started_at=old.dispatched_at or old.updated_at,
            links=(write_span(self.run.guid, sent_by),) if sent_by else (),
            more={"blockline.dispatches": old.dispatches} if old.dispatches > 1 else {},
            links_back=old.attempt > 1 or old.step > 0,
        )
        if not is_same and self.new.status is TaskStatus.RUNNING:
            yield self._resumed(old)

    def after_rest(self) -> Iterator[Span]:
        """Of a task that no runner had: it waited, or hadn't begun."""
        old, new = self.old, self.new
        if not new.attempt:
            return  # left out, or cancelled before it began: nothing happened
        has_rested = old is not None and old.status in _HELD_UP
        if new.is_over:
            yield self._settled(old if has_rested else None)
        elif new.status is TaskStatus.RUNNING and has_rested and old is not None and _key(old) != _key(new):
            yield self._resumed(old)
        elif new.status is TaskStatus.WAITING and not has_rested:
            yield self._span(task_span(self.run.guid, self.name, *_key(new)), "task", new, new.status)

    def _settled(self, old: TaskState | None) -> Span:
        """A new span for what ends a wait, with a link to what began it: one that is open for days helps nobody."""
        return self._span(
            settled_span(self.run.guid, self.name, *_key(self.new)),
            "settled",
            self.new,
            self.new.status,
            links=() if old is None else (task_span(self.run.guid, self.name, *_key(old)),),
            more={} if old is None else {"blockline.waited_ms": self.new.updated_at - old.updated_at},
        )

    def _resumed(self, old: TaskState) -> Span:
        return self._span(
            resumed_span(self.run.guid, self.name, *_key(self.new)),
            "resumed",
            self.new,
            self.new.status,
            links=(task_span(self.run.guid, self.name, *_key(old)),),
            more={"blockline.waited_ms": self.new.updated_at - old.updated_at} if old.status in _HELD_UP else {},
        )

    def _span(
        self,
        ref: SpanRef,
        what: str,
        of: TaskState,
        status: TaskStatus,
        *,
        started_at: int | None = None,
        links: tuple[SpanRef, ...] = (),
        more: dict[str, Value] | None = None,
        links_back: bool = False,
    ) -> Span:
        guid, ended_at = self.run.guid, self.new.updated_at
        if links_back:
            links = (*links, resumed_span(guid, self.name, *_key(of)))
        is_error = status in _FAILED
        return Span(
            ref=ref,
            parent=run_span(guid),
            name=named(what, self.name),
            started_at=ended_at if started_at is None else min(started_at, ended_at),
            ended_at=ended_at,
            attributes={
                "blockline.hop": "machine",
                "blockline.run": guid,
                "blockline.task": self.name,
                "blockline.type": self.run.spec.tasks[self.name].type,
                "blockline.round": of.round,
                "blockline.attempt": of.attempt,
                "blockline.step": of.step,
                "blockline.status": str(status),
                **(more or {}),
                **(error_type(self.new.error.name) if is_error and self.new.error else {}),
            },
            links=links,
            is_error=is_error,
        )


def _key(state: TaskState) -> tuple[int, int, int]:
    return (state.round, state.attempt, state.step)


@dataclass(slots=True)
class SinkTraces:
    """Tells of what a sink has written; one batch at a time."""

    traces: Traces
    clock: Clock
    vertex: str
    _written: list[tuple[Run, Run]] = field(default_factory=list)

    @harmless
    def written(self, before: Run, after: Run) -> None:
        """A run's new state is in the store."""
        if self.traces.covers(after.guid):
            self._written.append((before, after))

    @harmless
    def batch_ended(self, messages: int, began_at: int) -> None:
        """A batch of so many messages is done."""
        written, self._written = self._written, []
        if not written:
            return
        ended_at = self.clock.now_ms()
        refs = [write_span(after.guid, after.revision) for _, after in written]
        batch = batch_span(self.vertex, began_at, refs[0])
        self.traces.tell(
            Span(
                ref=batch,
                parent=None,
                name="batch",
                started_at=began_at,
                ended_at=ended_at,
                attributes={
                    "blockline.hop": self.vertex,
                    "blockline.messages": messages,
                    "blockline.runs": len(written),
                },
                links=tuple(refs[:TRACE_LINKS_MAX]),
                kind=Kind.CONSUMER,
            )
        )
        for (before, after), ref in zip(written, refs, strict=True):
            spans = spans_between(before, after)
            if after.revision != before.revision:
                self.traces.tell(self._write(after, ref, batch, spans, (began_at, ended_at)))
            for span in spans:
                self.traces.tell(span)

    def _write(self, run: Run, ref: SpanRef, batch: SpanRef, spans: list[Span], times: tuple[int, int]) -> Span:
        recorded = [span.ref for span in spans if span.parent is not None]
        return Span(
            ref=ref,
            parent=run_span(run.guid),
            name="write",
            started_at=times[0],
            ended_at=times[1],
            attributes={
                "blockline.hop": self.vertex,
                "blockline.run": run.guid,
                "blockline.revision": run.revision,
                "blockline.status": str(run.status),
            },
            links=(batch, *recorded[: TRACE_LINKS_MAX - 1]),
            kind=Kind.CONSUMER,
        )
