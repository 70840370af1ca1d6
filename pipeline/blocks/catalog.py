"""The port through which a block reads the catalog: look-ups of assets, nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.core.errors import BlocklineError


class CatalogUnavailableError(BlocklineError):
    """The catalog doesn't answer now; worth repeating."""


class CatalogRefusedError(BlocklineError):
    """What was asked for can't be read by anybody (the engine's own entities, a type that isn't there)."""


@dataclass(frozen=True, slots=True)
class CatalogAsset:
    """An asset as the catalog has it now; unset attributes are left out. ``classifications`` are its attributes by
    name, also of those that came by propagation (then empty).
    """

    guid: str
    type_name: str
    qualified_name: str
    attributes: Mapping[str, Any]
    known: frozenset[str]
    """Every attribute that its type has."""
    classifications: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    custom_attributes: Mapping[str, str] = field(default_factory=dict)
    terms: tuple[str, ...] = ()


class Catalog(Protocol):
    """Reads see every earlier write. May be called concurrently."""

    async def asset(
        self, *, guid: str | None = None, type_name: str | None = None, qualified_name: str | None = None
    ) -> CatalogAsset | None:
        """The asset of that guid, or of that type and qualified name; None where there is no such live one.

        Raises:
            CatalogUnavailableError: it can't be read now.
            CatalogRefusedError: nobody may read that.
        """
        ...
