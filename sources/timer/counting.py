"""What the timer tells of itself."""

from typing import Final

from pipeline.process.metrics import counter, gauge

DUE: Final = gauge(
    "blockline_timer_due",
    "Runs, commands, items and letters that the last poll found due.",
    unit="messages",
    action="Growing: what is due isn't handled. See `blockline_sink_lease_held` and the sinks' handling time.",
)
LATENESS_SECONDS: Final = gauge(
    "blockline_timer_lateness_seconds",
    "How long the longest due run has been due, as of the last poll.",
    unit="seconds",
    action="Over a minute: its sink doesn't handle its ticks (no lease, Atlas away), or the timer was down.",
)
POLL_FAILURES: Final = counter(
    "blockline_timer_poll_failures_total",
    "Polls that failed.",
    unit="polls",
    action="Atlas can't be searched; deadlines and retries wait until it can. The log says why.",
)
