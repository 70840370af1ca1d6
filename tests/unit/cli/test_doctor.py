"""What the doctor makes of what it is told."""

import pytest

from cli.client import Answer
from cli.doctor import PENDING_WARN, compared, measured, skew
from cli.findings import Grade
from pipeline.store.typedefs import engine_typedefs

NOON = "Thu, 01 Jan 1970 12:00:00 GMT"
NOON_S = 43_200.0


@pytest.mark.parametrize(
    ("apart_s", "grade"),
    [(0, Grade.OK), (4.9, Grade.OK), (5, Grade.WARN), (-6, Grade.WARN), (60, Grade.FAIL), (-61, Grade.FAIL)],
)
def test_clocks_that_are_apart(apart_s: float, grade: Grade) -> None:
    assert skew(Answer(200, None, {"date": NOON}), NOON_S + apart_s).grade is grade


@pytest.mark.parametrize("headers", [{}, {"date": "noon"}])
def test_a_server_that_doesnt_tell_its_time(headers: dict[str, str]) -> None:
    assert skew(Answer(200, None, headers), NOON_S).grade is Grade.WARN


def test_types_that_are_there_that_lack_and_that_differ() -> None:
    there = {body["name"]: body for bodies in engine_typedefs().values() for body in bodies}
    assert compared(there).grade is Grade.OK
    run = there.pop("WorkflowRun")
    lacking = compared(there)
    assert (lacking.grade, "WorkflowRun" in lacking.detail) == (Grade.FAIL, True)
    for attribute in run["attributeDefs"]:
        attribute["typeName"] = "array<boolean>"
    there["WorkflowRun"] = run
    assert compared(there).grade is Grade.FAIL


def test_vertices_that_are_down_or_behind() -> None:
    def text(is_up: float, buffered: float) -> str:
        return f'blockline_plane_is_up{{vertex="cdc"}} {is_up}\nblockline_plane_buffered{{vertex="cdc"}} {buffered}\n'

    assert [each.grade for each in measured(text(1.0, 0.0))] == [Grade.OK, Grade.OK]
    assert [each.grade for each in measured(text(0.0, PENDING_WARN + 1.0))] == [Grade.FAIL, Grade.WARN]
    assert [each.grade for each in measured("")] == [Grade.WARN]
