"""What the metrics of this process have risen by: they are the process', so tests compare."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY


def sample(name: str, **labels: str) -> float:
    """The value of a series; 0 where nobody has told of it yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


@contextmanager
def rise(name: str, **labels: str) -> Iterator[Callable[[], float]]:
    """How much a series has risen since the block began."""
    before = sample(name, **labels)
    yield lambda: sample(name, **labels) - before
