"""Each rule's mistake is caught, and without it the same world is clean."""

import pytest

from pipeline.testing.world import World
from tests.simulation.catching import caught
from tests.simulation.mistakes import MISTAKES
from tests.simulation.real_handlers import RealHandlers

SEEDS_MAX = 600
"""All of them are clean without a mistake: tests/simulation/test_worlds.py."""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_it_is_caught(mistake: str) -> None:
    seed = caught(MISTAKES[mistake], SEEDS_MAX)
    assert not World(seed, RealHandlers()).run().violations
