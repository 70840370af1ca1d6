"""Runs change assets while everything goes wrong: each change of a task that succeeded is made, once, and no other."""

import pytest

from pipeline.testing.assets import ASSET_TYPE, AssetWorld
from pipeline.testing.checkers import all_of
from pipeline.testing.fake_blocks import OWNERS
from tests.simulation.asset_mistakes import CHANGED
from tests.simulation.catching import caught
from tests.simulation.real_handlers import RealHandlers

CHUNK = 50
CHUNKS = 4
SEEDS_MAX = CHUNK * CHUNKS
"""All of them are clean without a mistake."""


@pytest.mark.parametrize("first", range(0, SEEDS_MAX, CHUNK))
def test_nothing_is_lost_or_made_twice(first: int) -> None:
    for seed in range(first, first + CHUNK):
        report = AssetWorld(seed, RealHandlers()).run()
        assert not report.violations, report.as_text()


def test_assets_are_changed_at_all() -> None:
    worlds = [AssetWorld(seed, RealHandlers()) for seed in range(CHUNK)]
    for world in worlds:
        world.run()
    owned = [
        asset for world in worlds for asset in all_of(world.store, ASSET_TYPE, OWNERS) if asset.attributes.get(OWNERS)
    ]
    assert len(owned) > CHUNK / 2


@pytest.mark.parametrize("mistake", CHANGED)
def test_a_mistake_is_caught(mistake: str) -> None:
    caught(CHANGED[mistake], SEEDS_MAX)
