"""The port to the expression language (CEL); the adapter is ``pipeline.expressions``."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from pipeline.core.errors import BlocklineError, ErrorName


class ExpressionError(BlocklineError):
    """An expression that can't be evaluated; the text is one sentence, without values of the run."""

    error_name: ClassVar[ErrorName] = ErrorName.EXPRESSION_ERROR


class ExpressionAbsentError(ExpressionError):
    """It names a key, field or index that isn't there; a ``default`` catches this and nothing else."""

    error_name: ClassVar[ErrorName] = ErrorName.EXPRESSION_ABSENT_OUTPUT


class ExpressionProblem(NamedTuple):
    """One finding of a check: ``position`` is the offset of a character in the text, from 0, where it is known."""

    position: int | None
    detail: str


class Evaluator(Protocol):
    """Checks and evaluates expressions; pure, deterministic, bounded, and may be called from several threads."""

    def check(self, text: str, *, is_condition: bool = False) -> tuple[ExpressionProblem, ...]:
        """Everything that is wrong with the text: syntax, names that aren't declared, types. Never raises.

        ``is_condition``: the result must be a truth value.
        """
        ...

    def evaluate(self, text: str, scope: Mapping[str, Any]) -> Any:
        """The JSON value of the expression.

        ``scope``: ``{"run": {"input", "requester": {"name", "email", "groups"}}, "tasks": {name: {"status",
        "output"?}}, "asset": {...} | None, "now": Unix ms, "item"?: value}``.

        Raises:
            ExpressionAbsentError: a key, field or index that isn't there.
            ExpressionError: anything else, an expression that doesn't pass ``check`` included.
        """
        ...

    def is_true(self, text: str, scope: Mapping[str, Any]) -> bool:
        """The truth of a condition (``when``, CONDITION).

        Raises:
            ExpressionAbsentError: as in ``evaluate``.
            ExpressionError: as in ``evaluate``, or the result isn't a truth value.
        """
        ...
