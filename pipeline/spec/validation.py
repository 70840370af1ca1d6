"""Everything that can be known to be wrong with a spec before it runs, all of it at once."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pipeline.core.errors import Problem
from pipeline.spec.control import CONDITION, SWITCH, case_names, default_of
from pipeline.spec.depends import HUMAN_RESULTS, LIST_RESULTS, operands, parse, quote_name
from pipeline.spec.expression_validation import check_expressions
from pipeline.spec.expressions import Evaluator
from pipeline.spec.form import check_form
from pipeline.spec.graph import Shape, can_run, certain_successes, in_order
from pipeline.spec.input_schema import check_input as check_input  # noqa: PLC0414  (callers know it from here)
from pipeline.spec.input_schema import check_schema
from pipeline.spec.model import Spec, arguments_of, spec_of
from pipeline.spec.pointers import child, did_you_mean, shown
from pipeline.spec.switch_validation import case_problem, check_switches
from pipeline.spec.syntax import Reading, read
from pipeline.spec.templates import has_template

_DEADLINE: Final = "dueIn"
_FORM: Final = "form"
_TYPES_OF_LATER: Final = frozenset({"FOR_EACH", "WORKFLOW", "CALLBACK", "TRANSFORM", "JIRA", "SLACK", "WEBHOOK"})


class BlockTypes(Protocol):
    """The installed types of tasks, CONDITION included or not."""

    def types(self) -> Collection[str]:
        """Every type a task may have."""
        ...

    def is_human(self, block_type: str, /) -> bool:
        """Whether people decide such a task: it ends APPROVED or REJECTED, and needs a deadline."""
        ...

    def expressions(self, block_type: str, /) -> Mapping[str, str]:
        """Arguments that are expressions, by their path (``approvers.expression``): ``condition`` or ``value``."""
        ...

    def secret_arguments(self, block_type: str, /) -> Collection[str]:
        """The arguments in which templates may name secrets."""
        ...

    def check_arguments(
        self, block_type: str, arguments: Mapping[str, Any], is_template: Callable[[Any], bool], /
    ) -> Sequence[Problem]:
        """What is certainly wrong with unresolved arguments; pointers start at the arguments (``/dueIn``)."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """Findings in the order of the document; ``spec`` and ``normalised`` are there if there is no error.

    ``code`` of a problem is stable: ``Spec.…``, or ``Arguments.…`` from a block's own model.
    """

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    spec: Spec | None = None
    normalised: dict[str, Any] | None = None

    @property
    def is_valid(self) -> bool:
        """Whether the spec may be stored and run."""
        return not self.errors


def validate(document: Any, blocks: BlockTypes, evaluator: Evaluator) -> Report:
    """All findings about a document; never raises, pure, may take some tens of milliseconds for a large one."""
    reading = read(document)
    warnings: list[Problem] = []
    if "input" in reading.normalised:
        reading.problems.extend(check_schema(reading.normalised["input"]))
    if reading.tasks:
        _tasks(reading, blocks, evaluator, warnings)
    if reading.problems:
        return Report(_sorted(reading.problems), _sorted(warnings))
    return Report((), _sorted(warnings), spec_of(reading.normalised), reading.normalised)


def _sorted(problems: list[Problem]) -> tuple[Problem, ...]:
    """In the order of the document as far as pointers tell it; each problem once."""

    def place(problem: Problem) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in problem.pointer.split("/")]

    return tuple(sorted(dict.fromkeys(problems), key=place))


def _tasks(reading: Reading, blocks: BlockTypes, evaluator: Evaluator, warnings: list[Problem]) -> None:
    types = frozenset(blocks.types()) | {CONDITION}
    for index, body in reading.tasks:
        pointer = f"/dag/tasks/{index}"
        _type(reading, pointer, body, types)
        _needs(reading, pointer, body, blocks)
        if body["type"] in types:
            _arguments(reading, index, body, blocks)
    _ends(reading)
    shapes = {
        body["name"]: Shape(
            parse(body.get("depends", "")),
            blocks.is_human(body["type"]),
            body["type"] in {CONDITION, SWITCH},
            "when" in body,
            _cases(body),
        )
        for _, body in reversed(reading.tasks)
    }
    certain = _graph(reading, dict(reversed(shapes.items())))
    check_switches(reading, warnings)
    check_expressions(reading, evaluator, certain, warnings, blocks)


def _type(reading: Reading, pointer: str, body: Mapping[str, Any], types: frozenset[str]) -> None:
    name = body["type"]
    if name in types:
        return
    if name in _TYPES_OF_LATER:
        reading.say(f"{pointer}/type", "Spec.NotAvailable", f"The type `{name}` isn't available in this version.")
        return
    hint = did_you_mean(name, types) or f" There are {', '.join(sorted(types))}."
    reading.say(f"{pointer}/type", "Spec.UnknownType", f"There is no block of type `{shown(name)}`.{hint}")


def _needs(reading: Reading, pointer: str, body: Mapping[str, Any], blocks: BlockTypes) -> None:
    where = f"{pointer}/depends"
    bodies = {task["name"]: task for _, task in reading.tasks} if body.get("depends") else {}
    for operand in operands(parse(body.get("depends", ""))):
        named = f"`{shown(quote_name(operand.task))}`"
        if operand.task not in reading.declared:
            detail = (
                f"`depends` names the task {named}, which isn't there.{did_you_mean(operand.task, reading.declared)}"
            )
            reading.say(where, "Spec.DanglingDepends", detail)
        elif operand.case is not None:
            if operand.task in bodies and (problem := case_problem(operand, bodies[operand.task])):
                reading.say(where, *problem)
        elif operand.result in LIST_RESULTS:
            detail = f"`{operand.result}` is for lists: FOR_EACH isn't available in this version."
            reading.say(where, "Spec.NotAvailable", detail)
        elif operand.result in HUMAN_RESULTS and not _may_be_human(bodies.get(operand.task), blocks):
            detail = f"{named} isn't decided by people, so it can't end {operand.result}; use SUCCESS or FAILURE."
            reading.say(where, "Spec.HumanResult", detail)


def _may_be_human(body: Mapping[str, Any] | None, blocks: BlockTypes) -> bool:
    return body is None or blocks.is_human(body["type"])


def _cases(body: Mapping[str, Any]) -> tuple[str | None, ...]:
    if body["type"] != SWITCH:
        return (None,)
    arguments = arguments_of(body)
    return (*case_names(arguments), *([] if default_of(arguments) else [None]))


def _arguments(reading: Reading, index: int, body: Mapping[str, Any], blocks: BlockTypes) -> None:
    arguments = arguments_of(body)
    base = f"/dag/tasks/{index}/arguments"
    has_deadline = _DEADLINE in arguments
    for problem in blocks.check_arguments(body["type"], arguments, has_template):
        _, _, rest = problem.pointer.partition("/")
        key, slash, below = rest.partition("/")
        name = key.replace("~1", "/").replace("~0", "~")
        place = reading.argument_pointers.get((index, name), child(base, name) if key else base)
        reading.say(f"{place}{slash}{below}", problem.code, problem.detail)
        has_deadline |= key == _DEADLINE
    if body["type"] == CONDITION and CONDITION not in blocks.types():
        _condition(reading, base, arguments)
    if blocks.is_human(body["type"]) and isinstance(arguments.get(_FORM), dict):
        place = reading.argument_pointers.get((index, _FORM), child(base, _FORM))
        for problem in check_form(arguments[_FORM], place):
            reading.say(problem.pointer, problem.code, problem.detail)
    if blocks.is_human(body["type"]) and not has_deadline:
        detail = "Say by when people must decide: give `dueIn`, such as P3D for three days."
        reading.say(f"{base}/{_DEADLINE}", "Spec.NoDeadline", detail)


def _condition(reading: Reading, base: str, arguments: Mapping[str, Any]) -> None:
    """The arguments of a CONDITION where the installed types leave it to the language."""
    if not isinstance(arguments.get("expression"), str):
        detail = "A CONDITION needs the argument `expression`, a text."
        reading.say(f"{base}/expression", "Arguments.Missing", detail)
    for key in arguments:
        if key != "expression":
            detail = f"A CONDITION has no argument `{shown(key)}`.{did_you_mean(key, ['expression'])}"
            reading.say(child(base, key), "Arguments.UnknownKey", detail)


def _ends(reading: Reading) -> None:
    by_name = reading.declared
    dag = reading.normalised["dag"]
    entrypoint = dag["entrypoint"]
    if isinstance(entrypoint, str):
        if entrypoint not in by_name:
            detail = f"`entrypoint` names `{shown(entrypoint)}`, which isn't there.{did_you_mean(entrypoint, by_name)}"
            reading.say("/dag/entrypoint", "Spec.Entrypoint", detail)
        elif any(body["name"] == entrypoint and body.get("depends") for _, body in reading.tasks):
            detail = f"`{shown(entrypoint)}` starts the workflow, so it can't have `depends`."
            reading.say("/dag/entrypoint", "Spec.Entrypoint", detail)
    for place, name in enumerate(dag["exitpoints"]):
        if name not in by_name:
            detail = f"`exitpoints` names `{shown(name)}`, which isn't there.{did_you_mean(name, by_name)}"
            reading.say(f"/dag/exitpoints/{place}", "Spec.Exitpoint", detail)
        elif name in dag["exitpoints"][:place]:
            reading.say(f"/dag/exitpoints/{place}", "Spec.Exitpoint", f"`{shown(name)}` is named twice.")


def _graph(reading: Reading, shapes: Mapping[str, Shape]) -> Mapping[str, frozenset[str]] | None:
    """Report cycles and tasks that never run; the certain successes, or ``None`` where the shape is wrong already."""
    by_name = reading.declared
    order, cycles = in_order(shapes)
    for path in cycles:
        shown_path = " → ".join(quote_name(name) for name in path)
        detail = f"These tasks wait for each other for ever: {shown(shown_path, 300)}."
        reading.say(f"/dag/tasks/{by_name[path[0]]}/depends", "Spec.Cycle", detail)
    is_whole = all(operand.task in shapes for shape in shapes.values() for operand in operands(shape.depends))
    if cycles or not is_whole or any(_is_wrong(shape, shapes) for shape in shapes.values()):
        return None
    never: set[str] = set()
    for name in order:
        if not can_run(name, shapes, never):
            never.add(name)
            detail = f"`{shown(name)}` can never run: its `depends` is never true."
            reading.say(f"/dag/tasks/{by_name[name]}/depends", "Spec.Unreachable", detail)
    return certain_successes(order, shapes)


def _is_wrong(shape: Shape, shapes: Mapping[str, Shape]) -> bool:
    """Whether a ``depends`` asks for what the task it names can't be asked for, which has been said."""
    return any(
        operand.result in LIST_RESULTS or (operand.case is not None and operand.case not in shapes[operand.task].cases)
        for operand in operands(shape.depends)
    )
