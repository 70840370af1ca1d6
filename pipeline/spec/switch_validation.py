"""What is wrong with the cases of a SWITCH, and with who asks for them."""

from collections.abc import Mapping
from typing import Any

from pipeline.core.errors import Problem
from pipeline.spec.control import SWITCH, Case, case_names, cases_of, default_of
from pipeline.spec.depends import Operand, operands, parse, quote_name
from pipeline.spec.model import arguments_of
from pipeline.spec.pointers import child, did_you_mean, shown
from pipeline.spec.syntax import Reading
from pipeline.spec.templates import OPEN


def check_switches(reading: Reading, warnings: list[Problem]) -> None:
    """Report cases that are wrong in themselves; warn of those that nobody follows, and of a missing default."""
    followed = _followed(reading)
    for index, body in reading.tasks:
        if body["type"] == SWITCH:
            _switch(reading, index, body, followed.get(body["name"], set()), warnings)


def _followed(reading: Reading) -> dict[str, set[str]]:
    """The cases that are asked for, by task."""
    followed: dict[str, set[str]] = {}
    for _, body in reading.tasks:
        for operand in operands(parse(body.get("depends", ""))):
            if operand.case is not None:
                followed.setdefault(operand.task, set()).add(operand.case)
    return followed


def _switch(reading: Reading, index: int, body: Mapping[str, Any], followed: set[str], warnings: list[Problem]) -> None:
    arguments = arguments_of(body)
    places: dict[str, str] = {}
    for case in cases_of(arguments):
        pointer = _place(reading, index, case)
        if case.name in places:
            reading.say(pointer, "Spec.DuplicateCase", f"The case `{shown(case.name)}` is there twice.")
        elif OPEN in case.name:
            reading.say(pointer, "Spec.Template", "The name of a case is a fixed text: no template can stand in it.")
        places.setdefault(case.name, pointer)
    default = default_of(arguments)
    if default is not None:
        where = reading.argument_pointers[index, "default"]
        if OPEN in default:
            reading.say(where, "Spec.Template", "The default is the name of a case: no template can stand in it.")
        places.setdefault(default, where)
    elif "default" not in arguments:
        detail = (
            f"`{shown(body['name'])}` has no `default`: where none of its cases is true, none of the tasks that ask "
            "for one runs."
        )
        warnings.append(Problem(f"/dag/tasks/{index}/arguments", "Spec.NoDefault", detail))
    for name, pointer in places.items():
        if name not in followed:
            detail = f"No task follows the case `{shown(name)}`: nothing runs because of it."
            warnings.append(Problem(pointer, "Spec.UnfollowedCase", detail))


def _place(reading: Reading, index: int, case: Case) -> str:
    return child(child(reading.argument_pointers[index, "cases"], case.place), "name")


def case_problem(operand: Operand, asked: Mapping[str, Any]) -> tuple[str, str] | None:
    """Code and sentence of what is wrong with asking ``asked``, a task, for ``operand.case``; ``None``: nothing."""
    named = f"`{shown(quote_name(operand.task))}`"
    case = operand.case or ""
    if asked["type"] != SWITCH:
        detail = f"{named} has no cases, since it isn't a SWITCH; ask for a result, such as SUCCESS."
        return "Spec.NoCases", detail
    known = case_names(arguments_of(asked))
    if case in known:
        return None
    hint = did_you_mean(case, known) or (f" It has {shown(', '.join(known), 200)}." if known else "")
    return "Spec.UnknownCase", f"{named} has no case `{shown(case)}`.{hint}"
