"""Seeded chance: the only randomness of a world."""

from collections.abc import Sequence
from random import Random  # noqa: TID251  (seeded, and this is its one home)
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """The same seed gives the same draws in the same order."""

    def __init__(self, seed: int) -> None:
        """Any integer."""
        self._random = Random(seed)  # noqa: S311  (nothing is secret here)

    def hits(self, probability: float) -> bool:
        """True with this probability."""
        return self._random.random() < probability

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def soon(self, mean: float) -> int:
        """A waiting time of at least 1 with this mean: mostly short, sometimes long."""
        return 1 + int(self._random.expovariate(1.0 / mean))

    def one_of(self, values: Sequence[T]) -> T:
        """One of them."""
        return values[int(self._random.random() * len(values))]

    def some_of(self, values: Sequence[T], count: int) -> list[T]:
        """So many different ones, in random order."""
        return self._random.sample(values, count)
