"""The blocks of control that the state machine decides itself, as their arguments say them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pipeline.spec.model import Task

CONDITION: Final = "CONDITION"
SWITCH: Final = "SWITCH"
WAIT: Final = "WAIT"
CONTROL_TYPES: Final = frozenset({CONDITION, SWITCH, WAIT})
"""Types without a vertex: decided in the write that makes them runnable, by the state machine."""


class Case(NamedTuple):
    """One case of a SWITCH; ``place`` is its index in ``cases``."""

    place: int
    name: str
    expression: str


def cases_of(arguments: Mapping[str, Any]) -> tuple[Case, ...]:
    """The cases of a SWITCH in their order; what isn't a case is left out, validation says so."""
    cases = arguments.get("cases")
    return tuple(
        Case(index, body["name"], body["expression"])
        for index, body in enumerate(cases if isinstance(cases, list) else ())
        if isinstance(body, Mapping) and isinstance(body.get("name"), str) and isinstance(body.get("expression"), str)
    )


def default_of(arguments: Mapping[str, Any]) -> str | None:
    """The case a SWITCH takes where none is true; ``None``: it takes none."""
    default = arguments.get("default")
    return default if isinstance(default, str) else None


def case_names(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Every case a SWITCH may take, each once, the default last unless it is one of the others."""
    default = default_of(arguments)
    names = [case.name for case in cases_of(arguments)]
    return tuple(dict.fromkeys([*names, *([] if default is None else [default])]))


def decided_expressions(task: Task) -> Iterator[str]:
    """The texts whose expressions the state machine evaluates itself for a task, ``when`` aside: CEL, and for WAIT
    templates.
    """
    arguments = task.arguments_dict
    if task.type == SWITCH:
        yield from (case.expression for case in cases_of(arguments))
    elif task.type == CONDITION and isinstance(arguments.get("expression"), str):
        yield arguments["expression"]
    elif task.type == WAIT:
        yield from (value for value in (arguments.get("duration"), arguments.get("until")) if isinstance(value, str))
