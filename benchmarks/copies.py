"""Many runs at once: one that the engine made, copied by the embedded Atlas' own writing code.

Each copy is sealed under its own guid and name. Their events count as handled, so the engine under test finds them as
after a restart.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cli.data_folder import DataFolder
from pipeline.local.atlas.build import build_service
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.service import AtlasService
from pipeline.local.atlas.wire import ENGINE
from pipeline.local.atlas.writing import random_guid
from pipeline.messages.canonical import decode, encode
from pipeline.messages.seal import Seal, Sealed
from pipeline.process.clock import SystemClock
from pipeline.store import types

BULK: Final = 500
"""Entities, about, in one request."""


@dataclass(frozen=True, slots=True)
class Original:
    """A run's attributes, its request and document opened, and its inbox items' attributes, all naming ``guid``."""

    guid: str
    run: dict[str, Any]
    request: dict[str, Any]
    document: bytes
    items: Sequence[bytes]


def unchanged(_: int) -> None:
    """The wake-up of the original."""


def read(folder: DataFolder, guid: str) -> Original:
    """The run of that guid; the product doesn't run."""
    seal = Seal(folder.engine_key())
    with sqlite3.connect(folder.database) as connection:
        (text,) = connection.execute("SELECT attributes FROM entity WHERE guid = ?", (guid,)).fetchone()
        items = connection.execute(
            "SELECT attributes FROM entity WHERE type = ? AND qualified_name LIKE ?", (types.ITEM, f"{guid}/%")
        ).fetchall()
    run: dict[str, Any] = decode(text)
    return Original(
        guid,
        run,
        dict(seal.open(Sealed.REQUEST, run["qualifiedName"], run[types.RUN_REQUEST])),
        encode(seal.open(Sealed.DOCUMENT, guid, run[types.RUN_CONFIG])),
        [item.encode() for (item,) in items],
    )


def copied(seal: Seal, original: Original, guid: str, wake_at: int | None) -> list[dict[str, Any]]:
    """The run and its items under another guid, as a bulk takes them; ``wake_at`` in place of the original's."""
    name = f"blockline/runs/{guid}"
    document = decode(original.document.replace(original.guid.encode(), guid.encode()))
    document["run"]["name"] = name
    attributes = {**original.run, "qualifiedName": name}
    if wake_at is not None:
        attributes[types.RUN_WAKE_AT] = document["engine"]["wake_at"] = wake_at
    attributes[types.RUN_REQUEST] = seal.seal(Sealed.REQUEST, name, dict(original.request))
    attributes[types.RUN_CONFIG] = seal.seal(Sealed.DOCUMENT, guid, document)
    items = [decode(item.replace(original.guid.encode(), guid.encode())) for item in original.items]
    return [
        {"typeName": types.RUN, "guid": "-1", "attributes": attributes},
        *({"typeName": types.ITEM, "guid": f"-{place}", "attributes": item} for place, item in enumerate(items, 2)),
    ]


def write(folder: DataFolder, original: Original, count: int, wake_at: Callable[[int], int | None] = unchanged) -> None:
    """Write ``count`` copies; ``wake_at`` gives the wake-up of each by its place. ``folder`` is held."""
    asyncio.run(_write(folder, original, count, wake_at))


async def _write(folder: DataFolder, original: Original, count: int, wake_at: Callable[[int], int | None]) -> None:
    seal, database, guids = Seal(folder.engine_key()), Database(folder.database), deque[str]()
    runs = max(1, BULK // (1 + len(original.items)))
    try:
        await build_service(database, SystemClock())
        service = AtlasService(database, SystemClock(), guids.popleft)
        await service.load()
        for start in range(0, count, runs):
            entities = []
            for place in range(start, min(start + runs, count)):
                guid = random_guid()
                guids += [guid, *(random_guid() for _ in original.items)]
                entities += copied(seal, original, guid, wake_at(place))
            await service.upsert(ENGINE, {"entities": entities})
        await database.write(lambda transaction: transaction.connection.execute("DELETE FROM outbox").rowcount)
    finally:
        await database.close()
