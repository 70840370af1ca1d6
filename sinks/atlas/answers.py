"""What a sink says of each message, and whom it tells what it saw."""

from dataclasses import dataclass
from typing import Protocol

from pipeline.core.errors import ErrorName
from pipeline.machine.run import Run
from pipeline.messages.envelopes import DeadLetter


@dataclass(frozen=True, slots=True)
class Shard:
    """Which of how many sinks this one is."""

    number: int
    shards: int

    @property
    def vertex(self) -> str:
        """Its name in the pipeline."""
        return f"atlas-{self.number}"


@dataclass(frozen=True, slots=True)
class Ok:
    """Done, or nothing to do: never give it again."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Nothing of it is certain: give it again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fallback:
    """Proven unprocessable: keep it as this dead letter."""

    letter: DeadLetter


Answer = Ok | Retry | Fallback


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """Why the run ends FAILURE before it began: a name of the closed list and a sentence for its creator."""

    name: ErrorName
    message: str


class SinkObserver(Protocol):
    """Metrics and alerts of one sink; calls are cheap and never raise."""

    def inputs(self, count: int) -> None:
        """So many messages were handed in."""
        ...

    def handled(self, seconds: float) -> None:
        """A batch took so long."""
        ...

    def write_ended(self, fate: str, runs: int) -> None:
        """A bulk request with so many runs ended: a :class:`~sinks.atlas.writing.Fate`."""
        ...

    def run_written(self, run: Run, *, is_first: bool, is_last: bool) -> None:
        """A run's state was written, its first one, or one that ends it (or both)."""
        ...

    def letter(self, vertex: str, reason: str) -> None:
        """A dead letter was kept."""
        ...

    def alert(self, kind: str, run_guid: str, detail: str) -> None:
        """Something an operator should look at; ``kind`` is stable (``stale-document``, ``tampered``)."""
        ...
