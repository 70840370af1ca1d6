"""Questions that shells ask about a run."""

from pipeline.machine.run import Run


def is_over(run: Run) -> bool:
    """Whether the run has ended: nothing of it is dispatched again, its wake-up is 0."""
    return run.is_over
