"""What a runner's vertex tells of itself, the same for every block."""

from typing import Final

from pipeline.blocks.shell import OnResult
from pipeline.messages.envelopes import Outcome, Result
from pipeline.process.metrics import counter

ATTEMPTS: Final = counter(
    "blockline_attempts_total",
    "Attempts by type of block and outcome: SUCCEEDED, FAILED, WAITING (goes on later), EXTEND (takes longer than its "
    "dispatch lease).",
    ["type", "outcome"],
    unit="attempts",
    action="Many of FAILED: the runs say why; of one type alone it is the service that its block calls.",
)


def counting(block_type: str) -> OnResult:
    """Counts as attempts of that type, which has a vertex: so no text of a workflow ever names a series."""
    by_outcome = {outcome: ATTEMPTS.labels(block_type, outcome) for outcome in Outcome}

    def on_result(result: Result) -> None:
        by_outcome[result.outcome].inc()

    return on_result
