"""A plan, with the outputs that its expressions turn out to read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipeline.machine.inputs import Input
from pipeline.machine.outputs import LOST, OutputsNeededError, references_of
from pipeline.machine.run import Run
from pipeline.messages.outputs import open_output
from pipeline.messages.seal import TamperedError
from pipeline.store.outputs import output_text_of
from pipeline.store.port import EntityStore
from sinks.atlas.answers import SinkObserver
from sinks.atlas.judging import Judge, Loaded, Plan


class Planner:
    """Judges; reads what that needs, and judges again. Outputs never change, so any moment is right to read them."""

    def __init__(self, judge: Judge, store: EntityStore, observer: SinkObserver) -> None:
        """Writes nothing."""
        self.judge = judge
        self._store = store
        self._observer = observer

    async def plan(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> Plan:
        """See :meth:`sinks.atlas.judging.Judge.plan`; the plan's ``loaded`` has the outputs that were read.

        Raises:
            StoreUnavailableError: an output can't be read, so nothing may be judged.
            Exception: whatever the machine raises.
        """
        while True:
            try:
                return self.judge.plan(loaded, inputs, now_ms)
            except OutputsNeededError as needed:
                read = await self._read(loaded.run, needed.tasks - loaded.outputs.keys())
                if not read:
                    raise
            loaded = replace(loaded, outputs={**loaded.outputs, **read})

    async def _read(self, run: Run, tasks: frozenset[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for reference in references_of(run, tasks):
            text = await output_text_of(self._store, reference.name)
            try:
                found[reference.task] = open_output(text, reference.sha256)
            except TamperedError:
                self._observer.alert("lost-output", run.guid, f"the output of {reference.task} isn't what was kept")
                found[reference.task] = LOST
        return found
