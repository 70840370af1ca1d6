"""Blocks of control that the state machine decides itself: they have a place in the palette and no vertex."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import Field

from pipeline.blocks.contract import Arguments
from pipeline.core.limits import EXPRESSION_CHARS_MAX


class ConditionArguments(Arguments):
    """A question about what the run knows."""

    expression: str = Field(
        title="Expression",
        description="CEL that is true or false, like run.requester.name in asset.attributes.ownerUsers or "
        'tasks["fetch"].output.count > 3',
        min_length=1,
        max_length=EXPRESSION_CHARS_MAX,
    )


@dataclass(frozen=True, slots=True)
class Builtin:
    """A block of control, as the palette shows it; ``ui`` maps an argument to its widget."""

    title: str
    summary: str
    icon: str
    arguments_type: type[Arguments]
    ui: Mapping[str, str]
    category: str = "Control"


BUILTINS: Final = {
    "CONDITION": Builtin(
        title="Condition",
        summary="Goes on one way where an expression is true (SUCCESS) and another where it is false (FAILURE).",
        icon="git-branch",
        arguments_type=ConditionArguments,
        ui={"expression": "expression"},
    )
}
