"""One transition: a run and what arrived for it give the next run and what to write with it."""

from collections.abc import Sequence

from pipeline.core.errors import ErrorName
from pipeline.core.limits import DOCUMENT_BYTES_MAX, DOCUMENT_RESERVE_BYTES
from pipeline.machine.cascade import settle
from pipeline.machine.commands import decide_on_item, obey
from pipeline.machine.deadlines import judge
from pipeline.machine.document import document_bytes
from pipeline.machine.effects import Transition
from pipeline.machine.inputs import Command, Input, ItemDecision, Refused, Tick
from pipeline.machine.results import merge
from pipeline.machine.run import Run
from pipeline.machine.transitions import Draft
from pipeline.messages.envelopes import Result
from pipeline.spec.expressions import Evaluator


def apply(run: Run, inputs: Sequence[Input], *, now_ms: int, evaluator: Evaluator) -> Transition:
    """Apply the inputs in their order, each with all that follows from it; ``run`` itself never changes.

    The revision rises by one where anything changed, however many inputs there are. The same inputs again change
    nothing more. Never raises for what an input says: what doesn't count is kept under ``late``, refused, or ignored.
    """
    oversized: frozenset[str] = frozenset()
    while True:
        draft = _drafted(Draft(run, now_ms, oversized=oversized), inputs, evaluator)
        after = draft.finished()
        candidates = draft.grown.keys() - oversized
        if not candidates or _fits(after):
            return Transition(after, draft.is_changed, tuple(draft.effects))
        # Rare, so the whole transition is made again without the largest newcomer: nothing may follow from it.
        oversized |= {max(candidates, key=lambda name: (draft.grown[name], name))}


def _drafted(draft: Draft, inputs: Sequence[Input], evaluator: Evaluator) -> Draft:
    refused = frozenset(entry.task for entry in inputs if isinstance(entry, Refused))
    for entry in inputs:
        match entry:
            case Result():
                if entry.task not in refused:
                    merge(draft, entry)
            case Command():
                obey(draft, entry)
            case ItemDecision():
                decide_on_item(draft, entry)
            case Refused():
                _refuse(draft, entry)
            case Tick():
                judge(draft)
        settle(draft, evaluator)
    return draft


def _refuse(draft: Draft, refused: Refused) -> None:
    state = draft.tasks.get(refused.task)
    if state is not None and not state.is_over and state.attempt > 0:
        draft.fail(refused.task, ErrorName.METADATA_REFUSED, refused.reason)


def _fits(run: Run) -> bool:
    return document_bytes(run) <= DOCUMENT_BYTES_MAX - DOCUMENT_RESERVE_BYTES
