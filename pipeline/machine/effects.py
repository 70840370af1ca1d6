"""What a transition wants written, as data; all of it goes into one transaction with the run's document.

Every effect may be written again. Where two name the same entity, the later one holds; ``None`` leaves a value as it
is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.core.statuses import CommandStatus, ItemStatus
from pipeline.machine.run import Run
from pipeline.messages.changes import AssetChange
from pipeline.messages.envelopes import EntityWrite


@dataclass(frozen=True, slots=True)
class OpenItem:
    """One question to one recipient."""

    qualified_name: str
    run_guid: str
    task: str
    recipient: str
    title: str
    body: str
    options: tuple[str, ...]
    requester: str
    opened_at: int
    due_at: int
    asset: Mapping[str, Any] | None = None
    """``{"guid", "type_name", "name"}``."""
    form: Mapping[str, Any] | None = None
    """JSON Schema of what is to be filled in with the decision."""


@dataclass(frozen=True, slots=True)
class CloseItem:
    """The question to one recipient is settled: DECIDED by them (then ``action``, ``comment``, ``by`` and ``at`` say
    how), EXPIRED, or CLOSED since others decided or the run ended.
    """

    qualified_name: str
    task: str
    status: ItemStatus
    action: str | None = None
    comment: str | None = None
    by: str | None = None
    at: int | None = None


@dataclass(frozen=True, slots=True)
class CloseCommand:
    """The verdict on a command; ``reason`` is a sentence, empty when it was applied."""

    guid: str
    qualified_name: str
    status: Literal[CommandStatus.APPLIED, CommandStatus.REFUSED]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WriteEntity:
    """An entity that came with a result that counted."""

    task: str
    entity: EntityWrite


@dataclass(frozen=True, slots=True)
class ChangeAsset:
    """A change of an asset that came with a result that counted: what it comes to is for the store's reader to say."""

    task: str
    change: AssetChange


@dataclass(frozen=True, slots=True)
class KeepOutput:
    """An output that the document has no room for; ``text`` is its canonical JSON, named by its digest: it never
    changes.
    """

    qualified_name: str
    run_guid: str
    task: str
    text: str
    sha256: str
    bytes: int


Effect = OpenItem | CloseItem | CloseCommand | WriteEntity | ChangeAsset | KeepOutput


@dataclass(frozen=True, slots=True)
class Transition:
    """The outcome of ``start`` and ``apply``.

    ``is_changed`` says that ``run`` is a new revision to be written. ``effects`` are to be written in any case: a
    command that comes again changes nothing, yet its verdict is said again.
    """

    run: Run
    is_changed: bool
    effects: tuple[Effect, ...] = ()
