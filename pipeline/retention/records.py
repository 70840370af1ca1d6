"""An archived run: what it is on disk, one line of JSON, and what several copies of it say together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pipeline.core.errors import BlocklineError
from pipeline.messages.canonical import MalformedError, decode, encode
from pipeline.store.port import Entity

FORMAT: Final = 1
_ENTITY: Final = (
    "type_name",
    "guid",
    "qualified_name",
    "created_by",
    "updated_by",
    "created_at",
    "updated_at",
)


class ArchiveError(BlocklineError):
    """The archive can't be read or written; the sentence says what to do. Nothing was removed from the store."""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One change that the store had recorded of the run's entity; ``at`` in Unix ms."""

    at: int
    by: str
    action: str


@dataclass(frozen=True, slots=True)
class ArchivedRun:
    """A run with everything of it, as the store had it. Times are Unix ms."""

    guid: str
    qualified_name: str
    status: str
    requester: str
    ended_at: int
    archived_at: int
    entities: tuple[Entity, ...]
    """The run, then its commands, inbox items and outputs; classifications are left out."""
    audit: tuple[AuditLine, ...] = ()

    def line(self) -> bytes:
        """As it is kept, with its newline."""
        body = {
            "format": FORMAT,
            "guid": self.guid,
            "qualified_name": self.qualified_name,
            "status": self.status,
            "requester": self.requester,
            "ended_at": self.ended_at,
            "archived_at": self.archived_at,
            "entities": [
                {**{name: getattr(entity, name) for name in _ENTITY}, "attributes": dict(entity.attributes)}
                for entity in self.entities
            ],
            "audit": [{"at": line.at, "by": line.by, "action": line.action} for line in self.audit],
        }
        return encode(body) + b"\n"


def parse_line(line: bytes) -> ArchivedRun:
    """The inverse of :meth:`ArchivedRun.line`.

    Raises:
        ArchiveError: it isn't such a line, or one of a later version.
    """
    try:
        body: Mapping[str, Any] = decode(line)
        if body["format"] != FORMAT:
            raise ArchiveError("The archive has lines that a later version of this program wrote.")
        return ArchivedRun(
            guid=body["guid"],
            qualified_name=body["qualified_name"],
            status=body["status"],
            requester=body["requester"],
            ended_at=body["ended_at"],
            archived_at=body["archived_at"],
            entities=tuple(Entity(**entity) for entity in body["entities"]),
            audit=tuple(AuditLine(**entry) for entry in body["audit"]),
        )
    except (MalformedError, KeyError, TypeError) as error:
        raise ArchiveError("The archive has a line that isn't an archived run.") from error


def merged(copies: Iterable[ArchivedRun]) -> ArchivedRun | None:
    """What all copies of one run say together: a run may be archived again after an interruption, when some of it has
    left the store already. Of each entity the latest state; None of no copies.
    """
    whole: ArchivedRun | None = None
    for copy in copies:
        if whole is None:
            whole = copy
            continue
        older, newer = sorted((whole, copy), key=lambda each: each.archived_at)
        entities = {entity.guid: entity for entity in older.entities}
        for entity in newer.entities:
            there = entities.get(entity.guid)
            if there is None or entity.updated_at >= there.updated_at:
                entities[entity.guid] = entity
        audit = max(older.audit, newer.audit, key=len)
        whole = replace(newer, entities=tuple(entities.values()), audit=audit)
    return whole
