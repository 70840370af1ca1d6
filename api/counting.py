"""What the API tells of itself."""

from typing import Final

from pipeline.process.metrics import counter, gauge, histogram

REQUESTS: Final = counter(
    "blockline_api_requests_total",
    "Requests answered, by method, route and status.",
    ["method", "route", "status"],
    unit="requests",
    action="Many of 5xx: see the log; 503 is Atlas that is away. Many of 401 or 403: see who asks.",
)
SECONDS: Final = histogram(
    "blockline_api_request_seconds",
    "From a request to the end of its answer; streams and waits excepted.",
    ["route"],
    unit="seconds",
    action="Atlas answers slowly, or the process lacks CPU: compare it with `blockline_handling_seconds` of a sink.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
STREAMS: Final = gauge(
    "blockline_api_streams",
    "Open event streams.",
    unit="streams",
    action="Each is an open page or a client that watches.",
)
WAITERS: Final = gauge(
    "blockline_api_waiters",
    "Requests that wait for a run or a verdict.",
    unit="requests",
    action="Clients with `wait_s`; beside a growing `blockline_cdc_pending`, the pipeline is what they wait for.",
)
