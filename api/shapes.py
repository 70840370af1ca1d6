"""What the API answers, for its description in OpenAPI; a test holds real answers against these."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pipeline.core.statuses import CommandStatus, ItemStatus, RunPhase, RunStatus


class Shape(BaseModel):
    """Base of all shapes."""

    model_config = ConfigDict(extra="forbid")


class Finding(Shape):
    """One thing that is wrong, and where (JSON Pointer)."""

    pointer: str
    code: str
    detail: str


class ProblemDetails(Shape):
    """RFC 9457."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[Finding] = []


class Validation(Shape):
    """What a validation found."""

    valid: bool
    errors: list[Finding]
    warnings: list[Finding]


class WorkflowSummary(Shape):
    """A workflow (or a version of it) in lists; ``version`` is the latest published one, 0 before the first."""

    guid: str
    name: str
    description: str | None
    qualified_name: str
    version: int
    status: Literal["DRAFT", "PUBLISHED", "DISABLED"]
    owner: str
    labels: dict[str, str]
    digest: str | None
    incomplete: bool
    created_at: str | None
    updated_at: str | None
    updated_by: str


class Workflow(WorkflowSummary):
    """A workflow with its spec."""

    spec: Any
    has_unpublished_changes: bool = False


class PublishedWorkflow(WorkflowSummary):
    """The version that publishing made, or found unchanged."""

    workflow_guid: str
    unchanged: bool


class WorkflowList(Shape):
    """A page of workflows."""

    items: list[WorkflowSummary]
    next_cursor: str | None


class WorkflowRef(Shape):
    """What a run is a run of."""

    guid: str | None
    name: str | None
    version: int | None


class AssetRef(Shape):
    """The asset a run is about."""

    guid: str | None
    type_name: str | None
    name: str | None
    qualified_name: str | None


class RunSummary(Shape):
    """A run in lists."""

    guid: str
    workflow: WorkflowRef | None
    status: RunStatus
    phase: RunPhase
    requester: str
    comment: str | None
    created_at: str | None
    updated_at: str | None
    ended_at: str | None
    asset: AssetRef | None
    outcome: str | None
    error: dict[str, str] | None
    ended_by: dict[str, Any] | None
    paused: dict[str, Any] | None
    run_round: int
    revision: int


class Run(RunSummary):
    """A run; ``dag`` is its document with statuses in place, ``actions`` what the caller may ask of it now."""

    input: dict[str, Any] | None
    output: Any
    dag: dict[str, Any] | None
    actions: list[str]


class TaskOutput(Shape):
    """What one task gave, all of it."""

    task: str
    status: str
    output: Any


class RunList(Shape):
    """A page of runs."""

    items: list[RunSummary]
    next_cursor: str | None


class Command(Shape):
    """What somebody asked of a run, and the verdict; ``command`` is the link to ask again."""

    model_config = ConfigDict(extra="allow")
    run: str | None = None
    id: str
    action: str | None
    task: str | None
    status: CommandStatus
    reason: str | None
    by: str | None
    comment: str | None
    at: str | None
    command: str | None = None


class CommandList(Shape):
    """A page of commands."""

    items: list[Command]
    next_cursor: str | None


class AuditList(Shape):
    """What has happened, oldest first."""

    items: list[dict[str, Any]]
    next_cursor: str | None


class Task(Shape):
    """A question to the caller."""

    guid: str
    run: str
    task: str
    title: str
    body: str | None
    asset: dict[str, Any] | None
    requester: str
    recipient: str
    is_for_group: bool = False
    options: list[str]
    form: dict[str, Any] | None
    status: ItemStatus
    decision: str | None
    comment: str | None
    due_at: str | None
    opened_at: str | None


class TaskList(Shape):
    """A page of the inbox."""

    items: list[Task]
    next_cursor: str | None


class DeadLetterReplay(Shape):
    """The last time that somebody asked to send it again."""

    status: Literal["ASKED", "DONE", "REFUSED"]
    by: str | None
    at: str | None
    done_at: str | None
    note: str | None
    is_refused_again: bool


class DeadLetter(Shape):
    """What was refused for good; bytes only when one is shown."""

    id: str
    guid: str
    reason: str | None
    vertex: str | None
    run: str | None
    bytes: int | None
    sha256: str | None
    source_offset: str | None
    at: str | None
    replay: DeadLetterReplay | None
    payload_base64: str = ""
    text: str | None = None


class DeadLetterList(Shape):
    """A page of dead letters."""

    items: list[DeadLetter]
    next_cursor: str | None


class User(Shape):
    """A user."""

    name: str
    email: str | None
    groups: list[str]
    roles: list[str]


class UserList(Shape):
    """A page of users."""

    items: list[User]
    next_cursor: str | None


class Name(Shape):
    """A person or a group to choose."""

    kind: Literal["user", "group"]
    name: str


class NameList(Shape):
    """Names to choose from."""

    items: list[Name]
    next_cursor: str | None


class Token(Shape):
    """A personal token, shown once."""

    name: str
    token: str


class Block(Shape):
    """A block of the palette."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    summary: str
    category: str
    icon: str
    arguments: dict[str, Any]
    output: dict[str, Any]
    ui: dict[str, Any]
    ports: list[str]


class BlockList(Shape):
    """The palette."""

    items: list[Block]
    next_cursor: str | None
