"""A vertex's rate, with a clock that the test moves."""

import asyncio

from pipeline.local.plane.manifest import RatePlan
from pipeline.local.plane.pace import Pace


class HandClock:
    """Its sleeps move it on, one after the other."""

    def __init__(self) -> None:
        self.at_s = 100.0
        self.slept_s: list[float] = []

    def now_ms(self) -> int:
        return int(self.at_s * 1000)

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.at_s += seconds


def test_a_second_has_no_more_than_it_may() -> None:
    async def story() -> None:
        clock = HandClock()
        pace = Pace(RatePlan(start=10, most=10, rise_s=1.0), clock)
        for _ in range(60):
            await pace.take(1)
        assert round(clock.at_s - 100, 6) == 5.0, "ten at once, then ten a second"
        clock.at_s += 3600
        before_s = clock.at_s
        for _ in range(11):
            await pace.take(1)
        assert round(clock.at_s - before_s, 6) == 0.1, "an idle hour saves up one second's share"

    asyncio.run(story())


def test_a_whole_batch_waits_for_its_share() -> None:
    async def story() -> None:
        clock = HandClock()
        pace = Pace(RatePlan(start=4, most=4, rise_s=0.0), clock)
        await pace.take(4)
        await pace.take(4)
        await pace.take(0)
        assert clock.slept_s == [1.0]

    asyncio.run(story())


def test_the_rate_rises_to_its_most() -> None:
    async def story() -> None:
        clock = HandClock()
        pace = Pace(RatePlan(start=1, most=100, rise_s=10.0), clock)
        taken = [0, 0]
        for second in (0, 1):
            until_s = clock.at_s + 5
            while clock.at_s < until_s:
                await pace.take(1)
                taken[second] += 1
        assert taken[0] < taken[1] / 2
        clock.at_s = 200.0
        clock.slept_s.clear()
        for _ in range(200):
            await pace.take(1)
        assert round(sum(clock.slept_s), 6) == 1.0

    asyncio.run(story())
