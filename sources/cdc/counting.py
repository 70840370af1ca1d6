"""What the vertex ``cdc`` tells of itself."""

from typing import Final

from pipeline.cdc.consumer import EventReader
from pipeline.core.clock import Clock
from pipeline.process.metrics import counter, gauge, histogram

PENDING_LOOK_S: Final = 5.0
PENDING: Final = gauge(
    "blockline_cdc_pending",
    "Events that the source hasn't been done with: the consumer lag; -1 when that isn't known.",
    unit="events",
    action="The pipeline is slower than what happens in Atlas: look for the vertex with the longest handling time.",
)
LAG_SECONDS: Final = histogram(
    "blockline_cdc_lag_seconds",
    "Age of the oldest event of a read, by the broker's clock and this one; not of events from the outbox of `up`.",
    unit="seconds",
    action="Either it catches up (after a start, or an outage), or see `blockline_cdc_pending`; or clocks differ.",
)
EVENTS: Final = counter(
    "blockline_cdc_events_total",
    "Events read, by what became of them: GIVEN to the pipeline, DROPPED since they concern nobody, DEAD letters.",
    ["outcome"],
    unit="events",
    action="DEAD: something else writes to the topic, or an event is too large; `blockline dead-letter list`.",
)


async def keep_pending(reader: EventReader, clock: Clock) -> None:
    """Until it is cancelled: look at what is pending, which costs the broker nothing."""
    while True:
        PENDING.set(await reader.pending())
        await clock.sleep(PENDING_LOOK_S)
