"""Enough of an expression language for generated specs, a hundred times faster than a real one."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pipeline.spec.expressions import ExpressionAbsentError, ExpressionError, ExpressionProblem

_OUTPUT: Final = re.compile(r'tasks\["([^"]+)"\]\.output')
_SAID: Final = re.compile(r'tasks\["([^"]+)"\]\.output\.said == "([^"]*)"')
_IS: Final = re.compile(r'tasks\["([^"]+)"\]\.status == "([A-Z_]+)"')


class FakeEvaluator:
    """Knows ``true``, ``false``, ``now``, ``tasks["t"].output``, ``tasks["t"].status == "SUCCESS"`` and
    ``tasks["t"].output.said == "s"``, which is false where there is no output.
    """

    def check(self, text: str, *, is_condition: bool = False) -> tuple[ExpressionProblem, ...]:  # noqa: ARG002
        """See :class:`pipeline.spec.expressions.Evaluator`."""
        is_known = text in {"true", "false", "now"} or any(form.fullmatch(text) for form in (_OUTPUT, _IS, _SAID))
        return () if is_known else (ExpressionProblem(0, "the fake language doesn't know this"),)

    def evaluate(self, text: str, scope: Mapping[str, Any]) -> Any:
        """See :class:`pipeline.spec.expressions.Evaluator`."""
        if text in {"true", "false"}:
            return text == "true"
        if text == "now":
            return scope["now"]
        compared = _IS.fullmatch(text)
        if compared:
            return scope["tasks"].get(compared[1], {}).get("status") == compared[2]
        said = _SAID.fullmatch(text)
        if said:
            output = scope["tasks"].get(said[1], {}).get("output") or {}
            return output.get("said") == said[2]
        named = _OUTPUT.fullmatch(text)
        if named is None:
            raise ExpressionError("the fake language doesn't know this")
        try:
            return scope["tasks"][named[1]]["output"]
        except KeyError:
            raise ExpressionAbsentError(f"{named[1]} has no output") from None

    def is_true(self, text: str, scope: Mapping[str, Any]) -> bool:
        """See :class:`pipeline.spec.expressions.Evaluator`."""
        return bool(self.evaluate(text, scope))
