"""The messages on the pipeline's edges.

Every message carries ``v`` (its version) and ``kind``; unknown members are refused, since a new member is a new
version. ``encode`` gives canonical bytes, ``parse_…`` reads them. All times are Unix milliseconds.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.core.ids import EffectKey
from pipeline.messages.canonical import MalformedError, encode
from pipeline.messages.changes import AssetChange
from pipeline.messages.part import Part


class Message(Part):
    """What all messages share."""

    v: Literal[1] = 1

    def encode(self) -> bytes:
        """Canonical bytes, the same for equal messages; members that are ``None`` are left out."""
        return encode(self.model_dump(mode="python", exclude_none=True))


class Operation(StrEnum):
    """What happened to an entity; TICK is the timer's."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    TICK = "TICK"


class Event(Message):
    """A fact from the store, or a tick: from the sources to the orchestrator.

    ``run_guid`` is empty where the event doesn't say it (an inbox item changed by a partial update carries no
    qualified name); ``request``, ``document`` and ``command`` are sealed texts and are there when the event
    carried them.
    """

    kind: Literal["event"] = "event"
    entity: Literal["run", "command", "item"]
    operation: Operation
    guid: str
    run_guid: str = ""
    qualified_name: str | None = None
    request: str | None = None
    document: str | None = None
    command: str | None = None
    at: int
    """The event's time; for a tick the time at which the timer found it."""


class Requester(Part):
    """Who started a run."""

    name: str
    email: str | None = None
    groups: tuple[str, ...] = ()


class OutputRef(Part):
    """The output of ``task`` that is an entity: the SHA-256 (hex) and bytes of its text stand in the document."""

    task: str
    name: str
    """Qualified name of the entity."""
    sha256: str
    bytes: int


class Deferred(Part):
    """Arguments whose expressions read ``outputs``: the runner's vertex reads those and evaluates.

    ``arguments`` are the author's, ``expressions`` names those that are expressions themselves (see
    ``pipeline.spec.arguments``), ``scope`` is what they see besides.
    """

    arguments: dict[str, Any]
    expressions: dict[str, str] = Field(default_factory=dict)
    scope: dict[str, Any]
    outputs: tuple[OutputRef, ...]


class Dispatch(Message):
    """One attempt of one task: from the orchestrator to the runner of its type.

    ``arguments`` are resolved, secrets excepted: what ``secrets`` points to (JSON Pointers) is still in parts, see
    ``pipeline.spec.secret_templates``. With ``deferred`` they are empty, and resolved from that. ``state`` is what the
    runner returned with WAITING, handed back when the task is continued for ``cause``. ``timeout_s`` counts from the
    runner's own start. After ``valid_until`` it is dropped.
    """

    kind: Literal["dispatch"] = "dispatch"
    run_guid: str
    run_name: str
    """Qualified name of the run."""
    workflow: str | None = None
    task: str
    title: str | None = None
    type: str
    round: int = 0
    attempt: int = 1
    step: int = 0
    cause: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    deferred: Deferred | None = None
    secrets: tuple[str, ...] | None = None
    state: dict[str, Any] | None = None
    requester: Requester
    asset: dict[str, Any] | None = None
    """Guid, typeName and a few display attributes of the asset, never the whole snapshot."""
    timeout_s: float | None = None
    dispatched_at: int
    valid_until: int
    shard: int
    """The sink that owns the run; the runner tags its result with it."""

    @property
    def effect_key(self) -> EffectKey:
        """The key of this dispatch's outside effects."""
        return EffectKey(self.run_guid, self.task, self.round, self.step)


class ErrorInfo(Part):
    """Why an attempt or a task failed."""

    name: str
    message: str = ""
    retry_after_s: float | None = None


class EntityWrite(Part):
    """An entity to create or update, in Atlas' words; ``attributes`` that are left out keep their values.

    With ``guid`` it is that entity or none: it must exist. ``unset`` names attributes that lose their value;
    ``custom_attributes`` and ``terms`` (guids), where given, stand for all that the entity has.
    """

    type_name: str
    qualified_name: str
    attributes: dict[str, Any] = Field(default_factory=dict)
    guid: str | None = None
    unset: tuple[str, ...] | None = None
    custom_attributes: dict[str, str] | None = None
    terms: tuple[str, ...] | None = None


class Outcome(StrEnum):
    """How an attempt ended; EXTEND says that it goes on and needs a longer dispatch lease."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    WAITING = "WAITING"
    EXTEND = "EXTEND"


class Result(Message):
    """A runner's answer: to the sink that owns the run.

    ``state`` belongs to WAITING: what the block wants back when it goes on. A human task puts its approval state
    there under ``approval`` (see ``pipeline.machine.approval``). ``continue_at`` asks to be continued then, for
    ``continue_cause``; a WAITING without it waits for a command.
    """

    kind: Literal["result"] = "result"
    run_guid: str
    task: str
    round: int = 0
    attempt: int = 1
    step: int = 0
    outcome: Outcome
    output: Any = None
    error: ErrorInfo | None = None
    state: dict[str, Any] | None = None
    continue_at: int | None = None
    continue_cause: str | None = None
    entities: tuple[EntityWrite, ...] = ()
    changes: tuple[AssetChange, ...] | None = None
    """Of assets that exist; None where there is none, so that older readers know what they get."""
    started_at: int
    ended_at: int


class Look(Message):
    """Something about this run needs its shard: an event without document, a start that dispatches nothing, a
    request to admit, an inbox item changed from outside.
    """

    kind: Literal["look"] = "look"
    run_guid: str
    reason: Literal["start", "admit", "event", "item", "tampered"]


class Tick(Message):
    """The run's wake-up is due, or a command of it has been open for long: read, then judge."""

    kind: Literal["tick"] = "tick"
    run_guid: str
    at: int


class CommandInput(Message):
    """A command of the run, as its entity carries it (a sealed text)."""

    kind: Literal["command"] = "command"
    run_guid: str
    command_guid: str
    qualified_name: str
    command: str


class DeadLetter(Message):
    """What was refused for good."""

    kind: Literal["dead_letter"] = "dead_letter"
    reason: str
    vertex: str
    run_guid: str | None = None
    payload_base64: str
    """The original bytes, up to DEAD_LETTER_PAYLOAD_BYTES_MAX of them."""
    payload_bytes: int
    payload_sha256: str
    source_offset: str | None = None
    at: int


class Replay(Message):
    """A dead letter that an administrator sends again: from the timer to the orchestrator.

    ``letter`` is the qualified name of its entity, ``request`` the sealed text that asks for it (``{"v", "by", "at",
    "sha256"}``, its identity the letter's name): edges carry what isn't signed, so nobody but the API may put bytes on
    them. ``vertex`` is where it was refused, which says what the bytes are.
    """

    kind: Literal["replay"] = "replay"
    letter: str
    vertex: str
    run_guid: str | None = None
    payload_base64: str
    source_offset: str | None = None
    request: str
    asked_at: int
    at: int


class Replayed(Message):
    """What became of a replay: to the dead letters, whose entity says so.

    It counts only for the request of ``asked_at``, so that one that comes late doesn't close the next request.
    """

    kind: Literal["replayed"] = "replayed"
    letter: str
    asked_at: int
    is_refused: bool = False
    note: str
    at: int


ShardInput = Annotated[Result | Look | Tick | CommandInput, Field(discriminator="kind")]
M = TypeVar("M", bound=Message)
_SHARD_INPUT: TypeAdapter[Result | Look | Tick | CommandInput] = TypeAdapter(ShardInput)


def parse_event(data: bytes) -> Event:
    """An event from its bytes.

    Raises:
        MalformedError: it isn't one.
    """
    return _parse(Event, data)


def parse_dispatch(data: bytes) -> Dispatch:
    """A dispatch from its bytes.

    Raises:
        MalformedError: it isn't one.
    """
    return _parse(Dispatch, data)


def parse_dead_letter(data: bytes) -> DeadLetter:
    """A dead letter from its bytes.

    Raises:
        MalformedError: it isn't one.
    """
    return _parse(DeadLetter, data)


def parse_replay(data: bytes) -> Replay:
    """A replay from its bytes.

    Raises:
        MalformedError: it isn't one.
    """
    return _parse(Replay, data)


def parse_replayed(data: bytes) -> Replayed:
    """What became of a replay, from its bytes.

    Raises:
        MalformedError: it isn't that.
    """
    return _parse(Replayed, data)


def parse_shard_input(data: bytes) -> Result | Look | Tick | CommandInput:
    """What arrives at a sink, by its ``kind``.

    Raises:
        MalformedError: it is none of the four.
    """
    try:
        return _SHARD_INPUT.validate_json(data)
    except ValidationError as error:
        raise _malformed("input of a shard", error) from None


def _parse(model: type[M], data: bytes) -> M:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise _malformed(model.__name__.lower(), error) from None


def _malformed(what: str, error: ValidationError) -> MalformedError:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return MalformedError(f"not a {what}: {where + ': ' if where else ''}{first['msg']}")
