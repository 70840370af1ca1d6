"""What moves a run: results of runners, commands of people, ticks of the timer, words of the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.errors import ErrorName
from pipeline.messages.envelopes import Result


@dataclass(frozen=True, slots=True)
class Command:
    """What a person asked of the run; ``body`` is the opened text of the command entity."""

    guid: str
    qualified_name: str
    body: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The command's id: the entity's own name, which the signature covers."""
        return self.qualified_name.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Tick:
    """The timer found the run due (``at``, Unix ms): the only input that judges time.

    Hand it in after everything that was read for it, so that what people did in time comes first.
    """

    at: int


@dataclass(frozen=True, slots=True)
class ItemDecision:
    """A decision written straight on an inbox item. ``by`` and ``at`` are the store's own word, not the writer's."""

    item: str
    """Qualified name of the inbox item."""
    action: str
    by: str
    at: int
    comment: str | None = None
    groups: tuple[str, ...] | None = None
    """The groups that the writer is in now; None where they don't matter."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The store refused this task's entities, or what it wanted changed; ``name`` is the error the task ends by.

    The results of the task beside it in the same call don't count.
    """

    task: str
    reason: str
    name: ErrorName = ErrorName.METADATA_REFUSED


Input = Result | Command | Tick | ItemDecision | Refused
