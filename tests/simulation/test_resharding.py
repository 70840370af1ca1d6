"""The number of sinks changes with runs under way: nothing is lost, nothing has two writers."""

import logging
from collections.abc import Iterator

import pytest

from pipeline.testing.resharding import ReshardingWorld
from tests.simulation.catching import caught
from tests.simulation.real_handlers import RealHandlers
from tests.simulation.resharding_mistakes import RESHARDED

CHUNK = 50
CHUNKS = 4
SEEDS_MAX = CHUNK * CHUNKS
"""All of them are clean without a mistake."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Leases are lost here again and again, and that is meant."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first", range(0, SEEDS_MAX, CHUNK))
def test_nothing_is_lost_or_written_by_two(first: int) -> None:
    for seed in range(first, first + CHUNK):
        report = ReshardingWorld(seed, RealHandlers()).run()
        assert not report.violations, report.as_text()


def test_results_are_sent_on() -> None:
    worlds = [ReshardingWorld(seed, RealHandlers()) for seed in range(CHUNK)]
    for world in worlds:
        world.run()
    assert sum(world.sent_on for world in worlds) > 10


@pytest.mark.parametrize("mistake", RESHARDED)
def test_a_mistake_is_caught(mistake: str) -> None:
    caught(RESHARDED[mistake], SEEDS_MAX)
