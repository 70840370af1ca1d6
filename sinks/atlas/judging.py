"""What a run becomes by the inputs of a batch; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.core.errors import ErrorName
from pipeline.machine.apply import apply
from pipeline.machine.effects import ChangeAsset, Effect, KeepOutput, Transition, WriteEntity
from pipeline.machine.failure import refused
from pipeline.machine.inputs import Command, Input, ItemDecision, Refused
from pipeline.machine.inputs import Tick as Due
from pipeline.machine.opened import OpenedRuns
from pipeline.machine.run import Run
from pipeline.messages.envelopes import ErrorInfo, Outcome, Result
from pipeline.messages.seal import Seal
from pipeline.spec.expressions import Evaluator
from pipeline.store import types
from pipeline.store.mapping import effect_writes, run_write, touched_by
from sinks.atlas.writing import Piece


@dataclass(frozen=True, slots=True)
class Loaded:
    """A run before the batch, and what reading it brought.

    ``must_write``: the store has another text than this run's, so it is written even if nothing changes it.
    ``is_new``: the store has no state of it yet.
    ``is_untold``: nobody has been told of this revision, so what it starts goes out with the next one.
    ``name`` and ``attributes`` go into the run's write as they are. ``outputs`` are those at hand of the run's outputs
    that are entities, by task.
    """

    run: Run
    name: str
    must_write: bool = False
    is_new: bool = False
    is_untold: bool = False
    inputs: tuple[Input, ...] = ()
    effects: tuple[Effect, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A run after the batch, and what must be written for that; ``piece`` is None where the store has it already."""

    loaded: Loaded
    run: Run
    piece: Piece | None


class Judge:
    """The machine with what it needs handed in."""

    def __init__(self, seal: Seal, evaluator: Evaluator, opened: OpenedRuns | None = None) -> None:
        """``seal`` signs the documents that are written, and ``opened`` hears of them."""
        self._seal = seal
        self._evaluator = evaluator
        self._opened = opened or OpenedRuns(seal, evaluator)

    def plan(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> Plan:
        """All inputs in one transition, in the order in which they count.

        Raises:
            OutputsNeededError: an expression reads outputs that ``loaded`` doesn't have.
            Exception: whatever the machine raises on an input it can't digest; nothing has changed then.
        """
        return self._plan(loaded, self._applied(loaded, inputs, now_ms))

    def ended(self, loaded: Loaded, sentence: str, now_ms: int) -> Plan:
        """The run FAILURE, as small as it can be."""
        return self._plan(loaded, refused(loaded.run, sentence, now_ms=now_ms))

    def _plan(self, loaded: Loaded, transition: Transition) -> Plan:
        effects = (*loaded.effects, *transition.effects)
        entities = effect_writes(effects)
        if transition.is_changed or loaded.must_write:
            state = run_write(transition.run, loaded.name, self._seal)
            self._opened.signed(transition.run, state.attributes[types.RUN_CONFIG])
            if loaded.attributes:
                state = state.model_copy(update={"attributes": {**loaded.attributes, **state.attributes}})
            entities.insert(0, state)
        changes = tuple(effect.change for effect in effects if isinstance(effect, ChangeAsset))
        piece = Piece(loaded.run.guid, tuple(entities), touched_by(effects), changes) if entities else None
        return Plan(loaded, transition.run, piece)

    def tasks_with_entities(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> list[str]:
        """Tasks whose results bring entities or changes: those a refusal can be about. Raises as :meth:`plan`."""
        transition = self._applied(loaded, inputs, now_ms)
        own = WriteEntity | ChangeAsset | KeepOutput
        return sorted({effect.task for effect in transition.effects if isinstance(effect, own)})

    def _applied(self, loaded: Loaded, inputs: Sequence[Input], now_ms: int) -> Transition:
        transition = apply(
            loaded.run, in_order(inputs), now_ms=now_ms, evaluator=self._evaluator, outputs=loaded.outputs
        )
        if not (loaded.is_untold and transition.is_changed):
            return transition
        return replace(transition, run=_sent_with(transition.run, loaded.run.revision))


def _sent_with(run: Run, untold: int) -> Run:
    """The run whose tasks that were started in a revision nobody hears of are dispatched with this one."""
    tasks = {
        name: replace(state, dispatched_revision=run.revision) if state.dispatched_revision == untold else state
        for name, state in run.tasks.items()
    }
    return replace(run, tasks=tasks)


def in_order(inputs: Sequence[Input]) -> list[Input]:
    """Results first (a decision may be about what one of them opened), then what people asked by its time, then what
    the store refused; time is judged last, so that nothing done in time comes too late.
    """
    return sorted(inputs, key=_rank)


def _rank(given: Input) -> tuple[int, int, str]:
    match given:
        case Result():
            return (0, 0, "")  # sorting keeps the order of arrival
        case Command():
            return (1, _at(given), given.qualified_name)
        case ItemDecision():
            return (1, given.at, given.item)
        case Refused():
            return (2, 0, "")
        case Due():
            return (3, given.at, "")


def _at(command: Command) -> int:
    at = command.body.get("at")
    return at if isinstance(at, int) else 0


def engine_failure(result: Result, sentence: str) -> Result:
    """What stands in for a result that nobody could apply: its task fails and says so."""
    return result.model_copy(
        update={
            "outcome": Outcome.FAILED,
            "output": None,
            "state": None,
            "continue_at": None,
            "continue_cause": None,
            "entities": (),
            "changes": None,
            "error": ErrorInfo(name=ErrorName.ENGINE_INTERNAL, message=sentence),
        }
    )
