"""What an author is told about the cases of a SWITCH and the times of a WAIT."""

from collections.abc import Iterable
from typing import Any

import pytest

from pipeline.blocks.registry import Registry
from pipeline.core.errors import Problem
from pipeline.expressions.cel import CelEvaluator
from pipeline.spec.validation import Report, validate

REGISTRY = Registry.load("udfs.runners")
T0 = "/dag/tasks/0"
T1 = "/dag/tasks/1"


def check(*tasks: dict[str, Any]) -> Report:
    dag = {"entrypoint": tasks[0]["name"], "tasks": list(tasks)}
    return validate({"dag": dag}, REGISTRY, CelEvaluator())


def switch(*cases: tuple[str, str], **more: Any) -> dict[str, Any]:
    named = [{"name": name, "expression": expression} for name, expression in cases]
    return {"name": "route", "type": "SWITCH", "arguments": {"cases": named, **more}}


def follower(depends: str) -> dict[str, Any]:
    return {"name": "next", "type": "PASS", "depends": depends}


def found(problems: Iterable[Problem]) -> list[tuple[str, str, str]]:
    return [(problem.pointer, problem.code, problem.detail) for problem in problems]


HIGH = ("high", "run.input.amount > 100")
NO_DEFAULT = (
    f"{T0}/arguments",
    "Spec.NoDefault",
    "`route` has no `default`: where none of its cases is true, none of the tasks that ask for one runs.",
)


@pytest.mark.parametrize(
    ("tasks", "errors", "warnings"),
    [
        ((switch(HIGH, default="low"), follower('route."high" || route."low"')), [], []),
        ((switch(HIGH), follower('route."high"')), [], [NO_DEFAULT]),
        (
            (switch(HIGH, HIGH, default="high"), follower('route."high"')),
            [
                (f"{T0}/arguments/cases/1/name", "Spec.DuplicateCase", "The case `high` is there twice."),
            ],
            [],
        ),
        (
            (switch(HIGH, default="low"), follower('route."hihg"')),
            [(f"{T1}/depends", "Spec.UnknownCase", "`route` has no case `hihg`. Did you mean `high`?")],
            [
                (
                    f"{T0}/arguments/cases/0/name",
                    "Spec.UnfollowedCase",
                    "No task follows the case `high`: nothing runs because of it.",
                ),
                (
                    f"{T0}/arguments/default",
                    "Spec.UnfollowedCase",
                    "No task follows the case `low`: nothing runs because of it.",
                ),
            ],
        ),
        (
            (switch(("high", "1 +"), default="{{ run.input.x }}"), follower('route."high"')),
            [
                (
                    f"{T0}/arguments/default",
                    "Spec.Template",
                    "The default is the name of a case: no template can stand in it.",
                ),
                (
                    f"{T0}/arguments/cases/0/expression",
                    "Spec.Expression",
                    "The expression ends too early (character 4).",
                ),
            ],
            [
                (
                    f"{T0}/arguments/default",
                    "Spec.UnfollowedCase",
                    "No task follows the case `{{ run.input.x }}`: nothing runs because of it.",
                )
            ],
        ),
        (
            (switch(("high", "1"), default="low"), follower('route."high" || route."low"')),
            [
                (
                    f"{T0}/arguments/cases/0/expression",
                    "Spec.Expression",
                    "The expression isn't a condition: it must be true or false.",
                )
            ],
            [],
        ),
    ],
)
def test_cases(tasks: tuple[dict[str, Any], ...], errors: list[Any], warnings: list[Any]) -> None:
    report = check(*tasks)
    assert sorted(found(report.errors)) == sorted(errors)
    assert sorted(found(report.warnings)) == sorted(warnings)


def test_a_follower_of_two_cases_at_once_never_runs() -> None:
    report = check(switch(HIGH, default="low"), follower('route."high" && route."low"'))
    assert [(problem.pointer, problem.code) for problem in report.errors] == [(f"{T1}/depends", "Spec.Unreachable")]


@pytest.mark.parametrize(
    ("arguments", "errors"),
    [
        ({"duration": "PT15M"}, []),
        ({"until": "2026-12-24T18:00:00Z"}, []),
        ({"until": "{{ run.input.day }}"}, []),
        ({}, ["give either duration or until"]),
        ({"duration": "PT15M", "until": "2026-12-24T18:00:00Z"}, ["give either duration or until"]),
        ({"duration": "15 minutes"}, ["duration"]),
        ({"duration": "P400D"}, ["a task waits for 366 days at most"]),
        ({"until": "tomorrow"}, ["until"]),
    ],
)
def test_times(arguments: dict[str, Any], errors: list[str]) -> None:
    report = check({"name": "w", "type": "WAIT", "arguments": arguments})
    assert len(report.errors) == len(errors), found(report.errors)
    for problem, part in zip(report.errors, errors, strict=True):
        assert problem.pointer.startswith(f"{T0}/arguments")
        assert part in problem.pointer or part in problem.detail
