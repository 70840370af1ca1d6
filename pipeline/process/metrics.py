"""The counters of a process, in Prometheus' words; one place, so that a dashboard finds all names."""

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

SINK_STATE_CHANGES: Final = Counter("blockline_sink_state_changes_total", "Runs written by a sink.", ["shard"])
SINK_WRITE_REQUESTS: Final = Counter("blockline_sink_write_requests_total", "Bulk requests of the sinks.", ["shard"])
SINK_INPUTS: Final = Counter("blockline_sink_inputs_total", "Inputs a sink was handed.", ["shard"])
DEAD_LETTERS: Final = Counter(
    "blockline_dead_letters_total", "Dead letters written, by the vertex that refused.", ["vertex"]
)

CDC_PENDING: Final = Gauge("blockline_cdc_pending", "Events that the source hasn't been done with.")
OUTBOX_PENDING: Final = Gauge(
    "blockline_outbox_pending", "Events of the embedded Atlas that weren't sent to the broker, or not handled."
)

RETENTION_ARCHIVED: Final = Counter("blockline_retention_archived_total", "Ended runs written to the archive.")
RETENTION_PURGED: Final = Counter("blockline_retention_purged_total", "Archived runs removed from the store.")
RETENTION_FAILED: Final = Counter("blockline_retention_failed_total", "Passes of retention that failed.")

API_REQUESTS: Final = Counter(
    "blockline_api_requests_total", "Requests answered, by route and status.", ["method", "route", "status"]
)
API_SECONDS: Final = Histogram(
    "blockline_api_request_seconds",
    "Seconds from a request to the end of its answer; streams and waits excepted.",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
API_STREAMS: Final = Gauge("blockline_api_streams", "Open event streams.")
API_WAITERS: Final = Gauge("blockline_api_waiters", "Requests that wait for a run or a verdict.")
API_LOGIN_FAILURES: Final = Counter("blockline_api_login_failures_total", "Refused user names, passwords and tokens.")


def render() -> bytes:
    """All metrics of the process in the text format; its media type is :data:`CONTENT_TYPE`."""
    return generate_latest()
