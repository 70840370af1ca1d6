"""One transition: a run and what arrived for it give the next run and what to write with it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.core.errors import ErrorName
from pipeline.core.limits import DOCUMENT_BYTES_MAX, DOCUMENT_RESERVE_BYTES
from pipeline.core.statuses import RunStatus
from pipeline.machine.approvals.deciding import decide_on_item
from pipeline.machine.cascade import settle
from pipeline.machine.commands import obey
from pipeline.machine.deadlines import judge
from pipeline.machine.document import document_bytes, grown_bytes
from pipeline.machine.effects import Transition
from pipeline.machine.inputs import Command, Input, ItemDecision, Refused, Tick
from pipeline.machine.outputs import largest, too_large_inline
from pipeline.machine.results import merge
from pipeline.machine.room import TOO_LARGE, fitted, shortened
from pipeline.machine.run import Run, TaskError
from pipeline.machine.transitions import Draft
from pipeline.messages.envelopes import Result
from pipeline.spec.expressions import Evaluator


def apply(
    run: Run,
    inputs: Sequence[Input],
    *,
    now_ms: int,
    evaluator: Evaluator,
    outputs: Mapping[str, Any] | None = None,
) -> Transition:
    """Apply the inputs in their order, each with all that follows from it; ``run`` itself never changes.

    ``outputs`` are those at hand of the outputs that are entities, by task. The revision rises by one where anything
    changed, however many inputs there are. The same inputs again change nothing more. Never raises for what an input
    says: what doesn't count is kept under ``late``, refused, or ignored.

    Raises:
        OutputsNeededError: an expression reads outputs that aren't at hand; nothing has changed.
    """
    oversized: frozenset[str] = frozenset()
    moving: frozenset[str] = frozenset()
    is_tight = False
    while True:
        draft = Draft(run, now_ms, outputs=outputs, oversized=oversized, is_tight=is_tight)
        _drafted(draft, inputs, evaluator).move_outputs(too_large_inline(draft.arrived) | moving)
        after = draft.finished()
        if not draft.is_changed:
            return Transition(run, is_changed=False, effects=tuple(draft.effects))
        size = (document_bytes(run) if run.size is None else run.size) + grown_bytes(run, after)
        excess = size - (DOCUMENT_BYTES_MAX - DOCUMENT_RESERVE_BYTES)
        candidates = draft.grown.keys() - oversized
        # Rare, so the whole transition is made again: with the largest outputs as entities, then without remarks, then
        # without the largest newcomers, since nothing may follow from them.
        if excess > 0 and (more := largest(after, excess)):
            moving |= more
        elif excess > 0 and draft.has_remarks and not is_tight:
            is_tight = True
        elif excess > 0 and candidates:
            oversized |= _largest({name: draft.grown[name] for name in candidates}, excess)
        else:
            return _kept(draft, after, size)


def _largest(grown: Mapping[str, int], excess: int) -> frozenset[str]:
    """As many of the newcomers as make up for the excess."""
    chosen: set[str] = set()
    for name in sorted(grown, key=lambda name: (grown[name], name), reverse=True):
        if excess <= 0:
            break
        chosen.add(name)
        excess -= grown[name]
    return frozenset(chosen)


def _kept(draft: Draft, after: Run, size: int) -> Transition:
    """The transition with a run that the document can hold, be it by ending the run."""
    if size <= DOCUMENT_BYTES_MAX:
        return Transition(replace(after, size=size), is_changed=True, effects=tuple(draft.effects))
    short = shortened(after)
    if short is None and not draft.is_over:
        draft.cancel_living(TOO_LARGE)
        draft.end_run(RunStatus.FAILURE, error=TaskError(ErrorName.ENGINE_TOO_LARGE.value, TOO_LARGE))
        after = draft.finished()
    return Transition(short or fitted(after), is_changed=True, effects=tuple(draft.effects))


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
        draft.fail(refused.task, refused.name, refused.reason)
