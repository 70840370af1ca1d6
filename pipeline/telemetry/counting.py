"""What the sending of spans tells of itself."""

from typing import Final

from pipeline.process.metrics import counter

SPANS: Final = counter(
    "blockline_trace_spans_total",
    "Spans by their fate: sent; dropped, since too many waited; failed, since the collector didn't take them.",
    ["fate"],
    unit="spans",
    action="failed: look at the collector and `BLOCKLINE_OTLP_ENDPOINT`. dropped: it is too slow, or set a lower "
    "`BLOCKLINE_TRACE_PERCENT`. The engine itself waits for neither.",
)
