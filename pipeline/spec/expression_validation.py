"""The expressions of a spec: do they read, do their types fit, do they name what is there, and surely there."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from pipeline.core.errors import Problem
from pipeline.spec.control import CONDITION, SWITCH, cases_of
from pipeline.spec.expressions import Evaluator
from pipeline.spec.lexemes import Lexeme, LexemeError, lexemes, task_names
from pipeline.spec.model import arguments_of
from pipeline.spec.pointers import child, did_you_mean, shown
from pipeline.spec.secret_templates import secret_named
from pipeline.spec.secret_validation import check_secrets
from pipeline.spec.syntax import Reading
from pipeline.spec.templates import OPEN, Placeholder, TemplateError, references

_MEMBERS: Final = ("output", "status")
_EXPRESSION: Final = "expression"
_CONDITION_KIND: Final = "condition"
_NOT_HERE: Final = {
    "item": ("Spec.NotAvailable", "`item` belongs to FOR_EACH, which isn't available in this version."),
    "secrets": (
        "Spec.Secret",
        "A secret stands alone in its template, `{{ secrets.NAME }}`: expressions can't read it.",
    ),
}


class ArgumentKinds(Protocol):
    """What arguments of an installed type may hold."""

    def expressions(self, block_type: str, /) -> Mapping[str, str]:
        """Those that are expressions themselves, by their path."""
        ...

    def secret_arguments(self, block_type: str, /) -> Collection[str]:
        """Those in which templates may name secrets."""
        ...


class _Place(NamedTuple):
    """An expression of a task; ``position`` is where it starts in the string at ``pointer``."""

    task: str
    pointer: str
    text: str
    position: int = 0
    is_condition: bool = False
    has_default: bool = False


def check_expressions(
    reading: Reading,
    evaluator: Evaluator,
    certain: Mapping[str, frozenset[str]] | None,
    warnings: list[Problem],
    blocks: ArgumentKinds,
) -> None:
    """Report what is wrong with ``when``, CONDITION and templates; warn of outputs that may not be there.

    ``certain`` holds for each task those that ended SUCCESS when it runs; without it nothing is warned of.
    """
    known = frozenset(reading.declared)
    for index, body in reading.tasks:
        for place in _places(reading, index, body, blocks):
            _check(reading, place, evaluator, known)
            if certain is not None:
                warnings.extend(_uncertain(place, certain.get(place.task, frozenset()), known))


def _places(reading: Reading, index: int, body: Mapping[str, Any], blocks: ArgumentKinds) -> Iterator[_Place]:
    name, block_type = body["name"], body["type"]
    expressions, secret_arguments = blocks.expressions(block_type), blocks.secret_arguments(block_type)
    if "when" in body:
        yield _Place(name, f"/dag/tasks/{index}/when", body["when"], is_condition=True)
    for key, value in arguments_of(body).items():
        pointer = reading.argument_pointers[index, key]
        match block_type, key:
            case (builtin, _) if builtin == SWITCH:
                yield from _cases(name, pointer, value) if key == "cases" else ()
            case (builtin, "expression") if builtin == CONDITION:
                yield from (_Place(name, pointer, value, is_condition=True),) if isinstance(value, str) else ()
            case _:
                own = {path: kind for path, kind in expressions.items() if path.split(".")[0] == key}
                yield from _of_argument(reading, name, pointer, value, own)
                check_secrets(reading, pointer, value, key, secret_arguments)


def _of_argument(reading: Reading, task: str, pointer: str, value: Any, own: Mapping[str, str]) -> Iterator[_Place]:
    """The expressions an argument is or holds: ``own`` names those that stand in it bare, and the kind of each."""
    for path, kind in own.items():
        where, text, value = _taken(pointer, path.split(".")[1:], value)
        if isinstance(text, str):
            yield _Place(task, where, text, is_condition=kind == _CONDITION_KIND)
    for found in references(value, pointer, lambda where, error: _broken(reading, where, error)):
        if not secret_named(found.placeholder.expression):
            yield _of_template(task, found.pointer, found.placeholder)


def _taken(pointer: str, path: Sequence[str], value: Any) -> tuple[str, Any, Any]:
    """What stands at a path below a value: its pointer, itself, and the value without it."""
    if not path:
        return pointer, value, None
    if not isinstance(value, Mapping) or path[0] not in value:
        return pointer, None, value
    where, text, left = _taken(child(pointer, path[0]), path[1:], value[path[0]])
    return where, text, {**value, path[0]: left}


def _cases(task: str, pointer: str, cases: Any) -> Iterator[_Place]:
    for case in cases_of({"cases": cases}):
        yield _Place(task, child(child(pointer, case.place), _EXPRESSION), case.expression, is_condition=True)


def _broken(reading: Reading, pointer: str, error: TemplateError) -> None:
    reading.say(pointer, "Spec.Template", _at(str(error), error.position))


def _of_template(task: str, pointer: str, placeholder: Placeholder) -> _Place:
    is_defaulted = placeholder.default is not None
    return _Place(task, pointer, placeholder.expression, placeholder.position, has_default=is_defaulted)


def _at(detail: str, position: int) -> str:
    """A sentence with the place it speaks of, counted from 1."""
    return f"{detail.rstrip('.')} (character {position + 1})."


def _check(reading: Reading, place: _Place, evaluator: Evaluator, known: Collection[str]) -> None:
    if place.is_condition and OPEN in place.text and place.text.strip().startswith(OPEN):
        detail = "Write the expression itself here, without `{{` and `}}`."
        reading.say(place.pointer, "Spec.Expression", detail)
        return
    if problem_here := _not_here(place.text):
        reading.say(place.pointer, *problem_here)
        return
    for problem in evaluator.check(place.text, is_condition=place.is_condition):
        detail = problem.detail
        if problem.position is not None:
            detail = _at(detail, place.position + problem.position)
        reading.say(place.pointer, "Spec.Expression", detail)
    for named in task_names(place.text):
        if named.name not in known:
            hint = did_you_mean(named.name, known)
            detail = f"The expression names the task `{shown(named.name)}`, which isn't there.{hint}"
            reading.say(place.pointer, "Spec.UnknownTask", detail)
        elif named.name == place.task:
            detail = "The expression names its own task, which hasn't ended when it is evaluated."
            reading.say(place.pointer, "Spec.OwnOutput", detail)
        elif named.member not in {None, *_MEMBERS}:
            detail = f"A task has `output` and `status`, but no `{shown(str(named.member))}`."
            reading.say(place.pointer, "Spec.UnknownTask", detail)


def _words(text: str) -> list[Lexeme]:
    try:
        return list(lexemes(text))
    except LexemeError:
        return []


def _not_here(text: str) -> tuple[str, str] | None:
    """Code and sentence of a name that no expression has here; names bound by macros are their own."""
    words = _words(text)
    bound = {words[i + 1].text for i in range(len(words) - 2) if words[i].text == "(" and words[i + 2].text == ","}
    for i, word in enumerate(words):
        is_root = word.kind == "name" and (i == 0 or words[i - 1].text != ".")
        if is_root and word.text in _NOT_HERE and word.text not in bound:
            return _NOT_HERE[word.text]
    return None


def _uncertain(place: _Place, certain: Collection[str], known: Collection[str]) -> Iterator[Problem]:
    """Outputs that the task's ``depends`` doesn't make certain; asking first (``has``, status, default) is enough."""
    if place.has_default or "has" in {word.text for word in _words(place.text)}:
        return
    named = task_names(place.text)
    asked = {task.name for task in named if task.member == "status"}
    for name in dict.fromkeys(task.name for task in named if task.member == "output"):
        if name in known and name not in certain and name not in asked and name != place.task:
            detail = (
                f"The output of `{shown(name)}` may not be there when `{shown(place.task)}` runs: let its `depends` "
                "ask for SUCCESS, or give a default."
            )
            yield Problem(place.pointer, "Spec.UncertainOutput", detail)
