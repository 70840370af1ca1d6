import pytest

from pipeline.core.ids import EffectKey
from pipeline.core.limits import RETRY_DELAY_MAX_S
from pipeline.machine.retries import delay_ms
from pipeline.spec.model import Retrier

KEY = EffectKey("run", "task", 0, 0)
YEAR_MS = RETRY_DELAY_MAX_S * 1000


@pytest.mark.parametrize(
    ("retrier", "count", "at_least_s", "expected_ms"),
    [
        (Retrier(("Task.ALL",)), 1, None, 1000),
        (Retrier(("Task.ALL",)), 3, None, 4000),
        (Retrier(("Task.ALL",), max_delay_s=3), 3, None, 3000),
        (Retrier(("Task.ALL",), interval_s=0.25, backoff_rate=1.0), 9, None, 250),
        (Retrier(("Task.ALL",)), 1, 30.0, 30_000),
        (Retrier(("Task.ALL",)), 3, 0.5, 4000),
        (Retrier(("Task.ALL",), max_delay_s=3), 3, 10.0, 10_000),
        (Retrier(("Task.ALL",)), 1, 1e300, YEAR_MS),
        (Retrier(("Task.ALL",), backoff_rate=10.0), 5000, None, YEAR_MS),
    ],
)
def test_the_delay(retrier: Retrier, count: int, at_least_s: float | None, expected_ms: int) -> None:
    assert delay_ms(retrier, count, KEY, 1, at_least_s=at_least_s) == expected_ms


def test_full_jitter_is_spread_over_the_delay_and_always_the_same() -> None:
    retrier = Retrier(("Task.ALL",), interval_s=10, backoff_rate=1.0, jitter="FULL")
    delays = [delay_ms(retrier, 1, EffectKey(f"run-{n}", "task", 0, 0), 1) for n in range(1000)]
    assert delays == [delay_ms(retrier, 1, EffectKey(f"run-{n}", "task", 0, 0), 1) for n in range(1000)]
    assert 0 <= min(delays) < 500
    assert 9500 < max(delays) <= 10_000
    assert 4500 < sum(delays) / len(delays) < 5500
    assert delay_ms(retrier, 1, KEY, 1) != delay_ms(retrier, 1, KEY, 2)
    assert delay_ms(retrier, 1, KEY, 1, at_least_s=10) == 10_000
