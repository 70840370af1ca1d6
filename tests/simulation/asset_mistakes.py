"""Mistakes in how assets are changed (ADR 18)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pipeline.messages.changes import AssetRef
from pipeline.store.port import Entity, EntityStore
from pipeline.testing.assets import ASSET_TYPE, AssetWorld
from sinks.atlas.assets import Assets
from sinks.atlas.writing import BulkWriter, Piece, Written
from tests.simulation.broken import Apart, Broken
from tests.simulation.real_handlers import RealHandlers


class ChangesApart(Broken):
    apart = Apart(ASSET_TYPE, is_first=True)


class ReadsAssetsOnce(Assets):
    """What an asset was at the first change is what it is."""

    def __init__(self, store: EntityStore) -> None:
        super().__init__(store)
        self._read: dict[AssetRef, Entity | None] = {}

    async def _entity(self, asset: AssetRef, *, has_terms: bool) -> Entity | None:
        if asset not in self._read:
            self._read[asset] = await super()._entity(asset, has_terms=has_terms)
        return self._read[asset]


class RemembersAssets(Broken):
    class writer_type(BulkWriter):  # noqa: N801  (the attribute's name)
        def __init__(self, *parts: Any) -> None:
            super().__init__(*parts)
            self._assets = ReadsAssetsOnce(parts[0])


class LastChangeOnly(Broken):
    """Of the changes that results of one batch bring, the last one is made."""

    class writer_type(BulkWriter):  # noqa: N801  (the attribute's name)
        async def write(self, pieces: Sequence[Piece]) -> dict[str, Written]:
            return await super().write([replace(piece, changes=piece.changes[-1:]) for piece in pieces])


def _assets(handlers: type[RealHandlers]) -> Callable[[int], AssetWorld]:
    return lambda seed: AssetWorld(seed, handlers())


CHANGED: dict[str, Callable[[int], AssetWorld]] = {
    "a change is made before its task's success": _assets(ChangesApart),
    "an asset is read once": _assets(RemembersAssets),
    "two changes of one batch become one": _assets(LastChangeOnly),
}
