"""Outputs that are entities of their own: read by the vertices that need one, listed for whoever clears away."""

from typing import Final

from pipeline.blocks.outputs import OutputsAwayError
from pipeline.store import types
from pipeline.store.pages import find_all
from pipeline.store.port import Entity, EntityStore, Filter, Query, StoreRefusedError, StoreUnavailableError

_PAGE: Final = 500


class StoredOutputs:
    """See :class:`pipeline.blocks.outputs.OutputSource`."""

    def __init__(self, store: EntityStore) -> None:
        """Reads ``store`` only."""
        self._store = store

    async def text(self, name: str) -> str | None:
        """See the port."""
        try:
            return await output_text_of(self._store, name)
        except (StoreUnavailableError, StoreRefusedError) as error:
            raise OutputsAwayError(str(error)) from error


async def output_text_of(store: EntityStore, name: str) -> str | None:
    """The text of the output of that qualified name; ``None`` if there is none. Whoever gets it verifies it.

    Raises:
        StoreUnavailableError: as the store's port; so does StoreRefusedError.
    """
    entity = await store.get_by_name(types.OUTPUT, name)
    text = None if entity is None else entity.attributes.get(types.OUTPUT_TEXT)
    return text if isinstance(text, str) else None


async def outputs_of(store: EntityStore, run_guid: str) -> list[Entity]:
    """Every output of a run that is an entity, also such as its document doesn't name any more; without their texts.

    Whoever purges a run deletes these with it. Raises as the store's ``find``.
    """
    query = Query(
        types.OUTPUT,
        (Filter(types.OUTPUT_RUN_GUID, "eq", run_guid),),
        sort_by="qualifiedName",
        limit=_PAGE,
        attributes=(types.OUTPUT_TASK, types.OUTPUT_BYTES),
    )
    return await find_all(store, query)
