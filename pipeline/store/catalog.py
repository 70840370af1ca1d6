"""The catalog for blocks, on the port to the store: reads, and never the engine's own entities."""

from pipeline.blocks.catalog import CatalogAsset, CatalogRefusedError, CatalogUnavailableError
from pipeline.store.port import Entity, EntityStore, StoreRefusedError, StoreUnavailableError


class StoreCatalog:
    """See :class:`pipeline.blocks.catalog.Catalog`."""

    def __init__(self, store: EntityStore) -> None:
        """``store`` is only read."""
        self._store = store

    async def asset(
        self, *, guid: str | None = None, type_name: str | None = None, qualified_name: str | None = None
    ) -> CatalogAsset | None:
        """See the port."""
        try:
            found = await self._found(guid, type_name, qualified_name)
            if found is None or found.is_deleted:
                return None
            kind = await self._store.kind(found.type_name, is_fresh=True)
        except StoreRefusedError as error:
            raise CatalogRefusedError(str(error)) from error
        except StoreUnavailableError as error:
            raise CatalogUnavailableError(str(error)) from error
        if kind is None:
            raise CatalogRefusedError(f"The type {found.type_name} isn't known.")
        if kind.is_engines:
            raise CatalogRefusedError(f"{found.guid} is a {found.type_name}, which is the engine's own.")
        own = {tag.type_name: tag.attributes for tag in found.tags}
        return CatalogAsset(
            guid=found.guid,
            type_name=found.type_name,
            qualified_name=found.qualified_name,
            attributes=found.attributes,
            known=frozenset(kind.attributes),
            classifications={name: own.get(name, {}) for name in {**own, **dict.fromkeys(found.classifications)}},
            custom_attributes=found.custom_attributes,
            terms=found.terms,
        )

    async def _found(self, guid: str | None, type_name: str | None, qualified_name: str | None) -> Entity | None:
        if guid is None:
            named = await self._store.get_by_name(type_name or "", qualified_name or "")
            if named is None:
                return None
            guid = named.guid
        return (await self._store.get([guid], has_terms=True)).get(guid)
