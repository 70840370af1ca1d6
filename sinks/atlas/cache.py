"""Documents a sink wrote under its lease: nobody else can have changed them, so they needn't be read again."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from pipeline.machine.run import Run

KEPT_RUNS_MAX: Final = 2_000
"""Runs kept by one sink; at 10 kB a document about 20 MB, at the limit of 256 KiB 500 MB."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A run as it stands in the store. ``name`` is the entity's mandatory attribute, repeated in each write."""

    run: Run
    name: str


class WrittenRuns:
    """The least recently used leave first; cleared whenever the lease or an answer was lost."""

    def __init__(self, runs_max: int = KEPT_RUNS_MAX) -> None:
        """``runs_max`` is at least 1."""
        self._runs_max = runs_max
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def get(self, run_guid: str) -> Kept | None:
        """The run, if this sink wrote it and nothing was lost since."""
        kept = self._kept.get(run_guid)
        if kept is not None:
            self._kept.move_to_end(run_guid)
        return kept

    def put(self, run_guid: str, kept: Kept) -> None:
        """Only after a write that was acknowledged."""
        self._kept[run_guid] = kept
        self._kept.move_to_end(run_guid)
        if len(self._kept) > self._runs_max:
            self._kept.popitem(last=False)

    def drop(self, run_guid: str) -> None:
        """Forget one run; no error where it isn't kept."""
        self._kept.pop(run_guid, None)

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
