"""What a sink tells of itself."""

import logging
from typing import Final

from prometheus_client import Counter

from pipeline.core.ids import slots_of_shard
from pipeline.core.statuses import RunStatus
from pipeline.machine.run import Run
from pipeline.process.metrics import COUNT_BUCKETS, Handling, counter, gauge, histogram
from pipeline.store.leases import SlotLease
from sinks.atlas.answers import Shard
from sinks.atlas.writing import Fate
from sinks.dead_letter.counting import count_letter

STATE_CHANGES: Final = counter(
    "blockline_sink_state_changes_total",
    "Runs written by a sink.",
    ["shard"],
    unit="runs",
    action="One a transition at most; more says that results of one run come apart.",
)
WRITE_REQUESTS: Final = counter(
    "blockline_sink_write_requests_total",
    "Bulk requests of the sinks.",
    ["shard"],
    unit="requests",
    action="Beside the state changes: one of them each says that nothing travels together.",
)
WRITES: Final = counter(
    "blockline_sink_writes_total",
    "Bulk requests by their end: WRITTEN; REFUSED by Atlas; UNAVAILABLE (nothing was written: not reached, 503, or "
    "another one held the lock); UNKNOWN (a time-out: no answer, so the sink "
    "waited until it can't be carried out any more).",
    ["shard", "fate"],
    unit="requests",
    action="UNAVAILABLE: Atlas is away, or others write the engine's entities. UNKNOWN: Atlas is slower than the write "
    "time-out, and each costs its runs that time. REFUSED: see the dead letters.",
)
INPUTS: Final = counter(
    "blockline_sink_inputs_total",
    "Inputs a sink was handed, repeats included.",
    ["shard"],
    unit="messages",
    action="Many for each state change: something comes again and again; see the log.",
)
BATCH: Final = histogram(
    "blockline_sink_batch_messages",
    "Messages a sink was handed at once.",
    ["shard"],
    unit="messages",
    action="Near its most all the time: the sink is the bottleneck; more of them (`BLOCKLINE_SHARDS`) help.",
    buckets=COUNT_BUCKETS,
)
LEASE_HELD: Final = gauge(
    "blockline_sink_lease_held",
    "Whether the sink holds the lease of its slots, 1 or 0.",
    ["shard", "slots"],
    unit="",
    action="0 for over a minute: the runs of these slots wait. Another sink holds it, or the cluster's leases can't be "
    "reached; the log says which.",
)
RUNS_STARTED: Final = counter(
    "blockline_runs_started_total",
    "Runs whose first state was written.",
    ["shard"],
    unit="runs",
    action="More than end, for long: work piles up, or people are slow to decide.",
)
RUNS_ENDED: Final = counter(
    "blockline_runs_ended_total",
    "Runs that ended, by status; again when one that was run again ends.",
    ["shard", "status"],
    unit="runs",
    action="Many of FAILURE: `blockline run list` says which, and each run why.",
)
ALERTS: Final = counter(
    "blockline_sink_alerts_total",
    "What an operator should look at, by kind; each is a warning in the log.",
    ["shard", "kind"],
    unit="alerts",
    action="tampered: somebody else writes the engine's entities. stale-document: Atlas was restored, or lost a write. "
    "sink-failed, machine-failed, unreadable-run: a fault of ours, please report it with the log.",
)
_LOG: Final = logging.getLogger("blockline.sink")


class CountingObserver:
    """See :class:`sinks.atlas.answers.SinkObserver`: Prometheus, and a warning in the log for an alert."""

    def __init__(self, shard: Shard, lease: SlotLease) -> None:
        """Counts as this shard's; ``lease`` is looked at whenever somebody asks for the numbers."""
        number = str(shard.number)
        self._number = number
        self._vertex = shard.vertex
        self._handling = Handling(shard.vertex)
        self._inputs = INPUTS.labels(number)
        self._batch = BATCH.labels(number)
        self._requests = WRITE_REQUESTS.labels(number)
        self._ends = {fate.value: WRITES.labels(number, fate) for fate in Fate if fate is not Fate.LEASE_LOST}
        self._changes = STATE_CHANGES.labels(number)
        self._started = RUNS_STARTED.labels(number)
        ends = [status for status in RunStatus if status != RunStatus.PENDING]
        self._ended: dict[RunStatus, Counter] = {status: RUNS_ENDED.labels(number, status) for status in ends}
        slots = slots_of_shard(shard.number, shard.shards)
        LEASE_HELD.labels(number, f"{slots.start}-{slots.stop - 1}").set_function(
            lambda: float(lease.remaining_s() > 0)
        )

    def inputs(self, count: int) -> None:
        """See the port."""
        self._inputs.inc(count)
        self._batch.observe(count)

    def handled(self, seconds: float) -> None:
        """See the port."""
        self._handling.took(seconds)

    def write_ended(self, fate: str, runs: int) -> None:
        """See the port."""
        self._requests.inc()
        self._ends[fate].inc()
        if fate == Fate.WRITTEN:
            self._changes.inc(runs)

    def run_written(self, run: Run, *, is_first: bool, is_last: bool) -> None:
        """See the port."""
        if is_first:
            self._started.inc()
        if is_last:
            self._ended[run.status].inc()

    def letter(self, vertex: str, reason: str) -> None:
        """See the port."""
        count_letter(vertex, reason)

    def alert(self, kind: str, run_guid: str, detail: str) -> None:
        """See the port."""
        ALERTS.labels(self._number, kind).inc()
        _LOG.warning("%s: run %s: %s", kind, run_guid, detail, extra={"vertex": self._vertex, "run": run_guid})
