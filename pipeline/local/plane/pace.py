"""A vertex's rate: how long whoever takes messages has to wait so that no second has more than it may."""

from pipeline.core.clock import Clock
from pipeline.local.plane.manifest import RatePlan


class Pace:
    """A bucket that holds one second's messages, shared by all replicas of a vertex. Belongs to one event loop."""

    def __init__(self, plan: RatePlan, clock: Clock) -> None:
        """Full at first, at the rate of the start."""
        self._plan = plan
        self._clock = clock
        self._began_s = self._filled_s = clock.monotonic_s()
        self._left = float(plan.start)

    async def take(self, count: int) -> None:
        """``count`` messages were taken; returns when they may go on. Whoever comes later waits longer."""
        self._fill()
        self._left -= count
        if self._left < 0:
            await self._clock.sleep(-self._left / self._rate())

    def _fill(self) -> None:
        now_s = self._clock.monotonic_s()
        rate = self._rate()
        self._left = min(rate, self._left + rate * (now_s - self._filled_s))
        self._filled_s = now_s

    def _rate(self) -> float:
        plan, ran_s = self._plan, self._clock.monotonic_s() - self._began_s
        if ran_s >= plan.rise_s:
            return plan.most
        return plan.start + (plan.most - plan.start) * ran_s / plan.rise_s
