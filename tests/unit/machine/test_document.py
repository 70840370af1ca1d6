from typing import Any

import pytest

from pipeline.core.errors import ErrorName
from pipeline.core.statuses import RunStatus
from pipeline.machine.document import from_document, to_document
from pipeline.machine.failure import fail_run, tampered
from pipeline.messages.canonical import MalformedError
from pipeline.spec.model import digest, without_engine
from tests.unit.machine.runs import GUID, Story, check_document, request, task


def test_the_document_is_the_spec_with_states_beside() -> None:
    asked = request(task("a", title="First"), task("b", "a"))
    story = Story(asked)
    story.succeed("a", {"n": 1})
    body = to_document(story.run)
    assert without_engine(body) == asked.spec.source
    assert digest(without_engine(body)) == body["engine"]["spec_digest"]
    first = body["dag"]["tasks"][0]
    assert (first["title"], first["status"], first["output"]) == ("First", "SUCCESS", {"n": 1})
    assert body["run"]["name"] == "blockline/runs/1"


def test_a_document_without_digest_is_read_too() -> None:
    story = Story(request(task("a")))
    body = to_document(story.run)
    del body["engine"]["spec_digest"]
    assert from_document(body, GUID) == story.run


@pytest.mark.parametrize("broken", [{}, {"v": 2}, {"v": 1}, {"v": 1, "engine": {}, "run": {}, "dag": {}}])
def test_what_is_no_document_is_malformed(broken: dict[str, Any]) -> None:
    with pytest.raises(MalformedError, match="not a run's document"):
        from_document(broken, GUID)


@pytest.mark.parametrize("status", ["WHATEVER", None, 5])
def test_a_status_that_doesnt_exist_is_malformed(status: Any) -> None:
    body = to_document(Story(request(task("a"))).run)
    body["dag"]["tasks"][0]["status"] = status
    with pytest.raises(MalformedError):
        from_document(body, GUID)


def test_a_tampered_run_ends_and_says_so() -> None:
    asked = request(task("a"), task("b", "a"))
    run = tampered(asked, GUID, 7, 99).run
    assert (run.status, run.revision, run.wake_at) == (RunStatus.FAILURE, 8, 0)
    assert run.error is not None
    assert run.error.name == "Engine.Tampered"
    assert {state.status.value for state in run.tasks.values()} == {"CANCELLED"}
    check_document(run)
    nobodys = tampered(None, GUID, 0, 99).run
    assert nobodys.is_over
    check_document(nobodys)


def test_failing_a_run_that_is_over_changes_nothing() -> None:
    story = Story(request(task("a")))
    failed = fail_run(story.run, ErrorName.ENGINE_INTERNAL, "The engine broke.", now_ms=story.now)
    assert failed.run.status is RunStatus.FAILURE
    again = fail_run(failed.run, ErrorName.ENGINE_INTERNAL, "The engine broke.", now_ms=story.now)
    assert not again.is_changed
