"""Truth over ended tasks, and who handles a failure."""

import pytest

from pipeline.core.errors import ErrorName
from pipeline.core.statuses import TERMINAL, TaskStatus
from pipeline.spec.depends import DependsError, DependsResult, Operand, parse
from pipeline.spec.truth import Truth, evaluate, is_handled

S, F = TaskStatus.SUCCESS, TaskStatus.FAILURE
TABLE = {
    "": {TaskStatus.SUCCESS, TaskStatus.SKIPPED},
    ".SUCCESS": {TaskStatus.SUCCESS},
    ".FAILURE": {TaskStatus.FAILURE},
    ".TIMED_OUT": {TaskStatus.TIMED_OUT},
    ".EXPIRED": {TaskStatus.EXPIRED},
    ".SKIPPED": {TaskStatus.SKIPPED},
    ".OMITTED": {TaskStatus.OMITTED},
    ".CANCELLED": {TaskStatus.CANCELLED},
    ".APPROVED": {TaskStatus.SUCCESS},
    ".FAILED_ANY": {TaskStatus.FAILURE, TaskStatus.TIMED_OUT, TaskStatus.EXPIRED},
    ".COMPLETED": {TaskStatus.SUCCESS, TaskStatus.FAILURE, TaskStatus.TIMED_OUT, TaskStatus.EXPIRED},
    ".DONE": set(TERMINAL),
}


@pytest.mark.parametrize("status", sorted(TaskStatus))
@pytest.mark.parametrize("result", TABLE)
def test_each_result_over_each_status(result: str, status: TaskStatus) -> None:
    expected = (status in TABLE[result]) if status in TERMINAL else None
    assert evaluate(parse(f"t{result}"), lambda _: status) is expected


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("yes || open", True),
        ("open || yes", True),
        ("no || open", None),
        ("no && open", False),
        ("open && no", False),
        ("yes && open", None),
        ("!open", None),
        ("!no", True),
        ("!(yes && no)", True),
        ("open || !open", None),
        ("nobody", None),
        ("", True),
    ],
)
def test_kleene(text: str, truth: Truth) -> None:
    statuses = {"yes": S, "no": F, "open": TaskStatus.WAITING}
    assert evaluate(parse(text), statuses.get) is truth


def test_rejected_is_told_by_the_error() -> None:
    node = Operand("t", DependsResult.REJECTED)
    assert evaluate(node, lambda _: F, error_of=lambda _: ErrorName.APPROVAL_REJECTED) is True
    assert evaluate(node, lambda _: F, error_of=lambda _: ErrorName.APPROVAL_NO_APPROVERS) is False
    assert evaluate(node, lambda _: F) is False


@pytest.mark.parametrize(
    ("text", "handled"),
    [
        ("t.FAILURE", True),
        ("t.FAILED_ANY", True),
        ("t.REJECTED", True),
        ("t.SUCCESS || t.FAILURE", True),
        ("other.SUCCESS && t.FAILED_ANY", True),
        ("t.DONE", False),
        ("t.COMPLETED", False),
        ("!t.SUCCESS", False),
        ("t.FAILURE || t.DONE", False),
        ("t.FAILURE || other.SUCCESS", False),
        ("t.EXPIRED", False),
        ("other.FAILURE", False),
        ("", False),
    ],
)
def test_handled(text: str, handled: bool) -> None:  # noqa: FBT001  (a column of the table)
    statuses = {"t": F, "other": S}
    assert is_handled(parse(text), "t", statuses.get, error_of=lambda _: ErrorName.APPROVAL_REJECTED) is handled


@pytest.mark.parametrize("status", sorted(TaskStatus))
def test_a_case_is_taken_by_a_switch_that_succeeded(status: TaskStatus) -> None:
    for case in ("high", "low", None):
        expected = (status is S and case == "high") if status in TERMINAL else None
        assert evaluate(parse('t."high"'), lambda _: status, case_of=lambda _: case) is expected  # noqa: B023  (at once)


def test_a_case_handles_no_failure() -> None:
    assert not is_handled(parse('!t."high"'), "t", lambda _: F)


def test_a_result_of_a_list_is_refused() -> None:
    text = "t.ANY_SUCCESS"
    with pytest.raises(DependsError, match="isn't available in this version"):
        evaluate(parse(text), lambda _: S)
