"""What a block wants changed on an asset: intents, resolved by the run's shard against what the store has then."""

from typing import Any

from pydantic import Field

from pipeline.messages.part import Part


class AssetRef(Part):
    """An asset that exists: by its guid, or by type and qualified name."""

    guid: str | None = None
    type_name: str | None = None
    qualified_name: str | None = None

    def __str__(self) -> str:
        """As a person would name it."""
        return self.guid or f"{self.type_name} {self.qualified_name}"


class Tag(Part):
    """A classification on an asset. ``propagate`` None leaves it to the store (a new one propagates)."""

    type_name: str
    attributes: dict[str, Any] = Field(default_factory=dict)
    propagate: bool | None = None


class AssetChange(Part):
    """Everything one result changes on one asset.

    ``set`` gives attributes a value (None unsets one); ``add`` and ``remove`` change lists as sets: what is there
    isn't added again, what isn't there needn't be removed. ``custom`` are custom attributes (None removes one).
    ``terms`` are glossary terms, by guid or qualified name. ``tags`` are put on or changed, ``untag`` taken off.
    ``expect`` names values that attributes must have for any of it to happen (None: unset).
    """

    asset: AssetRef
    set: dict[str, Any] = Field(default_factory=dict)
    add: dict[str, list[Any]] = Field(default_factory=dict)
    remove: dict[str, list[Any]] = Field(default_factory=dict)
    custom: dict[str, str | None] = Field(default_factory=dict)
    terms_add: tuple[str, ...] = ()
    terms_remove: tuple[str, ...] = ()
    tags: tuple[Tag, ...] = ()
    untag: tuple[str, ...] = ()
    expect: dict[str, Any] = Field(default_factory=dict)

    @property
    def names_terms(self) -> bool:
        """Whether the asset's terms matter."""
        return bool(self.terms_add or self.terms_remove)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of all attributes it speaks of."""
        return tuple(dict.fromkeys((*self.set, *self.add, *self.remove, *self.expect)))
