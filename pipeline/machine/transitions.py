"""Everything that changes the status of a task or a run goes through this module.

A table says which status may follow which; a step outside the table is a mistake of the engine and an assertion.
``Draft`` is a run while one transition is made: the only mutable thing in the machine, never seen outside it.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from pipeline.core.errors import ErrorName
from pipeline.core.limits import DISPATCH_LEASE_MAX_MS
from pipeline.core.statuses import TERMINAL, ItemStatus, RunPhase, RunStatus, TaskStatus
from pipeline.machine.approvals.question import closing_items
from pipeline.machine.effects import Effect
from pipeline.machine.outputs import LOST, OutputsNeededError, lost_output, moved, stored_among
from pipeline.machine.run import Run, TaskError, TaskState, cut
from pipeline.machine.scope import scope_of_tasks, task_scope
from pipeline.machine.wake_up import wake_up

S = TaskStatus
_ENDS: Final = frozenset({S.SUCCESS, S.FAILURE, S.TIMED_OUT, S.EXPIRED, S.SKIPPED, S.CANCELLED})
_ACTIVE: Final = frozenset({S.RUNNING, S.WAITING, S.RETRYING, S.INCIDENT})

NEXT: Final[Mapping[TaskStatus, frozenset[TaskStatus]]] = {
    # SUCCESS, FAILURE and WAITING without running: the tasks of control, and a `when` that can't be evaluated.
    S.PENDING: frozenset({S.RUNNING, S.WAITING, S.SUCCESS, S.FAILURE, S.SKIPPED, S.OMITTED, S.CANCELLED}),
    # RUNNING again: dispatched again, after its lease.
    S.RUNNING: _ENDS | _ACTIVE,
    # WAITING again: of a later attempt.
    S.WAITING: _ENDS | _ACTIVE,
    # RETRYING again: a later attempt failed too.
    S.RETRYING: _ENDS | _ACTIVE,
    # RUNNING without a retry: a question that is escalated. WAITING: as before it. The ends: people's decisions, a
    # success that came late.
    S.INCIDENT: _ENDS | {S.RUNNING, S.RETRYING, S.WAITING},
} | dict.fromkeys(TERMINAL, frozenset())
"""The statuses that may follow each status within a round; SKIPPED of one that has begun is a person's doing."""


def lease_of(first_ms: int, dispatches: int) -> int:
    """The lease of the n-th dispatch of an attempt: doubled each time, up to ten minutes."""
    ceiling = max(first_ms, DISPATCH_LEASE_MAX_MS)
    return min(first_ms << min(dispatches - 1, DISPATCH_LEASE_MAX_MS.bit_length()), ceiling)


class Draft:
    """A run in the making: reads see what was changed so far."""

    def __init__(
        self,
        base: Run,
        now_ms: int,
        *,
        outputs: Mapping[str, Any] | None = None,
        oversized: frozenset[str] = frozenset(),
        is_tight: bool = False,
    ) -> None:
        """``outputs`` are those at hand of the outputs that are entities, by task. What an earlier try has shown:
        ``oversized`` tasks, whose state the document has no room for, and ``is_tight``: no room for late results and
        refusals either.
        """
        self.base = base
        self.now_ms = now_ms
        self.oversized = oversized
        self.is_tight = is_tight
        self.request = base.request
        self.spec = base.spec
        self.revision = base.revision + 1
        self.tasks: dict[str, TaskState] = dict(base.tasks)
        self.status = base.status
        self.outcome = base.outcome
        self.error = base.error
        self.paused = base.paused
        self.actions = base.actions
        self.ended_by = base.ended_by
        self.refusals = base.refusals
        self.effects: list[Effect] = []
        self.outputs: Mapping[str, Any] = outputs or {}
        self.arrived: dict[str, int] = {}
        """Bytes of outputs that were added, by task."""
        self.grown: dict[str, int] = {}
        """Bytes of state that were added, by task."""
        self.has_remarks = False
        """Whether late results or refusals were added."""
        self.just_ended: deque[str] = deque()
        """Tasks whose followers haven't been looked at yet."""
        self.is_changed = False
        self.is_ticked = False
        self.is_resumed = False
        """Whether tasks that were held up haven't been looked at yet."""
        self._living = sum(not state.is_over for state in self.tasks.values())
        self._scope: dict[str, Any] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.status is not RunStatus.PENDING

    @property
    def has_living(self) -> bool:
        """Whether some task hasn't ended."""
        return self._living > 0

    @property
    def has_begun(self) -> bool:
        """Whether some task is under way."""
        return any(not state.is_over and state.status is not TaskStatus.PENDING for state in self.tasks.values())

    def status_of(self, name: str) -> TaskStatus | None:
        """A task's status; ``None`` for a task that the spec doesn't have."""
        state = self.tasks.get(name)
        return None if state is None else state.status

    def error_of(self, name: str) -> str | None:
        """The name of a task's error."""
        state = self.tasks.get(name)
        return None if state is None or state.error is None else state.error.name

    def case_of(self, name: str) -> str | None:
        """The case that a SWITCH took."""
        state = self.tasks.get(name)
        return None if state is None else state.case

    def scope(self, read: Collection[str] | None) -> Mapping[str, Any]:
        """What expressions see now; built when first asked for, then kept up to date. ``read`` are the tasks whose
        members the expression may read, ``None`` any.

        Raises:
            OutputsNeededError: it reads outputs that aren't at hand.
            LostOutputError: it reads one that isn't there any more.
        """
        needed = stored_among(read, self.tasks)
        if missing := needed - self.outputs.keys():
            raise OutputsNeededError(missing)
        for name in sorted(needed):
            if self.outputs[name] is LOST:
                raise lost_output(name)
        if self._scope is None:
            self._scope = scope_of_tasks(self.request, self.tasks, self.now_ms, self.outputs)
        return self._scope

    def move_outputs(self, names: Collection[str]) -> None:
        """Out of the document, each as an entity to be written; no error where a task has none in it."""
        for name in self.tasks:
            if name in names and self.tasks[name].output is not None:
                self.tasks[name], kept = moved(self.tasks[name], self.base.guid, name)
                self.is_changed = True
                self.emit(kept)

    def emit(self, *effects: Effect) -> None:
        """To be written with the run."""
        self.effects.extend(effects)

    def note(self, name: str, **changes: Any) -> None:
        """Change what isn't the status."""
        assert "status" not in changes, "a status changes by move() alone"  # noqa: S101  (for the impossible)
        self.tasks[name] = replace(self.tasks[name], **changes)
        self.is_changed = True

    def move(self, name: str, status: TaskStatus, **changes: Any) -> None:
        """Give a task its next status."""
        state = self.tasks[name]
        assert status in NEXT[state.status], f"{state.status} can't become {status}"  # noqa: S101  (for the impossible)
        self.tasks[name] = replace(state, status=status, updated_at=self.now_ms, **{"waited": None, **changes})
        self.is_changed = True
        if self._scope is not None:
            self._scope["tasks"][name] = task_scope(self.tasks[name], self.outputs.get(name))

    def dispatch(self, name: str, *, attempt: int, step: int, cause: str | None, dispatches: int = 1) -> None:
        """RUNNING, to be sent to its runner when the store tells of this revision.

        Nothing is dispatched while the run is paused: what was due stays so.
        """
        state = self.tasks[name]
        if self.paused is not None:
            if state.status is TaskStatus.WAITING and (state.continue_at is None or state.cause != cause):
                self.note(name, continue_at=self.now_ms, cause=cause)
            return
        lease_ms = lease_of(self.request.lease_ms(self.spec.tasks[name]), dispatches)
        is_first = state.first_dispatched_at is None
        self.move(
            name,
            TaskStatus.RUNNING,
            attempt=attempt,
            step=step,
            cause=cause,
            dispatched_revision=self.revision,
            dispatched_at=self.now_ms,
            dispatches=dispatches,
            lease_until=self.now_ms + lease_ms,
            first_dispatched_at=self.now_ms if is_first else state.first_dispatched_at,
            started_at=self.now_ms if state.started_at is None else state.started_at,
            due_at=None,
            continue_at=None,
        )

    def end(self, name: str, status: TaskStatus, *, error: TaskError | None = None, output: Any = None) -> None:
        """A terminal status; the questions that are still open are closed with it."""
        state = self.tasks[name]
        item_status = ItemStatus.EXPIRED if status is TaskStatus.EXPIRED else ItemStatus.CLOSED
        self.emit(*closing_items(name, state.approval, item_status))
        self.move(
            name,
            status,
            error=error,
            output=output,
            ended_at=self.now_ms,
            lease_until=None,
            due_at=None,
            continue_at=None,
            cause=None,
            state=None,
            retries=(),
        )
        self._living -= 1
        self.just_ended.append(name)

    def fail(self, name: str, error_name: ErrorName | str, message: str) -> None:
        """A task failed, no retrier asked."""
        self.give_up(name, TaskStatus.FAILURE, TaskError(str(error_name), cut(message)))

    def give_up(self, name: str, status: TaskStatus, error: TaskError) -> None:
        """End a task that failed, or keep it for a person to resolve where its author asked for that.

        An incident stays one, with its latest error. What was never sent to a runner couldn't be tried again. A
        question that is open stays open: its recipients can still decide it.
        """
        state = self.tasks[name]
        if state.status is TaskStatus.INCIDENT:
            if state.error != error:
                self.note(name, error=error)
            return
        is_sent = state.dispatches > 0
        if is_sent and self.spec.tasks[name].on_exhausted == "INCIDENT":
            waited = True if state.status is TaskStatus.WAITING else None
            left = {"lease_until": None, "due_at": None, "continue_at": state.continue_at if waited else None}
            self.move(name, TaskStatus.INCIDENT, error=error, waited=waited, **left)
        else:
            self.end(name, status, error=error)

    def cancel_living(self, message: str) -> None:
        """CANCELLED for every task that hasn't ended; nothing follows from it."""
        error = TaskError(ErrorName.TASK_CANCELLED.value, cut(message))
        for name, state in tuple(self.tasks.items()):
            if not state.is_over:
                self.end(name, TaskStatus.CANCELLED, error=error)
        self.just_ended.clear()

    def end_run(self, status: RunStatus, *, outcome: str | None = None, error: TaskError | None = None) -> None:
        """The run's own end; all tasks have ended before."""
        assert not self.is_over, f"a run that ended {self.status} can't end {status}"  # noqa: S101  (impossible)
        assert not self.has_living, "a run ends after its tasks"  # noqa: S101  (impossible)
        self.status = status
        self.outcome = outcome
        self.error = error
        self.paused = None
        self.is_changed = True

    def finished(self) -> Run:
        """The run of this draft: the base itself where nothing changed, else its next revision."""
        if self.is_ticked and not self.is_over and self.base.wake_at <= self.now_ms:
            self.is_changed = True  # a tick always moves the wake-up, or the timer would find the run for ever
        if not self.is_changed:
            return self.base
        ended_now = self.is_over and self.base.ended_at is None
        return replace(
            self.base,
            tasks=self.tasks,
            revision=self.revision,
            status=self.status,
            phase=self._phase(),
            outcome=self.outcome,
            error=self.error,
            updated_at=self.now_ms,
            ended_at=self.now_ms if ended_now else self.base.ended_at,
            wake_at=self._wake_at(),
            paused=self.paused,
            actions=self.actions,
            ended_by=self.ended_by,
            refusals=self.refusals,
            size=None,
        )

    def _wake_at(self) -> int:
        if self.is_over:
            return 0
        return wake_up(self.spec, {} if self.paused else self.tasks, self.now_ms)

    def _phase(self) -> RunPhase:
        if self.is_over:
            return RunPhase.ENDED
        if self.paused is not None:
            return RunPhase.PAUSED
        for state in self.tasks.values():
            # A question that is open waits for a person, whatever its block does meanwhile (telling them).
            if state.status in {TaskStatus.RUNNING, TaskStatus.RETRYING} and state.approval is None:
                return RunPhase.RUNNING
        return RunPhase.WAITING
