"""A run whose inputs can't be written together: each gets a write of its own, so that the one to blame stands alone."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from pipeline.core.statuses import CommandStatus
from pipeline.machine.effects import CloseCommand
from pipeline.machine.inputs import Command, Input, Refused
from pipeline.messages.envelopes import Result
from pipeline.store.port import StoreUnavailableError
from sinks.atlas.judging import Loaded, Plan, engine_failure, in_order
from sinks.atlas.planning import Planner
from sinks.atlas.writing import BulkWriter, Fate, Written


@dataclass(frozen=True, slots=True)
class Step:
    """How one input ended. ``plan`` is what was written for it, None where nothing had to be.

    REFUSED says that the input itself is to blame; something may have been written all the same (its task's failure).
    """

    given: Input
    end: Written
    plan: Plan | None = None


class OneByOne:
    """Asks the store about one input after another."""

    def __init__(self, planner: Planner, writer: BulkWriter) -> None:
        """Both are the sink's own."""
        self._planner = planner
        self._writer = writer

    async def steps(self, found: Loaded, inputs: Sequence[Input], now_ms: int) -> AsyncIterator[Step]:
        """In the order in which they count; ends early at the first whose write isn't certain.

        Raises:
            StoreUnavailableError: what one of them needs can't be read.
        """
        current = replace(found, inputs=())
        for given in in_order(inputs):
            step = await self._step(current, given, now_ms)
            yield step
            if step.end.fate not in {Fate.WRITTEN, Fate.REFUSED}:
                return
            if step.plan is not None:
                current = Loaded(step.plan.run, found.name)

    async def _step(self, current: Loaded, given: Input, now_ms: int) -> Step:
        try:
            plan = await self._planner.plan(current, [given], now_ms)
            blamed = self._planner.judge.tasks_with_entities(plan.loaded, [given], now_ms)
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  (one poison input; the run says so and goes on)
            return await self._poison(current, given, now_ms, f"the engine failed on this ({type(error).__name__})")
        step = await self._write(plan, given)
        if step.end.fate is Fate.REFUSED and blamed:
            refusals = [Refused(task, step.end.reason, step.end.error) for task in blamed]
            plan = await self._planner.plan(plan.loaded, [given, *refusals], now_ms)
            step = await self._write(plan, given)
        if step.end.fate is Fate.REFUSED:
            return await self._last_resort(current, step, now_ms)
        return step

    async def _last_resort(self, current: Loaded, refused: Step, now_ms: int) -> Step:
        """Nobody's entities are to blame, so it is the document, which nothing later would make any smaller: its end
        does, with what its failures said left out.
        """
        sentence = f"The store refuses what this run has become: {refused.end.reason}"
        step = await self._write(self._planner.judge.ended(current, sentence, now_ms), refused.given)
        if step.end.fate is not Fate.WRITTEN:
            return refused if step.end.fate is Fate.REFUSED else step
        is_result = isinstance(refused.given, Result)
        return Step(refused.given, refused.end if is_result else step.end, step.plan)

    async def _poison(self, current: Loaded, given: Input, now_ms: int, reason: str) -> Step:
        """The run says what failed, as far as it can: a result's task fails, a command is refused."""
        inputs: list[Input] = []
        if isinstance(given, Result):
            inputs.append(engine_failure(given, reason))
        elif isinstance(given, Command):
            verdict = CloseCommand(given.guid, given.qualified_name, CommandStatus.REFUSED, reason)
            current = replace(current, effects=(*current.effects, verdict))
        try:
            step = await self._write(await self._planner.plan(current, inputs, now_ms), given)
        except StoreUnavailableError:
            raise
        except Exception:  # noqa: BLE001  (the run itself can't be digested: the dead letter is all that can be said)
            return Step(given, Written(Fate.REFUSED, reason))
        if step.end.fate is Fate.WRITTEN:
            return Step(given, Written(Fate.REFUSED, reason), step.plan)
        return step

    async def _write(self, plan: Plan, given: Input) -> Step:
        if plan.piece is None:
            return Step(given, Written(Fate.WRITTEN), None)
        end = (await self._writer.write([plan.piece]))[plan.run.guid]
        return Step(given, end, plan if end.fate is Fate.WRITTEN else None)
