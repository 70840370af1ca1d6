"""The ``retry`` of a task: ASL's names and defaults, closed error names, bounded numbers."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.core.errors import ErrorName, Problem
from pipeline.core.limits import RETRIERS_MAX, RETRIES_MAX, SPAN_S_MAX
from pipeline.spec.pointers import child, did_you_mean, shown

TASK_ALL: Final = "Task.ALL"
_JITTERS: Final = ("NONE", "FULL")
_BACKOFF_RATE_MAX: Final = 100
_KEYS: Final = (
    "errorEquals",
    "intervalSeconds",
    "maxAttempts",
    "backoffRate",
    "maxDelaySeconds",
    "jitterStrategy",
)
_NEVER_RETRIED: Final = frozenset({ErrorName.CONDITION_FALSE, ErrorName.EXPRESSION_ABSENT_OUTPUT})
Findings = Iterator[Problem]


def read_retry(retry: Any, pointer: str) -> tuple[list[dict[str, Any]], list[Problem]]:
    """The retriers as they are stored, and everything that is wrong with them; ``[]`` means never."""
    if not isinstance(retry, list):
        return [], [Problem(pointer, "Spec.Retry", "`retry` must be a list; an empty one means never.")]
    if len(retry) > RETRIERS_MAX:
        return [], [Problem(pointer, "Spec.Retry", f"`retry` has at most {RETRIERS_MAX} entries.")]
    problems = [problem for index, body in enumerate(retry) for problem in _retrier(body, child(pointer, index))]
    problems += _alone_and_last(retry, pointer)
    return [dict(body) for body in retry if isinstance(body, dict)], problems


def _retrier(body: Any, pointer: str) -> Findings:
    if not isinstance(body, dict):
        yield Problem(pointer, "Spec.Retry", "An entry of `retry` must be an object.")
        return
    for key in body:
        if key not in _KEYS:
            detail = f"The key `{shown(str(key))}` isn't known here.{did_you_mean(str(key), _KEYS)}"
            yield Problem(child(pointer, key), "Spec.UnknownKey", detail)
    yield from _errors(body.get("errorEquals"), child(pointer, "errorEquals"))
    yield from _number(body, pointer, "intervalSeconds", (0.001, SPAN_S_MAX))
    yield from _number(body, pointer, "maxDelaySeconds", (0.001, SPAN_S_MAX))
    yield from _number(body, pointer, "backoffRate", (1, _BACKOFF_RATE_MAX))
    attempts = body.get("maxAttempts", 3)
    if not isinstance(attempts, int) or isinstance(attempts, bool) or not 0 <= attempts <= RETRIES_MAX:
        detail = f"`maxAttempts` must be a whole number from 0 to {RETRIES_MAX}."
        yield Problem(child(pointer, "maxAttempts"), "Spec.Retry", detail)
    if body.get("jitterStrategy", "NONE") not in _JITTERS:
        yield Problem(child(pointer, "jitterStrategy"), "Spec.Retry", "`jitterStrategy` must be NONE or FULL.")


def _number(body: Mapping[str, Any], pointer: str, key: str, bounds: tuple[float, float]) -> Findings:
    value = body.get(key, bounds[1])
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not bounds[0] <= value <= bounds[1]:
        detail = f"`{key}` must be a number from {bounds[0]} to {bounds[1]}."
        yield Problem(child(pointer, key), "Spec.Retry", detail)


def _errors(errors: Any, pointer: str) -> Findings:
    if not isinstance(errors, list) or not errors:
        yield Problem(pointer, "Spec.Retry", "`errorEquals` must be a list of at least one error name.")
        return
    for index, name in enumerate(errors):
        where = child(pointer, index)
        if not isinstance(name, str) or name not in {TASK_ALL, *ErrorName}:
            hint = did_you_mean(name, [TASK_ALL, *ErrorName]) if isinstance(name, str) else ""
            yield Problem(where, "Spec.Retry", f"`{shown(str(name))}` isn't the name of an error.{hint}")
        elif name in _NEVER_RETRIED:
            yield Problem(where, "Spec.Retry", f"`{name}` is never retried: it would end the same again.")


def _alone_and_last(retry: list[Any], pointer: str) -> Findings:
    for index, body in enumerate(retry):
        errors = body.get("errorEquals") if isinstance(body, dict) else None
        if not isinstance(errors, list) or TASK_ALL not in errors:
            continue
        where = child(child(pointer, index), "errorEquals")
        if len(errors) > 1:
            yield Problem(where, "Spec.Retry", "`Task.ALL` must stand alone in its entry.")
        if index < len(retry) - 1:
            yield Problem(where, "Spec.Retry", "`Task.ALL` must be in the last entry.")
