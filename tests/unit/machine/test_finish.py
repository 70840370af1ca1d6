from typing import Any

import pytest

from pipeline.core.statuses import RunStatus
from pipeline.machine.finish import output_of
from pipeline.machine.view import is_over
from tests.unit.machine.runs import Story, condition, request, task


def end(*tasks: dict[str, Any], exitpoints: list[str] | None = None, failing: tuple[str, ...] = ()) -> Story:
    """Run to the end: every task that is dispatched succeeds with its name as output, but for those ``failing``."""
    story = Story(request(*tasks, exitpoints=exitpoints))
    while not story.run.is_over:
        name = next(name for name, status in story.statuses().items() if status == "RUNNING")
        if name in failing:
            story.fail(name)
        else:
            story.succeed(name, name)
    return story


@pytest.mark.parametrize(
    ("depends", "status"),
    [
        ("a.FAILURE", RunStatus.SUCCESS),
        ("a.FAILED_ANY", RunStatus.SUCCESS),
        ("a.SUCCESS || a.FAILURE", RunStatus.SUCCESS),
        ("a.DONE", RunStatus.FAILURE),
        ("a.COMPLETED", RunStatus.FAILURE),
        ("!a.SUCCESS", RunStatus.FAILURE),
        ("a.FAILURE || a.DONE", RunStatus.FAILURE),
        ("a", RunStatus.FAILURE),
    ],
)
def test_which_followers_handle_a_failure(depends: str, status: RunStatus) -> None:
    assert end(task("a"), task("b", depends), exitpoints=["b"], failing=("a",)).run.status is status


def test_a_handler_that_was_skipped_handles_nothing() -> None:
    story = end(task("a"), task("b", "a.FAILURE", when="false"), exitpoints=["b"], failing=("a",))
    assert story.run.status is RunStatus.FAILURE


def test_a_handler_that_fails_is_a_failure_itself() -> None:
    story = end(task("a"), task("b", "a.FAILURE"), failing=("a", "b"))
    assert story.run.status is RunStatus.FAILURE
    assert story.run.error is not None
    assert story.run.error.message.startswith("Task 'b'")


def test_a_handler_that_couldnt_be_decided_didnt_run() -> None:
    story = end(task("a"), task("b", "a.FAILURE", when="run.input.x"), task("c", "b.FAILURE"), failing=("a",))
    assert story.statuses()["c"] == "SUCCESS"
    assert story.run.status is RunStatus.FAILURE


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ((None, None), RunStatus.SUCCESS),
        (("APPROVED", None), RunStatus.APPROVED),
        (("APPROVED", "REJECTED"), RunStatus.REJECTED),
        ((None, "REJECTED"), RunStatus.REJECTED),
    ],
)
def test_the_strongest_end_counts(ends: tuple[str | None, str | None], status: RunStatus) -> None:
    tasks = [task(name, **({"endStatus": how} if how else {})) for name, how in zip("ab", ends, strict=True)]
    assert end(*tasks).run.status is status


def test_a_branch_that_wasnt_taken_doesnt_count() -> None:
    story = end(
        condition("c", "true"),
        task("yes", "c.SUCCESS", endStatus="APPROVED"),
        task("no", "c.FAILURE", endStatus="REJECTED"),
    )
    assert story.run.status is RunStatus.APPROVED
    assert output_of(story.run) == "yes"
    assert is_over(story.run)


def test_no_exitpoint_reached_is_said() -> None:
    story = end(task("a"), task("b", "a", when="false"))
    assert story.run.status is RunStatus.SUCCESS
    assert story.run.outcome == "NO_EXITPOINT"
    assert output_of(story.run) is None


def test_several_exitpoints_give_an_object() -> None:
    assert output_of(end(task("a"), task("b")).run) == {"a": "a", "b": "b"}
