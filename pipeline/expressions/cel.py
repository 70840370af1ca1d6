"""CEL by ``cel-expr-python`` (the official C++ implementation); why this one: ADR 2."""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final

from cel_expr_python import cel

from pipeline.core.limits import EXPRESSION_CHARS_MAX, RESOLVED_BYTES_MAX
from pipeline.expressions.cost import IN_ORDER, Cost, cost_of, excess_with, in_order
from pipeline.expressions.typed_names import is_of_messages, plain_names, typed_environment
from pipeline.spec.expressions import ExpressionAbsentError, ExpressionError, ExpressionProblem
from pipeline.spec.lexemes import LexemeError, fields_of
from pipeline.spec.pointers import did_you_mean, shown

PROGRAMS_KEPT_MAX: Final = 1024
"""Compiled programs kept; compiling takes 40 µs and more, the same few expressions come again and again."""

_NAMES: Final = ("run", "tasks", "asset", "now", "item")
_MEMBERS_OF_RUN: Final = ("input", "requester")
_MEMBERS_OF_REQUESTER: Final = ("name", "email", "groups")

_ABSENT: Final = re.compile(
    r"NOT_FOUND: Key not found in map : (?P<key>.*)"
    r"|UNKNOWN: Index error: index=(?P<index>-?\d+) size=\d+"
    r'|UNKNOWN: No value with name "(?P<name>[\w.]+)" found in Activation',
    re.DOTALL,
)
_REASONS: Final = (
    ("UNKNOWN: No matching overloads found", "The expression combines values of types that don't go together."),
    ("INVALID_ARGUMENT: Applying SELECT", "The expression reads a field of a value that has no fields."),
    ("INVALID_ARGUMENT: divide by zero", "The expression divides by zero."),
    ("INVALID_ARGUMENT: modulus by zero", "The expression divides by zero."),
    ("OUT_OF_RANGE", "A number in the expression becomes too large."),
    ("INTERNAL: Iteration budget exceeded", "The expression walks through too many values (10,000 at most)."),
    ("INVALID_ARGUMENT: invalid regular expression", "A pattern in the expression isn't a regular expression."),
    ("INVALID_ARGUMENT: Integer value", "A number in the data has more than 64 bits."),
)
_REPORTED: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'")
_SHOWN_AS: Final = {
    "wrapper(string)": "string",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
}
_WELL_KNOWN: Final = re.compile("|".join(map(re.escape, _SHOWN_AS)))
_SELECT: Final = re.compile(r"expression of type '.*' cannot be the operand of a select")
_SYNTAX: Final = re.compile(r"Syntax error: (?:mismatched|extraneous) input '(.*?)' expecting")


@dataclass(frozen=True, slots=True)
class _Program:
    expression: Any
    cost: Cost
    result_type: Any


@dataclass(frozen=True, slots=True)
class _Refused:
    problems: tuple[ExpressionProblem, ...]


class CelEvaluator:
    """The evaluator of the product; keeps compiled programs. One instance may serve a whole process."""

    def __init__(self, programs_kept_max: int = PROGRAMS_KEPT_MAX) -> None:
        """``programs_kept_max`` is at least 1."""
        self._environment = _environment()
        self._typed = typed_environment()
        self._kept_max = programs_kept_max
        self._programs: OrderedDict[str, _Program | _Refused] = OrderedDict()

    def check(self, text: str, *, is_condition: bool = False) -> tuple[ExpressionProblem, ...]:
        """See :class:`pipeline.spec.expressions.Evaluator`."""
        program = self._program(text)
        if isinstance(program, _Refused):
            return program.problems
        if is_condition and program.result_type not in _TRUTHS:
            return (ExpressionProblem(None, "The expression isn't a condition: it must be true or false."),)
        return ()

    def evaluate(self, text: str, scope: Mapping[str, Any]) -> Any:
        """See :class:`pipeline.spec.expressions.Evaluator`.

        A time becomes RFC 3339 text, a length of time ISO 8601 text; bytes, types, infinities and keys that aren't
        texts have no JSON and are errors. Members come in the order of their keys.
        """
        program = self._program(text)
        if isinstance(program, _Refused):
            raise ExpressionError(program.problems[0].detail)
        if excess := excess_with(program.cost, scope):
            raise ExpressionError(excess)
        try:
            value = program.expression.eval(data=_activation(scope))
        except RuntimeError as error:
            raise _failure(str(error)) from None
        return _Conversion().json(value)

    def is_true(self, text: str, scope: Mapping[str, Any]) -> bool:
        """See :class:`pipeline.spec.expressions.Evaluator`."""
        result = self.evaluate(text, scope)
        if not isinstance(result, bool):
            raise ExpressionError("The expression isn't a condition: it must be true or false.")
        return result

    def _program(self, text: str) -> _Program | _Refused:
        program = self._programs.get(text)
        if program is None:
            program = self._compile(text)
            if len(text) <= EXPRESSION_CHARS_MAX:
                self._programs[text] = program
            if len(self._programs) > self._kept_max:
                self._programs.popitem(last=False)
        return program

    def _compile(self, text: str) -> _Program | _Refused:
        if unreadable := _unreadable(text):
            return _refused(unreadable)
        try:
            cost = cost_of(text)
        except LexemeError as error:
            return _refused(str(error), error.position)
        if excess := cost.excess:
            return _refused(excess)
        if problems := (*_unknown_members(text),):
            return _Refused(problems)
        return self._checked(text, cost)

    def _checked(self, text: str, cost: Cost) -> _Program | _Refused:
        typed = self._result_type(text)
        if isinstance(typed, _Refused):
            return typed
        try:
            plain = self._environment.compile(text)  # the author's own text, for the positions in its errors
            result_type = plain.return_type() if typed is None else typed
            return _Program(self._environment.compile(in_order(text)), cost, result_type)
        except RuntimeError as error:
            return _Refused(_problems(str(error), text))

    def _result_type(self, text: str) -> Any:
        """The type by what is known of every name; ``None`` if the text treats an object in ways only maps know."""
        try:
            return self._typed.compile(text).return_type()
        except RuntimeError as error:
            report = "\n".join(line for line in str(error).split("\n") if not is_of_messages(line))
            return _Refused(_problems(report, text)) if _REPORTED.search(report) else None


def _unreadable(text: str) -> str | None:
    """Why the text isn't even given to the library."""
    if len(text) > EXPRESSION_CHARS_MAX:
        return f"The expression is longer than {EXPRESSION_CHARS_MAX} characters."
    if not text.strip():
        return "The expression is empty."
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "The expression contains half a character."
    return None


def _environment() -> Any:
    types = cel.Type
    visited = [
        cel.Overload(
            id=f"in_order_{kind}",
            return_type=types.List(types.DYN),
            parameters=[parameter],
            is_member=True,
            impl=_visited,
        )
        for kind, parameter in (("map", types.Map(types.DYN, types.DYN)), ("list", types.List(types.DYN)))
    ]
    return cel.NewEnv(
        variables=plain_names(),
        functions=[cel.FunctionDecl(IN_ORDER, visited)],
    )


_TRUTHS: Final = (cel.Type.BOOL, cel.Type.DYN)


def _visited(value: Any) -> Any:
    return sorted(value, key=lambda key: (type(key).__name__, key)) if isinstance(value, dict) else value


def _activation(scope: Mapping[str, Any]) -> dict[str, Any]:
    """A run without an asset has an empty one, and nulls of the requester are left out: absent, not wrong."""
    run = scope["run"]
    data: dict[str, Any] = {
        "run.input": run["input"],
        "run.requester": {key: value for key, value in run["requester"].items() if value is not None},
        "tasks": scope["tasks"],
        "asset": scope["asset"] or {},
        "now": datetime.fromtimestamp(scope["now"] // 1000, UTC) + timedelta(milliseconds=scope["now"] % 1000),
    }
    if "item" in scope:
        data["item"] = scope["item"]
    return data


def _refused(detail: str, position: int | None = None) -> _Refused:
    return _Refused((ExpressionProblem(position, detail),))


def _unknown_members(text: str) -> Iterator[ExpressionProblem]:
    for path, known in ((("run",), _MEMBERS_OF_RUN), (("run", "requester"), _MEMBERS_OF_REQUESTER)):
        for name, position in fields_of(text, *path):
            if name not in known:
                what = ".".join(path)
                detail = f"`{what}.{shown(name)}` names nothing.{did_you_mean(name, known)}"
                yield ExpressionProblem(position, detail)


def _problems(report: str, text: str) -> tuple[ExpressionProblem, ...]:
    """The findings in the library's report, in words of ours; its own text names places in its source."""
    found = [
        ExpressionProblem(_offset(text, int(line), int(column)), _sentence(message))
        for line, column, message in _REPORTED.findall(report)
        if int(line) > 0
    ]
    if not found:
        depth = "recursion" in report
        detail = "The expression is nested too deep." if depth else "The expression can't be read."
        found = [ExpressionProblem(None, detail)]
    return tuple(dict.fromkeys(found))


def _offset(text: str, line: int, column: int) -> int:
    lines = text.split("\n")
    return min(len(text), sum(len(before) + 1 for before in lines[: line - 1]) + column - 1)


def _sentence(message: str) -> str:
    if match := _UNDECLARED.search(message):
        return _undeclared(match[1])
    if match := _OVERLOAD.search(message):
        operator = match[1].replace("_", "").replace("@", "") or match[1]
        return f"`{shown(operator)}` can't be applied to ({shown(_operands(match[2]))})."
    if _SELECT.search(message):
        return "The expression reads a field of a value that has no fields."
    if match := _SYNTAX.search(message):
        is_end = match[1] == "<EOF>"
        return "The expression ends too early." if is_end else f"`{shown(match[1])}` can't stand here."
    if "recursion" in message:
        return "The expression is nested too deep."
    return f"The expression can't be read: {shown(message, 160).rstrip('.')}."


def _operands(types: str) -> str:
    """The types in ``(a, b)``, and in ``a.(b)``, which is how the library writes the call of a method."""
    receiver, _, arguments = _WELL_KNOWN.sub(lambda found: _SHOWN_AS[found[0]], types).removesuffix(")").partition("(")
    return ", ".join(part for part in (receiver.removesuffix("."), arguments) if part)


def _undeclared(name: str) -> str:
    if name == "run":
        return "`run` can't stand alone: use `run.input` or `run.requester`."
    return f"`{shown(name)}` names nothing.{did_you_mean(name.partition('.')[0], _NAMES)}"


def _failure(report: str) -> ExpressionError:
    """The error for a report of the evaluation, which may quote values of the run: none of its text is passed on."""
    if match := _ABSENT.match(report):
        if match["index"] is not None:
            return ExpressionAbsentError(f"The expression names element {match['index'][:20]}, which isn't there.")
        key = (match["key"] or match["name"] or "").strip('"')
        return ExpressionAbsentError(f"The expression names `{shown(key)}`, which isn't there.")
    for start, sentence in _REASONS:
        if report.startswith(start):
            return ExpressionError(sentence)
    return ExpressionError("The expression can't be evaluated with these values.")


class _Conversion:
    """From the library's values to JSON, counting: shared parts of a result are written out in full."""

    def __init__(self) -> None:
        self._left_bytes = RESOLVED_BYTES_MAX

    def json(self, value: Any) -> Any:  # noqa: PLR0911  (one a kind of value)
        kind = value.type()
        if kind == cel.Type.ERROR:
            raise _failure(str(value.value()))
        if kind == cel.Type.NULL:
            # The library's value() of a null gives back a None that it doesn't own: where None is counted (before
            # Python 3.12) enough of them end the process with "none_dealloc".
            self._spend(2)
            return None
        plain = value.value()
        self._spend(len(plain.encode()) if isinstance(plain, str) else 2)
        if plain is None or isinstance(plain, bool | int | str):
            return plain
        if isinstance(plain, float):
            if not isfinite(plain):
                raise ExpressionError("The result isn't a finite number.")
            return plain
        if isinstance(plain, list):
            return [self.json(inner) for inner in plain]
        if isinstance(plain, dict):
            return self._object(plain)
        if isinstance(plain, datetime):
            return plain.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if isinstance(plain, timedelta):
            return _duration(plain)
        raise ExpressionError("The result has a type that JSON hasn't.")

    def _object(self, members: dict[Any, Any]) -> dict[str, Any]:
        if not all(isinstance(key, str) for key in members):
            raise ExpressionError("The result has a key that isn't a text.")
        self._spend(sum(len(key.encode()) for key in members))
        return {key: self.json(members[key]) for key in sorted(members)}

    def _spend(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise ExpressionError(f"The result is larger than {RESOLVED_BYTES_MAX} bytes.")


def _duration(length: timedelta) -> str:
    sign = "-" if length < timedelta() else ""
    seconds, rest = divmod(abs(length), timedelta(seconds=1))
    fraction = f".{rest.microseconds:06d}".rstrip("0").rstrip(".")
    return f"{sign}PT{seconds}{fraction}S"
