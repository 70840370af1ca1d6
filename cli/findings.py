"""What the doctor found, and how it says it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum

from cli.context import Context
from cli.tables import plain


class Grade(IntEnum):
    """How it stands."""

    OK = 0
    WARN = 1
    FAIL = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it stands, and what to do unless it is well."""

    check: str
    grade: Grade
    detail: str


def told(context: Context, findings: Sequence[Finding]) -> int:
    """The exit code, after a line each: 1 where something fails."""
    if context.is_json:
        context.data({"findings": [{**asdict(each), "grade": each.grade.name} for each in findings]})
    else:
        for each in findings:
            context.say(f"{each.grade.name:<5} {each.check:<12} {plain(each.detail)}")
    return int(any(each.grade is Grade.FAIL for each in findings))
