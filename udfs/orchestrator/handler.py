"""Reads what an event says and sends it on: tasks to their runners, everything else to the run's shard.

Holds no state and asks nobody: what it returns is a function of the event, the installed types and the time (which
only drops what is past its ``valid_until``), so a repeated event gives the same messages again.
"""

from collections.abc import Collection
from typing import Any, Final

from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.core.ids import shard_of
from pipeline.core.limits import ERROR_MESSAGE_CHARS_MAX, RESULT_BYTES_MAX
from pipeline.core.statuses import TaskStatus
from pipeline.machine.dispatches import dispatches
from pipeline.machine.opened import OpenedRuns
from pipeline.machine.run import Run
from pipeline.messages.canonical import MalformedError
from pipeline.messages.envelopes import (
    CommandInput,
    Dispatch,
    ErrorInfo,
    Event,
    Look,
    Message,
    Operation,
    Outcome,
    Replay,
    Replayed,
    Result,
    Tick,
    parse_dead_letter,
    parse_event,
    parse_replay,
)
from pipeline.messages.seal import Seal, Sealed, TamperedError, is_signed
from pipeline.messages.tagged import DEAD_TAG, Tagged, dead_letter, shard_tag, type_tag
from pipeline.spec.expressions import Evaluator
from pipeline.telemetry.traces_hops import OrchestratorTraces
from udfs.orchestrator.replay import NOTHING_FOLLOWS, bytes_of, original

VERTEX: Final = "orchestrator"


class OrchestratorHandler:
    """Event in, tagged messages out; may be called concurrently and again for the same event."""

    def __init__(
        self,
        seal: Seal,
        evaluator: Evaluator,
        *,
        known_types: Collection[str],
        shards: int,
        opened: OpenedRuns | None = None,
        traces: OrchestratorTraces | None = None,
    ) -> None:
        """``known_types`` have a vertex: a tag that matches no edge would vanish without a sound. ``opened`` is what
        other parts of this process have opened already; ``traces`` are there where there is tracing.
        """
        self._seal = seal
        self._evaluator = evaluator
        self._opened = opened or OpenedRuns(seal, evaluator)
        self._known_types = frozenset(known_types)
        self._shards = shards
        self._traces = traces

    def handle(self, payload: bytes, now_ms: int) -> list[Tagged]:
        """What follows from one event; a message nobody can act on becomes a dead letter. Never raises."""
        try:
            event = parse_event(payload)
        except MalformedError as error:
            return self._no_event(payload, str(error), now_ms)
        sent = self._follow(event, payload, now_ms)
        if self._traces is not None:
            self._traces.decided(event, len(sent), now_ms, self._revision)
        return sent

    def _revision(self, event: Event) -> int | None:
        """Of the document that the event carries; None where there is none, or it doesn't verify."""
        try:
            return None if event.document is None else self._opened.document(event.run_guid, event.document).revision
        except BlocklineError:
            return None

    def _no_event(self, payload: bytes, reason: str, now_ms: int) -> list[Tagged]:
        if _is_dead_letter(payload):
            return [Tagged(payload, DEAD_TAG)]
        try:
            replay = parse_replay(payload)
        except MalformedError:
            return [self._dead(payload, reason, None, now_ms)]
        return self._again(replay, now_ms)

    def _follow(self, event: Event, payload: bytes, now_ms: int) -> list[Tagged]:
        try:
            return self._route(event, now_ms)
        except BlocklineError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001  (no message may stop the vertex; the letter keeps the message)
            reason = f"the orchestrator failed on this event ({type(error).__name__})"
        return [
            self._dead(payload, reason, event.run_guid or None, now_ms),
            *self._engine_failures(event, reason),
        ]

    def _again(self, replay: Replay, now_ms: int) -> list[Tagged]:
        """What follows from a letter's bytes, and last, what is to be said of it; repeated like everything else."""
        try:
            payload = bytes_of(replay, self._seal)
        except MalformedError as error:
            return [_replayed(replay, str(error), now_ms, is_refused=True)]
        try:
            sent = self._sent_again(payload, now_ms)
        except Exception as error:  # noqa: BLE001  (as for any message)
            reason = str(error) if isinstance(error, BlocklineError) else f"it failed again ({type(error).__name__})"
            letter = self._refused_again(replay, payload, reason, now_ms)
            return [letter, _replayed(replay, reason, now_ms, is_refused=True)]
        where = ", ".join(sorted({_place(tagged) for tagged in sent}))
        return [*sent, _replayed(replay, f"Sent to {where}." if sent else NOTHING_FOLLOWS, now_ms)]

    def _sent_again(self, payload: bytes, now_ms: int) -> list[Tagged]:
        match message := original(payload):
            case None:
                return []
            case Event():
                return self._follow(message, payload, now_ms)
            case Dispatch() if message.valid_until < now_ms:
                # Its runner would drop it; its run has dispatched it anew since, or is over.
                return [self._look(message.run_guid, "event")]
            case Dispatch():
                return [self._to_runner(message)]
            case _:
                return [self._to_shard(message)]

    def _refused_again(self, replay: Replay, payload: bytes, reason: str, now_ms: int) -> Tagged:
        """Under the letter's own name, since it has the same bytes and offset."""
        letter: Message = dead_letter(
            payload,
            reason=reason,
            vertex=replay.vertex or VERTEX,
            at=now_ms,
            run_guid=replay.run_guid,
            source_offset=replay.source_offset,
        )
        return Tagged(letter.encode(), DEAD_TAG)

    def _route(self, event: Event, now_ms: int) -> list[Tagged]:
        if not event.run_guid:
            return []  # an item changed by a partial update doesn't say whose it is: the timer finds it
        if event.operation is Operation.TICK:
            return [self._to_shard(Tick(run_guid=event.run_guid, at=event.at))]
        if event.entity == "command":
            return self._command(event)
        if event.entity == "item":
            return [] if event.operation is Operation.CREATE else [self._look(event.run_guid, "item")]
        return self._run(event, now_ms)

    def _command(self, event: Event) -> list[Tagged]:
        if event.command is None or event.qualified_name is None:
            return []  # the shard's own verdict, or nothing anybody asked for
        asked = CommandInput(
            run_guid=event.run_guid,
            command_guid=event.guid,
            qualified_name=event.qualified_name,
            command=event.command,
        )
        return [self._to_shard(asked)]

    def _run(self, event: Event, now_ms: int) -> list[Tagged]:
        if event.operation is Operation.DELETE:
            return [self._look(event.run_guid, "event")]
        try:
            if event.document is not None:
                return self._go_on(event.document, event.run_guid, now_ms)
            if event.operation is Operation.CREATE and event.qualified_name is not None:
                return self._begin(event, event.qualified_name, now_ms)
        except TamperedError:
            return [self._look(event.run_guid, "tampered")]
        return [self._look(event.run_guid, "event")]

    def _go_on(self, document: str, run_guid: str, now_ms: int) -> list[Tagged]:
        return self._send(self._dispatches(self._opened.document(run_guid, document)), now_ms)

    def _begin(self, event: Event, qualified_name: str, now_ms: int) -> list[Tagged]:
        if event.request is None:
            return [self._look(event.run_guid, "admit")]
        try:
            run = self._opened.started(qualified_name, event.run_guid, event.request).run
        except TamperedError:
            if is_signed(event.request):
                raise
            return [self._look(event.run_guid, "admit")]
        messages = self._dispatches(run)
        return self._send(messages, now_ms) if messages else [self._look(event.run_guid, "start")]

    def _dispatches(self, run: Run) -> list[Dispatch | Result]:
        return dispatches(run, evaluator=self._evaluator, shards=self._shards)

    def _send(self, messages: list[Dispatch | Result], now_ms: int) -> list[Tagged]:
        sent: list[Tagged] = []
        for message in messages:
            if isinstance(message, Result):
                sent.append(self._to_shard(message))
            elif message.valid_until >= now_ms:
                sent.append(self._to_runner(message))
        return sent

    def _to_runner(self, message: Dispatch) -> Tagged:
        if message.type not in self._known_types:
            return self._failed(message, ErrorName.ENGINE_NO_RUNNER, f"No runner for {message.type} is installed.")
        payload = message.encode()
        if len(payload) > RESULT_BYTES_MAX:
            detail = f"The task's arguments take {len(payload)} bytes; {RESULT_BYTES_MAX} fit in a message."
            return self._failed(message, ErrorName.ENGINE_TOO_LARGE, detail)
        return Tagged(payload, type_tag(message.type))

    def _failed(self, message: Dispatch, name: ErrorName, detail: str) -> Tagged:
        return self._to_shard(
            Result(
                run_guid=message.run_guid,
                task=message.task,
                round=message.round,
                attempt=message.attempt,
                step=message.step,
                outcome=Outcome.FAILED,
                error=ErrorInfo(name=name, message=detail),
                started_at=message.dispatched_at,
                ended_at=message.dispatched_at,
            )
        )

    def _engine_failures(self, event: Event, reason: str) -> list[Tagged]:
        """Failures of the tasks that a document can't be dispatched for, so that its run says so and ends."""
        if event.entity != "run" or event.document is None:
            return []
        try:
            body = self._seal.open(Sealed.DOCUMENT, event.run_guid, event.document)
            return [self._to_shard(result) for result in _stuck(body, event.run_guid, reason)]
        except (TamperedError, KeyError, TypeError, ValueError):
            return []  # the dead letter is all there is to say about it

    def _look(self, run_guid: str, reason: Any) -> Tagged:
        return self._to_shard(Look(run_guid=run_guid, reason=reason))

    def _to_shard(self, message: Result | Look | Tick | CommandInput) -> Tagged:
        return Tagged(message.encode(), shard_tag(shard_of(message.run_guid, self._shards)))

    def _dead(self, payload: bytes, reason: str, run_guid: str | None, now_ms: int) -> Tagged:
        letter: Message = dead_letter(payload, reason=reason, vertex=VERTEX, at=now_ms, run_guid=run_guid)
        return Tagged(letter.encode(), DEAD_TAG)


def _replayed(replay: Replay, note: str, now_ms: int, *, is_refused: bool = False) -> Tagged:
    told = Replayed(
        letter=replay.letter,
        asked_at=replay.asked_at,
        is_refused=is_refused,
        note=note[:ERROR_MESSAGE_CHARS_MAX],
        at=now_ms,
    )
    return Tagged(told.encode(), DEAD_TAG)


def _place(tagged: Tagged) -> str:
    """For people: which vertex a message went to."""
    return "the dead letters" if tagged.tag == DEAD_TAG else tagged.tag


def _is_dead_letter(payload: bytes) -> bool:
    """A source has no tags: what it refuses comes here as a dead letter already, and goes on as it is."""
    try:
        parse_dead_letter(payload)
    except MalformedError:
        return False
    return True


def _stuck(body: dict[str, Any], run_guid: str, reason: str) -> list[Result]:
    revision = body["engine"]["revision"]
    return [
        Result(
            run_guid=run_guid,
            task=task["name"],
            round=task["round"],
            attempt=task["attempt"],
            step=task["engine"]["step"],
            outcome=Outcome.FAILED,
            error=ErrorInfo(name=ErrorName.ENGINE_INTERNAL, message=reason),
            started_at=task["engine"]["dispatched_at"],
            ended_at=task["engine"]["dispatched_at"],
        )
        for task in body["dag"]["tasks"]
        if task["status"] == TaskStatus.RUNNING and task["engine"].get("dispatched_revision") == revision
    ]
