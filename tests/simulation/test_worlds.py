"""Hundreds of worlds a commit; any number by ``make sim SEEDS=…``."""

import pytest

from pipeline.testing.world import World
from tests.simulation.real_handlers import RealHandlers

CHUNK = 50
CHUNKS = 12


@pytest.mark.parametrize("first", range(0, CHUNK * CHUNKS, CHUNK))
def test_nothing_is_lost_doubled_or_forgotten(first: int) -> None:
    for seed in range(first, first + CHUNK):
        report = World(seed, RealHandlers()).run()
        assert not report.violations, report.as_text()


def test_a_seed_is_a_world() -> None:
    one, two = World(17, RealHandlers()).run(), World(17, RealHandlers()).run()
    assert one.as_text() == two.as_text()
    assert one.as_text() != World(18, RealHandlers()).run().as_text()


def test_worlds_see_every_end_of_a_run() -> None:
    ends = {status for seed in range(150) for status in World(seed, RealHandlers()).run().statuses.values()}
    assert ends == {"SUCCESS", "FAILURE", "APPROVED", "REJECTED", "WITHDRAWN", "TERMINATED"}
