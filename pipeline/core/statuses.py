"""Statuses of tasks and runs, and the groups that rules speak of."""

from enum import StrEnum
from typing import Final


class TaskStatus(StrEnum):
    """Where a task stands; the last seven are terminal and never change within a round."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    RETRYING = "RETRYING"
    INCIDENT = "INCIDENT"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    TIMED_OUT = "TIMED_OUT"
    EXPIRED = "EXPIRED"
    SKIPPED = "SKIPPED"
    OMITTED = "OMITTED"
    CANCELLED = "CANCELLED"


class RunStatus(StrEnum):
    """pyatlan's ``WorkflowRunStatus``: PENDING while the run lives."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"
    TERMINATED = "TERMINATED"


class RunPhase(StrEnum):
    """What a living run is doing; ENDED once its status is no longer PENDING."""

    RUNNING = "RUNNING"
    WAITING = "WAITING"
    PAUSED = "PAUSED"
    COMPENSATING = "COMPENSATING"
    ENDED = "ENDED"


class CommandStatus(StrEnum):
    """OPEN until the run's shard closes it with a verdict."""

    OPEN = "OPEN"
    APPLIED = "APPLIED"
    REFUSED = "REFUSED"


class ItemStatus(StrEnum):
    """Of an inbox item: OPEN, then decided by its recipient, or closed since the question is settled or gone."""

    OPEN = "OPEN"
    DECIDED = "DECIDED"
    EXPIRED = "EXPIRED"
    CLOSED = "CLOSED"


class ReplayStatus(StrEnum):
    """Of a dead letter that an administrator sends again: ASKED until the pipeline has taken it, or refused to."""

    ASKED = "ASKED"
    DONE = "DONE"
    REFUSED = "REFUSED"


TERMINAL: Final = frozenset(
    {
        TaskStatus.SUCCESS,
        TaskStatus.FAILURE,
        TaskStatus.TIMED_OUT,
        TaskStatus.EXPIRED,
        TaskStatus.SKIPPED,
        TaskStatus.OMITTED,
        TaskStatus.CANCELLED,
    }
)
FAILED_ANY: Final = frozenset({TaskStatus.FAILURE, TaskStatus.TIMED_OUT, TaskStatus.EXPIRED})
