"""What the way to Atlas tells of itself."""

from typing import Final

from pipeline.process.metrics import counter, histogram

REQUEST_SECONDS: Final = histogram(
    "blockline_store_request_seconds",
    "Time of a request to Atlas over HTTP, by what it was (write, read, search, other) and whether it was answered "
    "well (done, failed). What the embedded Atlas is asked in its own process isn't among them.",
    ["kind", "outcome"],
    unit="seconds",
    action="Slow writes: Atlas or its index is busy, and everything waits for them. Failed ones: it is away, or others "
    "write the engine's entities.",
)
ENTITIES: Final = counter(
    "blockline_store_entities_total",
    "Entities in the requests of `blockline_store_request_seconds` that wrote or read them in bulk.",
    ["kind"],
    unit="entities",
    action="Beside the number of requests: few each under load says that nothing travels together.",
)
