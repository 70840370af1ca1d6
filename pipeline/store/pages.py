"""All that a query finds, page after page."""

from dataclasses import replace

from pipeline.store.port import Entity, EntityStore, Query


async def find_all(store: EntityStore, query: Query, *, most: int | None = None) -> list[Entity]:
    """Every page, ``query.limit`` entities each; no further one once ``most`` are there.

    ``query`` is sorted by what doesn't change meanwhile, else one may be missed. Raises as the store's ``find``.
    """
    found: list[Entity] = []
    while most is None or len(found) < most:
        page = await store.find(replace(query, offset=query.offset + len(found)))
        found += page
        if len(page) < query.limit:
            break
    return found
