"""A run as a value: what was asked for, and where each task stands.

Everything here is immutable by convention: mappings and lists inside are shared between versions of a run and are
never changed in place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from pipeline.core.limits import DISPATCH_LEASE_MS, ERROR_MESSAGE_BYTES_MAX, ERROR_MESSAGE_CHARS_MAX
from pipeline.core.statuses import TERMINAL, RunPhase, RunStatus, TaskStatus
from pipeline.messages.canonical import MalformedError
from pipeline.messages.envelopes import Requester
from pipeline.spec.depends import DependsError
from pipeline.spec.model import Retrier, Spec, Task, digest, retrier_of, spec_of

SPECS_KEPT_MAX: Final = 256
"""Parsed specs kept in memory by their digest; the values never depend on what is kept."""

_SPECS: Final[dict[str, Spec]] = {}


def spec_by_digest(spec_digest: str, body: Mapping[str, Any]) -> Spec:
    """The spec of a normalised document (what the engine wrote beside it is ignored), parsed once a digest.

    Safe from several threads: each step is one operation on a dict, and two that race build the same value.
    """
    spec = _SPECS.get(spec_digest)
    if spec is None:
        if len(_SPECS) >= SPECS_KEPT_MAX:
            _SPECS.clear()
        spec = _SPECS[spec_digest] = spec_of(body)
    return spec


def cut(message: str) -> str:
    """A message short enough for the document, in characters and in bytes, and of characters that JSON can keep."""
    if len(message) <= ERROR_MESSAGE_CHARS_MAX and message.isascii():
        return message
    short = message if len(message) <= ERROR_MESSAGE_CHARS_MAX else message[: ERROR_MESSAGE_CHARS_MAX - 1] + "…"
    raw = short.encode(errors="replace")
    if len(raw) <= ERROR_MESSAGE_BYTES_MAX:
        return raw.decode()
    return raw[: ERROR_MESSAGE_BYTES_MAX - len("…".encode())].decode(errors="ignore") + "…"


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why a task or a run failed: a name of the closed list, and a sentence for people."""

    name: str
    message: str = ""

    def as_json(self) -> dict[str, str]:
        """The form it has in the document."""
        return {"name": self.name, "message": self.message}


@dataclass(frozen=True, slots=True)
class StoredOutput:
    """An output that is an entity of its own: the digest (SHA-256, hex) and size of its text."""

    sha256: str
    bytes: int

    def as_json(self) -> dict[str, Any]:
        """The form it has in the document."""
        return {"sha256": self.sha256, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class TaskState:
    """Where one task stands. All times are Unix milliseconds.

    ``attempt`` counts from 1 and is 0 before the first; ``output`` ``None`` means there is none in the document:
    ``stored`` says then where it is, if there is one. ``cause`` is why the current step runs or, while WAITING, why
    the next one will. ``approval`` is the open or decided question of a human task. ``waited`` (True or None) is an
    incident's that became one while it was WAITING, its step done. ``retries`` counts by retrier. ``applied`` are
    marks of the last results that counted, ``late`` the last that didn't.
    """

    status: TaskStatus
    updated_at: int
    attempt: int = 0
    round: int = 0
    output: Any = None
    stored: StoredOutput | None = None
    error: TaskError | None = None
    started_at: int | None = None
    ended_at: int | None = None
    step: int = 0
    dispatched_revision: int | None = None
    dispatched_at: int | None = None
    dispatches: int = 0
    lease_until: int | None = None
    first_dispatched_at: int | None = None
    due_at: int | None = None
    continue_at: int | None = None
    cause: str | None = None
    state: Mapping[str, Any] | None = None
    approval: Mapping[str, Any] | None = None
    waited: bool | None = None
    retries: tuple[int, ...] = ()
    applied: tuple[str, ...] = ()
    late: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the status is terminal: it never changes again within this round."""
        return self.status in TERMINAL

    @property
    def case(self) -> str | None:
        """The case that a SWITCH took; ``None`` where it took none, or the task is no SWITCH that ended SUCCESS."""
        if self.status is not TaskStatus.SUCCESS or not isinstance(self.output, Mapping):
            return None
        case = self.output.get("case")
        return case if isinstance(case, str) else None


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for when the run was created; never changes.

    ``name`` is the run's qualified name. ``blocks`` are the defaults of the installed block types at that time:
    ``{"TYPE": {"lease_ms", "timeout_s", "retry", "expressions"?}}``.
    """

    name: str
    spec: Spec
    spec_digest: str
    requester: Requester
    created_at: int
    input: Mapping[str, Any] = field(default_factory=dict)
    asset: Mapping[str, Any] | None = None
    workflow: Mapping[str, Any] | None = None
    comment: str | None = None
    blocks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def lease_ms(self, task: Task) -> int:
        """The lease of a task's first dispatch."""
        lease_ms: int = self.blocks.get(task.type, {}).get("lease_ms", DISPATCH_LEASE_MS)
        return lease_ms

    def timeout_s(self, task: Task) -> float | None:
        """How long one attempt may take, counted by the runner; the task's own or its block's default."""
        if task.timeout_s is not None:
            return task.timeout_s
        default: float | None = self.blocks.get(task.type, {}).get("timeout_s")
        return default

    def expressions(self, task: Task) -> Mapping[str, str]:
        """The task's arguments that are expressions, by their path: ``condition`` or ``value``."""
        found: Mapping[str, str] = self.blocks.get(task.type, {}).get("expressions", {})
        return found

    def retriers(self, task: Task) -> tuple[Retrier, ...]:
        """The task's own retriers or its block's defaults."""
        if task.retry is not None:
            return task.retry
        return tuple(retrier_of(body) for body in self.blocks.get(task.type, {}).get("retry", ()))


@dataclass(frozen=True, slots=True)
class Run:
    """One run at one revision; ``tasks`` has a state for each task of the spec, in its order.

    ``revision`` is 0 for a run that is only a request yet and rises by one a write. ``wake_at`` is when the timer
    looks at it next, 0 when it is over. ``actions`` are the last applied ones, ``{"action", "task"?, "outcome"?, "by",
    "as", "at", "comment", "command"}``; ``paused`` is the one that holds the run up. ``ended_by`` says who withdrew or
    cancelled it: ``{"action", "by", "as", "at", "comment", "command"}``. ``refusals`` are the verdicts of the last
    refused commands: ``{"command", "reason"}``.
    """

    guid: str
    request: Request
    tasks: Mapping[str, TaskState]
    revision: int = 0
    status: RunStatus = RunStatus.PENDING
    phase: RunPhase = RunPhase.RUNNING
    run_round: int = 0
    outcome: str | None = None
    error: TaskError | None = None
    updated_at: int = 0
    ended_at: int | None = None
    wake_at: int = 0
    paused: Mapping[str, Any] | None = None
    actions: tuple[Mapping[str, Any], ...] = ()
    ended_by: Mapping[str, Any] | None = None
    refusals: tuple[Mapping[str, str], ...] = ()
    size: int | None = field(default=None, compare=False, repr=False)
    """Bytes of its document, where they were counted; no part of the document."""

    @property
    def spec(self) -> Spec:
        """The spec this run follows."""
        return self.request.spec

    @property
    def name(self) -> str:
        """The run's qualified name."""
        return self.request.name

    @property
    def is_over(self) -> bool:
        """Whether the run has ended; nothing of it is dispatched again."""
        return self.status is not RunStatus.PENDING


def parse_request(body: Mapping[str, Any], qualified_name: str) -> Request:
    """The request from its opened text; its spec must be a normalised, valid one.

    Raises:
        MalformedError: it isn't a request of version 1.
    """
    try:
        if body["v"] != 1:
            raise MalformedError(f"not a request: version {body['v']!r} isn't known here")
        spec_digest = digest(body["spec"])
        return Request(
            name=qualified_name,
            spec=spec_by_digest(spec_digest, body["spec"]),
            spec_digest=spec_digest,
            requester=Requester.model_validate(body["requester"]),
            created_at=int(body["created_at"]),
            input=body.get("input") or {},
            asset=body.get("asset"),
            workflow=body.get("workflow"),
            comment=body.get("comment"),
            blocks=body.get("blocks") or {},
        )
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError, DependsError) as error:
        raise MalformedError(f"not a request: {type(error).__name__} in its {_where(error)}") from error


def _where(error: Exception) -> str:
    return f"member {error.args[0]!r}" if isinstance(error, KeyError) else "members"
