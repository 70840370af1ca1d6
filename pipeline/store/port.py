"""The store as the engine sees it: entities with Atlas' semantics, and nothing Atlas can't do.

* Create-or-update by qualified name; omitted attributes keep their values; there is no compare-and-set.
* One ``upsert`` is one transaction: all or nothing. Its answer can be lost after it has been carried out.
* An update that changes nothing makes no event. Unset numbers may read as 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pipeline.core.errors import BlocklineError
from pipeline.messages.changes import Tag
from pipeline.messages.envelopes import EntityWrite
from pipeline.store.kinds import Kind


class StoreUnavailableError(BlocklineError):
    """Nothing was written, for certain (not connected, 503, lock conflict); worth repeating."""


class StoreFullError(StoreUnavailableError):
    """As above, because its disk is full: worth repeating once somebody has made room."""


class StoreUnknownError(BlocklineError):
    """The answer of a write was lost: it may have been carried out, or may be yet. Read before repeating."""


class StoreRefusedError(BlocklineError):
    """The store refused the request for what is in it (4xx); repeating it as it is is pointless."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity as the store has it; absent attributes are left out of ``attributes``.

    ``created_by`` and ``updated_by`` are the store's own word for who wrote. Times are Unix milliseconds.
    """

    type_name: str
    guid: str
    qualified_name: str
    attributes: Mapping[str, Any]
    created_by: str = ""
    updated_by: str = ""
    created_at: int = 0
    updated_at: int = 0
    is_deleted: bool = False
    classifications: tuple[str, ...] = ()
    """Names of all, also of those that came by propagation."""
    tags: tuple[Tag, ...] = ()
    """Its own classifications, of ``get`` and ``get_by_name`` only; so are ``custom_attributes``."""
    custom_attributes: Mapping[str, str] = field(default_factory=dict)
    terms: tuple[str, ...] = ()
    """Guids of its glossary terms, of ``get`` with ``has_terms`` only."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition of a search. ``is_null`` ignores ``value`` and is true for a text that was never set; numbers,
    dates and booleans are never null, as unset ones read as 0 and false. An unset text is ``neq`` to every value.
    """

    attribute: str
    operator: Literal["eq", "neq", "lt", "lte", "gt", "gte", "contains", "startsWith", "is_null", "not_null"]
    value: Any = None


@dataclass(frozen=True, slots=True)
class Query:
    """A search over the live entities of one type; all ``filters`` hold. ``limit`` 1..1000."""

    type_name: str
    filters: tuple[Filter, ...] = ()
    sort_by: str | None = None
    is_descending: bool = False
    limit: int = 100
    offset: int = 0
    attributes: tuple[str, ...] = field(default=())
    """Attributes wanted in the answer beside qualifiedName and name; empty = those only."""


class EntityStore(Protocol):
    """Reads and writes entities. Every method may be called concurrently and again.

    Every method raises StoreUnavailableError where the store can't be reached or answers 5xx, and
    StoreRefusedError for 4xx; ``upsert``, ``delete`` and ``purge`` raise StoreUnknownError where the answer was lost.
    """

    async def get(self, guids: Sequence[str], *, has_terms: bool = False) -> dict[str, Entity]:
        """Whole entities by guid, deleted ones too; guids that don't exist are left out. With ``has_terms`` also their
        glossary terms, which costs more.
        """
        ...

    async def get_by_name(self, type_name: str, qualified_name: str) -> Entity | None:
        """The live entity of that name."""
        ...

    async def upsert(self, entities: Sequence[EntityWrite]) -> dict[str, str]:
        """Create or update all of them or none, in one transaction; guids by qualified name (also of unchanged)."""
        ...

    async def find(self, query: Query) -> list[Entity]:
        """A page of the search; sees every earlier write."""
        ...

    async def delete(self, guids: Sequence[str]) -> None:
        """Soft delete; guids that are deleted or don't exist are no error."""
        ...

    async def purge(self, guids: Sequence[str]) -> None:
        """Remove for good what is deleted softly, its audit included; guids that aren't deleted stay as they are, and
        those that don't exist are no error. Tells nobody. Needs an administrator's account.
        """
        ...

    async def classify(self, guid: str, tags: Sequence[Tag], untag: Sequence[str]) -> None:
        """Put ``tags`` on an entity, or give those it has these attributes, and take ``untag`` off: Atlas has no bulk
        call for that, so it is several requests, any of which can fail; saying all of it again is safe.

        Raises StoreUnknownError where an answer was lost.
        """
        ...

    async def kind(self, type_name: str, *, is_fresh: bool = False) -> Kind | None:
        """What the type says of its entities; None where there is no such type. May be remembered, unless
        ``is_fresh``.
        """
        ...
