"""Reading the outputs that arguments name and no message carries."""

from collections.abc import Mapping
from typing import Any, Protocol

from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.messages.envelopes import Deferred
from pipeline.messages.outputs import open_output
from pipeline.messages.seal import TamperedError
from pipeline.spec.arguments import resolved
from pipeline.spec.expressions import Evaluator, ExpressionError


class OutputsAwayError(BlocklineError):
    """They can't be read now; worth asking again later."""


class LostOutputError(ExpressionError):
    """An output isn't in the store as the engine kept it."""

    error_name = ErrorName.ENGINE_TAMPERED


class OutputSource(Protocol):
    """Port to the outputs that are entities; reads only."""

    async def text(self, name: str) -> str | None:
        """The text of the output of that qualified name, ``None`` if there is none; may be called again.

        Raises:
            OutputsAwayError: nobody can say now.
        """
        ...


class ArgumentReader:
    """Makes the arguments of a dispatch that the orchestrator couldn't make."""

    def __init__(self, outputs: OutputSource, evaluator: Evaluator) -> None:
        """``evaluator`` is the one the orchestrator has, so that both give the same."""
        self._outputs = outputs
        self._evaluator = evaluator

    async def arguments(self, deferred: Deferred) -> dict[str, Any]:
        """The arguments; the same each time.

        Raises:
            OutputsAwayError: as the port.
            ExpressionError: an expression can't be evaluated, or an output isn't what the engine kept.
        """
        tasks: dict[str, Mapping[str, Any]] = dict(deferred.scope["tasks"])
        for reference in deferred.outputs:
            try:
                output = open_output(await self._outputs.text(reference.name), reference.sha256)
            except TamperedError:
                detail = f"The output of the task '{reference.task}' isn't in the store as the engine kept it."
                raise LostOutputError(detail) from None
            tasks[reference.task] = {**tasks[reference.task], "output": output}
        scope = {**deferred.scope, "tasks": tasks}
        return resolved(deferred.arguments, deferred.expressions, scope, self._evaluator)
