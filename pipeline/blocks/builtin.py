"""Blocks of control that the state machine decides itself: they have a place in the palette and no vertex."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, model_validator

from pipeline.blocks.contract import Arguments, misfit
from pipeline.core.durations import parse_duration_ms
from pipeline.core.errors import BlocklineError
from pipeline.core.instants import parse_instant_ms
from pipeline.core.limits import CASE_NAME_CHARS_MAX, CASES_MAX, EXPRESSION_CHARS_MAX, WAIT_DAYS_MAX, WAIT_MS_MAX

_RESULTS: Final = ("SUCCESS", "FAILURE", "DONE")


class ConditionArguments(Arguments):
    """A question about what the run knows."""

    expression: str = Field(
        title="Expression",
        description="CEL that is true or false, like run.requester.name in asset.attributes.ownerUsers or "
        'tasks["fetch"].output.count > 3',
        min_length=1,
        max_length=EXPRESSION_CHARS_MAX,
    )


CaseName = Annotated[str, Field(min_length=1, max_length=CASE_NAME_CHARS_MAX)]


class SwitchCase(Arguments):
    """One way to go on."""

    name: CaseName = Field(title="Case", description='What followers ask for, as in route."high"')
    expression: str = Field(
        title="Expression",
        description="CEL that is true or false; the first case that is true is taken",
        min_length=1,
        max_length=EXPRESSION_CHARS_MAX,
    )


class SwitchArguments(Arguments):
    """Which way to go on."""

    cases: list[SwitchCase] = Field(
        title="Cases", description="Tried in their order", min_length=1, max_length=CASES_MAX
    )
    default: CaseName | None = Field(
        default=None, title="Otherwise", description="The case that is taken where none is true"
    )


def _duration(text: str) -> str:
    try:
        length_ms = parse_duration_ms(text)
    except BlocklineError as error:
        raise ValueError(str(error)) from error
    if length_ms > WAIT_MS_MAX:
        raise ValueError(f"a task waits for {WAIT_DAYS_MAX} days at most")
    return text


def _instant(text: str) -> str:
    try:
        parse_instant_ms(text)
    except BlocklineError as error:
        raise ValueError(str(error)) from error
    return text


class WaitArguments(Arguments):
    """How long to wait, or until when."""

    duration: Annotated[str, AfterValidator(_duration)] | None = Field(
        default=None, title="For", description="A length of time from when the task begins, such as PT15M or P3D"
    )
    until: Annotated[str, AfterValidator(_instant)] | None = Field(
        default=None,
        title="Until",
        description="A time such as 2026-12-24T18:00:00Z, or a template; one that is past ends the task at once",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_one(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and (value.get("duration") is None) is (value.get("until") is None):
            raise misfit("give either duration or until")
        return value


@dataclass(frozen=True, slots=True)
class Builtin:
    """A block of control, as the palette shows it; ``ui`` maps an argument to its widget.

    ``output`` is the JSON Schema of its output. ``cases`` names the argument that lists its cases, each of which is a
    port too.
    """

    title: str
    summary: str
    icon: str
    arguments_type: type[Arguments]
    ui: Mapping[str, str]
    category: str = "Control"
    output: Mapping[str, Any] = field(default_factory=lambda: {"type": "null"})
    ports: tuple[str, ...] = _RESULTS
    cases: str | None = None


BUILTINS: Final = {
    "CONDITION": Builtin(
        title="Condition",
        summary="Goes on one way where an expression is true (SUCCESS) and another where it is false (FAILURE).",
        icon="git-branch",
        arguments_type=ConditionArguments,
        ui={"expression": "expression"},
    ),
    "SWITCH": Builtin(
        title="Switch",
        summary="Goes on by the first of its cases that is true, or else by its default.",
        icon="split",
        arguments_type=SwitchArguments,
        ui={"cases": "cases"},
        output={
            "type": "object",
            "properties": {"case": {"type": ["string", "null"], "description": "The case that was taken"}},
            "required": ["case"],
            "additionalProperties": False,
        },
        cases="cases",
    ),
    "WAIT": Builtin(
        title="Wait",
        summary="Goes on after a length of time, or at a time.",
        icon="clock",
        arguments_type=WaitArguments,
        ui={"duration": "duration", "until": "text"},
        output={
            "type": "object",
            "properties": {"until": {"type": "string", "description": "The time it waited for, RFC 3339"}},
            "required": ["until"],
            "additionalProperties": False,
        },
        ports=("SUCCESS", "FAILURE", "TIMED_OUT", "DONE"),
    ),
}
