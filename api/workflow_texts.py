"""How workflows stand in the store: ``<name>`` is the draft, ``<name>/v<N>`` an immutable version."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from api.paging import rfc3339
from pipeline.core.ids import WORKFLOW_PREFIX
from pipeline.messages.canonical import MalformedError, decode, encode
from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.store.port import Entity, EntityStore, Filter, Query

NAME_CHARS_MAX: Final = 128
DESCRIPTION: Final = "description"
SEEN: Final = (
    DESCRIPTION,
    types.WORKFLOW_STATUS,
    types.WORKFLOW_VERSION,
    types.WORKFLOW_DIGEST,
    types.WORKFLOW_CREATED_BY,
    types.WORKFLOW_LABELS,
)
"""Attributes of a workflow in lists."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A draft (``version`` 0) or a version, as read from the store.

    ``digest`` is empty for a draft that was kept unfinished.
    """

    entity: Entity

    @property
    def name(self) -> str:
        """The workflow's name."""
        return str(self.entity.attributes.get("name", ""))

    @property
    def version(self) -> int:
        """The number of the version; 0 for the draft."""
        return int(self.entity.attributes.get(types.WORKFLOW_VERSION) or 0)

    @property
    def status(self) -> str:
        """DRAFT, PUBLISHED or DISABLED; a draft says what its workflow is."""
        return str(self.entity.attributes.get(types.WORKFLOW_STATUS) or "DRAFT")

    @property
    def digest(self) -> str:
        """SHA-256 of the normalised spec."""
        return str(self.entity.attributes.get(types.WORKFLOW_DIGEST) or "")

    @property
    def owner(self) -> str:
        """Who made it."""
        return str(self.entity.attributes.get(types.WORKFLOW_CREATED_BY) or "")

    @property
    def spec(self) -> Any:
        """The spec as it was stored; None where somebody has made a mess of it in the store."""
        return _json(self.entity.attributes.get(types.WORKFLOW_CONFIG))

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        labels = _json(self.entity.attributes.get(types.WORKFLOW_LABELS))
        return labels if isinstance(labels, dict) else {}

    @property
    def etag(self) -> str:
        """Changes with what an author writes, not with what publishing does."""
        content = [self.entity.guid, self.entity.attributes.get(DESCRIPTION), self.labels, self.spec]
        return f'"{hashlib.sha256(encode(content)).hexdigest()[:32]}"'

    def summary(self) -> dict[str, Any]:
        """What lists show."""
        return {
            "guid": self.entity.guid,
            "name": self.name,
            "description": self.entity.attributes.get(DESCRIPTION) or None,
            "qualified_name": self.entity.qualified_name,
            "version": self.version,
            "status": self.status,
            "owner": self.owner,
            "labels": self.labels,
            "digest": self.digest or None,
            "incomplete": not self.digest,
            "created_at": rfc3339(self.entity.created_at),
            "updated_at": rfc3339(self.entity.updated_at),
            "updated_by": self.entity.updated_by,
        }


def draft_name(name: str) -> str:
    """Qualified name of a draft."""
    return WORKFLOW_PREFIX + quote(name, safe="")


def draft_write(
    name: str,
    *,
    spec: Any,
    digest: str,
    description: str | None,
    labels: Mapping[str, str],
    owner: str | None = None,
    status: str | None = None,
) -> EntityWrite:
    """Create or change a draft; ``owner`` and ``status`` are left as they are where None."""
    attributes: dict[str, Any] = {
        "name": name,
        DESCRIPTION: description or "",
        types.WORKFLOW_CONFIG: encode(spec).decode(),
        types.WORKFLOW_DIGEST: digest,
        types.WORKFLOW_VERSION: 0,
        types.WORKFLOW_LABELS: encode(dict(labels)).decode(),
    }
    if owner is not None:
        attributes[types.WORKFLOW_CREATED_BY] = owner
    if status is not None:
        attributes[types.WORKFLOW_STATUS] = status
    return EntityWrite(type_name=types.WORKFLOW, qualified_name=draft_name(name), attributes=attributes)


def version_write(draft: Stored, number: int, normalised: Mapping[str, Any], digest: str) -> EntityWrite:
    """A version: the draft's text as it is now."""
    return EntityWrite(
        type_name=types.WORKFLOW,
        qualified_name=f"{draft.entity.qualified_name}/v{number}",
        attributes={
            "name": draft.name,
            DESCRIPTION: draft.entity.attributes.get(DESCRIPTION) or "",
            types.WORKFLOW_CONFIG: encode(normalised).decode(),
            types.WORKFLOW_DIGEST: digest,
            types.WORKFLOW_VERSION: number,
            types.WORKFLOW_STATUS: "PUBLISHED",
            types.WORKFLOW_CREATED_BY: draft.owner,
            types.WORKFLOW_LABELS: encode(draft.labels).decode(),
        },
    )


def status_write(stored: Stored, status: str) -> EntityWrite:
    """Change nothing but the status."""
    return EntityWrite(
        type_name=types.WORKFLOW,
        qualified_name=stored.entity.qualified_name,
        attributes={"name": stored.name, types.WORKFLOW_STATUS: status},
    )


async def by_guid(store: EntityStore, guid: str) -> Stored | None:
    """The live draft or version of that guid."""
    entity = (await store.get([guid])).get(guid)
    if entity is None or entity.is_deleted or entity.type_name != types.WORKFLOW:
        return None
    return Stored(entity)


async def by_name(store: EntityStore, name: str) -> Stored | None:
    """The draft of that name."""
    entity = await store.get_by_name(types.WORKFLOW, draft_name(name))
    return None if entity is None else Stored(entity)


async def draft_of(store: EntityStore, stored: Stored) -> Stored | None:
    """The draft that a version belongs to; a draft is its own."""
    return stored if not stored.version else await by_name(store, stored.name)


async def one_version(store: EntityStore, draft: Stored, number: int) -> Stored | None:
    """Version ``number`` of a workflow, whole."""
    entity = await store.get_by_name(types.WORKFLOW, f"{draft.entity.qualified_name}/v{number}")
    return None if entity is None else Stored(entity)


async def versions(store: EntityStore, draft: Stored, *, limit: int, offset: int = 0) -> list[Stored]:
    """Versions of a workflow without their specs, the latest first."""
    found = await store.find(
        Query(
            types.WORKFLOW,
            filters=(
                Filter("qualifiedName", "startsWith", f"{draft.entity.qualified_name}/v"),
                Filter(types.WORKFLOW_VERSION, "gt", 0),
            ),
            sort_by=types.WORKFLOW_VERSION,
            is_descending=True,
            limit=limit,
            offset=offset,
            attributes=SEEN,
        )
    )
    return [Stored(entity) for entity in found]


async def latest_version(store: EntityStore, draft: Stored) -> Stored | None:
    """The version with the highest number, without its spec."""
    found: Sequence[Stored] = await versions(store, draft, limit=1)
    return found[0] if found else None


def _json(text: Any) -> Any:
    try:
        return decode(text) if isinstance(text, str) and text else None
    except MalformedError:
        return None
