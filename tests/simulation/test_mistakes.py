"""Each rule's mistake is caught, and without it the same world is clean."""

import pytest

from pipeline.testing.world import World
from tests.simulation.mistakes import MISTAKES
from tests.simulation.real_handlers import RealHandlers

SEEDS_MAX = 600
"""All of them are clean without a mistake: tests/simulation/test_worlds.py."""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_it_is_caught(mistake: str) -> None:
    for seed in range(SEEDS_MAX):
        report = MISTAKES[mistake](seed).run()
        if report.violations:
            print(f"seed {seed}: {report.violations[0]}")
            assert "left the" not in report.violations[0], "the mistake itself is broken"
            assert not World(seed, RealHandlers()).run().violations
            return
    pytest.fail(f"{SEEDS_MAX} worlds didn't notice: {mistake}")
