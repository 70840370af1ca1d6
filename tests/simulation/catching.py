"""Looks for a world that notices a mistake."""

from collections.abc import Callable

import pytest

from pipeline.testing.world import World


def caught(world_of: Callable[[int], World], seeds_max: int) -> int:
    """The first seed below ``seeds_max`` whose world notices; the test fails where none does."""
    for seed in range(seeds_max):
        report = world_of(seed).run()
        if report.violations:
            print(f"seed {seed}: {report.violations[0]}")
            assert "left the" not in report.violations[0], "the mistake itself is broken"
            return seed
    pytest.fail(f"{seeds_max} worlds didn't notice it")
