import pytest

from pipeline.core.statuses import TERMINAL, TaskStatus
from pipeline.machine.transitions import NEXT, Draft, lease_of
from tests.unit.machine.runs import Story, request, task


def test_nothing_follows_a_terminal_status() -> None:
    assert all(not NEXT[status] for status in TERMINAL)
    assert all(TaskStatus.PENDING not in following for following in NEXT.values())
    assert set(NEXT) == set(TaskStatus)


def test_an_illegal_step_is_an_assertion() -> None:
    story = Story(request(task("a"), task("b", "a")))
    draft = Draft(story.run, story.now)
    draft.end("a", TaskStatus.SUCCESS)
    with pytest.raises(AssertionError, match="SUCCESS can't become FAILURE"):
        draft.end("a", TaskStatus.FAILURE)
    with pytest.raises(AssertionError, match="PENDING can't become RETRYING"):
        draft.move("b", TaskStatus.RETRYING)
    assert story.state("a").status is TaskStatus.RUNNING, "the run itself never changes"


@pytest.mark.parametrize(
    ("first_ms", "dispatches", "expected_ms"),
    [(30_000, 1, 30_000), (30_000, 2, 60_000), (30_000, 6, 600_000), (30_000, 10**9, 600_000), (900_000, 3, 900_000)],
)
def test_the_lease_doubles_up_to_its_ceiling(first_ms: int, dispatches: int, expected_ms: int) -> None:
    assert lease_of(first_ms, dispatches) == expected_ms
