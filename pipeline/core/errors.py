"""Errors that cross a port, and the names a failed task may carry."""

from dataclasses import dataclass
from enum import StrEnum


class BlocklineError(Exception):
    """Base of the project's own errors; its text is one sentence a person can act on, without secrets or paths."""


class ErrorName(StrEnum):
    """The closed list of the spec language; retriers match these names."""

    TASK_FAILED = "Task.Failed"
    TASK_TIMEOUT = "Task.Timeout"
    TASK_HEARTBEAT_TIMEOUT = "Task.HeartbeatTimeout"
    TASK_CANCELLED = "Task.Cancelled"
    VALIDATION_INPUT = "Validation.Input"
    VALIDATION_OUTPUT = "Validation.Output"
    EXPRESSION_ERROR = "Expression.Error"
    EXPRESSION_ABSENT_OUTPUT = "Expression.AbsentOutput"
    HTTP_4XX = "Http.4xx"
    HTTP_429 = "Http.429"
    HTTP_5XX = "Http.5xx"
    HTTP_CONNECTION = "Http.Connection"
    AUTH_DENIED = "Auth.Denied"
    APPROVAL_REJECTED = "Approval.Rejected"
    APPROVAL_EXPIRED = "Approval.Expired"
    APPROVAL_NO_APPROVERS = "Approval.NoApprovers"
    APPROVAL_WITHDRAWN = "Approval.Withdrawn"
    CONDITION_FALSE = "Condition.False"
    CHILD_FAILED = "Child.Failed"
    MAIL_CONNECTION = "Mail.Connection"
    MAIL_REFUSED = "Mail.Refused"
    METADATA_REFUSED = "Metadata.Refused"
    METADATA_CONFLICT = "Metadata.Conflict"
    ENGINE_BAD_SPEC = "Engine.BadSpec"
    ENGINE_TOO_LARGE = "Engine.TooLarge"
    ENGINE_NO_RUNNER = "Engine.NoRunner"
    ENGINE_TAMPERED = "Engine.Tampered"
    ENGINE_INTERNAL = "Engine.Internal"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of a validation.

    ``pointer`` is a JSON Pointer (RFC 6901) into the document that was checked, ``code`` is stable
    (``Spec.UnknownKey``), ``detail`` one sentence a non-programmer can act on.
    """

    pointer: str
    code: str
    detail: str


class InvalidError(BlocklineError):
    """A document was refused; carries every problem, in the order of the document."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """``problems`` has at least one element."""
        super().__init__(problems[0].detail)
        self.problems = problems
