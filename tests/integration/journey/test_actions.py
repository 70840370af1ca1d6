"""What people do to runs while they are under way, and the ways a run takes by itself: typed at a terminal."""

from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.core.instants import instant_text
from pipeline.process.clock import SystemClock
from pipeline.retention.sweep import DAY_MS
from tests.integration.journey.actors import Stage, staged, statuses, until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("actions")) as stage:
        yield stage


def dag(*tasks: dict[str, Any]) -> dict[str, Any]:
    return {"dag": {"entrypoint": tasks[0]["name"], "tasks": list(tasks)}}


def task(name: str, type_: str = "PASS", **members: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **members}


def approval(name: str = "ask", **arguments: Any) -> dict[str, Any]:
    asked = {"title": "May I?", "approvers": {"users": ["sam", "olaf"]}, "rule": "ANY", "dueIn": "P3D", **arguments}
    return task(name, "APPROVAL", arguments=asked)


def is_at(stage: Stage, run: str, name: str, status: str) -> None:
    until(lambda: statuses(stage.run(run))[name] == status, f"{name} is {status}")


@pytest.mark.parametrize(("amount", "taken"), [(500, "board"), (50, "lead"), (5, "nobody")])
def test_a_switch_goes_one_way_and_a_wait_goes_on(stage: Stage, amount: int, taken: str) -> None:
    cases = [
        {"name": "high", "expression": "run.input.amount > 100"},
        {"name": "middle", "expression": "run.input.amount > 10"},
    ]
    if taken == "board":
        spec = dag(
            task("route", "SWITCH", arguments={"cases": cases, "default": "low"}),
            task("board", depends='route."high"', arguments={"output": '{{ tasks["route"].output.case }}'}),
            task("lead", depends='route."middle"'),
            task("nobody", depends='route."low"'),
            task("later", "WAIT", depends="board || lead || nobody", arguments={"duration": "PT1S"}),
            task("end", depends="later"),
        )
        stage.publishes("route-by-amount", spec)
    run = stage.starts("rosa", "route-by-amount", input={"amount": amount})
    ended = stage.run(run, wait_s=30)
    found = statuses(ended)
    assert ended["status"] == "SUCCESS"
    assert {name: found[name] for name in ("board", "lead", "nobody")} == {
        name: "SUCCESS" if name == taken else "OMITTED" for name in ("board", "lead", "nobody")
    }
    assert found["later"] == found["end"] == "SUCCESS"


def test_a_paused_run_takes_decisions_and_goes_on_when_it_is_resumed(stage: Stage) -> None:
    stage.publishes("paused", dag(approval(), task("after", depends="ask")))
    run = stage.starts("rosa", "paused")
    item = stage.task_of("sam", run)
    assert stage.types("rosa", "run", "pause", run).code == 1, "who only asked may not"
    paused = stage.types("otto", "run", "pause", run, "--comment", "not now")
    assert paused.code == 0, paused.err
    assert stage.run(run)["phase"] == "PAUSED"
    again = stage.types("otto", "run", "pause", run)
    assert (again.code, "paused" in again.err) == (1, True)
    decided = stage.types("sam", "task", "decide", item, "APPROVED")
    assert decided.code == 0, decided.err
    is_at(stage, run, "ask", "SUCCESS")
    assert statuses(stage.run(run))["after"] != "SUCCESS"
    assert stage.run(run)["phase"] == "PAUSED"
    resumed = stage.types("otto", "run", "resume", run)
    assert resumed.code == 0, resumed.err
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"


def test_a_task_is_skipped_and_its_question_is_taken_back(stage: Stage) -> None:
    stage.publishes(
        "skipped", dag(approval(), task("after", depends="ask.DONE"), task("other", depends="ask.APPROVED"))
    )
    run = stage.starts("rosa", "skipped")
    stage.task_of("sam", run)
    assert stage.types("rosa", "run", "skip", run, "ask").code == 1
    skipped = stage.types("otto", "run", "skip", run, "ask", "--comment", "Sam is on leave")
    assert skipped.code == 0, skipped.err
    ended = stage.run(run, wait_s=30)
    assert statuses(ended) == {"ask": "SKIPPED", "after": "SUCCESS", "other": "OMITTED"}
    assert stage.types("sam", "task", "list", "--run", run).out == "Your inbox is empty.\n"


@pytest.mark.parametrize(("outcome", "status"), [("FAIL", "FAILURE"), ("RETRY", "INCIDENT")])
def test_an_incident_waits_for_a_person(stage: Stage, outcome: str, status: str) -> None:
    broken = task("broken", depends="first", onExhausted="INCIDENT")
    broken["arguments"] = {"output": '{{ tasks["first"].output.missing }}'}
    stage.publishes(f"incident-{outcome.lower()}", dag(task("first", arguments={"output": {"a": 1}}), broken))
    run = stage.starts("rosa", f"incident-{outcome.lower()}")
    is_at(stage, run, "broken", "INCIDENT")
    assert "INCIDENT" in stage.types("otto", "run", "show", run).out
    attempt = _attempt(stage, run)
    resolved = stage.types("otto", "run", "resolve", run, "broken", outcome)
    assert resolved.code == 0, resolved.err
    is_at(stage, run, "broken", status)
    if outcome == "RETRY":
        until(lambda: _attempt(stage, run) > attempt, "another attempt")
    else:
        assert stage.run(run, wait_s=30)["status"] == "FAILURE"


def _attempt(stage: Stage, run: str) -> int:
    attempts: list[int] = [each["attempt"] for each in stage.run(run)["dag"]["tasks"] if each["name"] == "broken"]
    return attempts[0]


def test_all_must_agree_one_after_the_other(stage: Stage) -> None:
    stage.publishes("in-order", dag(approval(rule="ALL", order="SEQUENTIAL")))
    run = stage.starts("rosa", "in-order")
    first = stage.task_of("sam", run)
    assert stage.types("olaf", "task", "list", "--run", run).out == "Your inbox is empty.\n"
    assert stage.types("sam", "task", "decide", first, "APPROVED").code == 0
    second = stage.task_of("olaf", run)
    assert stage.run(run)["status"] == "PENDING"
    assert stage.types("olaf", "task", "decide", second, "APPROVED").code == 0
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"


def test_a_question_is_handed_on(stage: Stage) -> None:
    stage.publishes("handed-on", dag(approval(approvers={"users": ["sam"]})))
    run = stage.starts("rosa", "handed-on")
    item = stage.task_of("sam", run)
    assert stage.types("olaf", "task", "delegate", item, "olaf").code == 1
    unknown = stage.types("sam", "task", "delegate", item, "nobody-here")
    assert (unknown.code, "nobody-here" in unknown.err) == (1, True)
    handed = stage.types("sam", "task", "delegate", item, "olaf", "--comment", "you know it better")
    assert (handed.code, handed.out) == (0, "delegated to olaf\n"), handed.err
    taken = stage.task_of("olaf", run)
    assert stage.types("olaf", "task", "decide", taken, "APPROVED").code == 0
    ended = stage.run(run, wait_s=30)
    assert ended["status"] == "SUCCESS"


def test_nobody_to_ask_fails_and_says_so(stage: Stage) -> None:
    stage.publishes("nobody", dag(approval(approvers={"users": ["rosa"]})))
    run = stage.starts("rosa", "nobody")
    ended = stage.run(run, wait_s=30)
    assert ended["status"] == "FAILURE"
    assert ended["dag"]["tasks"][0]["error"]["name"] == "Approval.NoApprovers"


def test_a_question_that_answers_itself(stage: Stage) -> None:
    stage.publishes("by-itself", dag(approval(autoApprove="run.input.amount < 10")))
    run = stage.starts("rosa", "by-itself", input={"amount": 1})
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"
    run = stage.starts("rosa", "by-itself", input={"amount": 100})
    item = stage.task_of("sam", run)
    assert stage.types("sam", "task", "decide", item, "REJECTED", "--comment", "too much").code == 0
    assert stage.run(run, wait_s=30)["status"] == "FAILURE"


def test_a_switch_without_a_default_may_take_no_way(stage: Stage) -> None:
    cases = [{"name": "a lot", "expression": "run.input.amount > 100"}, {"name": "some", "expression": "1 / 0 > 1"}]
    spec = dag(
        task("route", "SWITCH", arguments={"cases": cases}),
        task("board", depends='route."a lot"'),
        task("lead", depends='route."some"'),
        task("always", depends="route", arguments={"output": '{{ tasks["route"].output.case }}'}),
    )
    stage.publishes("no-default", spec)
    ended = stage.run(stage.starts("rosa", "no-default", input={"amount": 500}), wait_s=30)
    assert (statuses(ended)["board"], statuses(ended)["lead"]) == ("SUCCESS", "OMITTED"), "the second wasn't looked at"
    assert ended["dag"]["tasks"][3]["output"] == "a lot"
    broken = stage.run(stage.starts("rosa", "no-default", input={"amount": 1}), wait_s=30)
    assert statuses(broken)["route"] == "FAILURE"
    assert broken["dag"]["tasks"][0]["error"]["name"] == "Expression.Error"
    del cases[1]
    stage.publishes("no-way", dag(task("route", "SWITCH", arguments={"cases": cases}), spec["dag"]["tasks"][1]))
    ended = stage.run(stage.starts("rosa", "no-way", input={"amount": 1}), wait_s=30)
    assert (ended["status"], statuses(ended)) == ("SUCCESS", {"route": "SUCCESS", "board": "OMITTED"})


def test_a_wait_waits_until_an_instant_and_one_that_is_past_is_no_wait(stage: Stage) -> None:
    wait = task("wait", "WAIT", arguments={"until": "{{ run.input.at }}"})
    stage.publishes("until", dag(wait, task("after", depends="wait")))
    ended = stage.run(stage.starts("rosa", "until", input={"at": "2020-01-01T00:00:00Z"}), wait_s=30)
    assert (ended["status"], ended["dag"]["tasks"][0]["output"]) == ("SUCCESS", {"until": "2020-01-01T00:00:00.000Z"})
    for wrong in ("tomorrow", "2999-01-01T00:00:00Z"):
        ended = stage.run(stage.starts("rosa", "until", input={"at": wrong}), wait_s=30)
        assert ended["dag"]["tasks"][0]["error"]["name"] == "Validation.Input", wrong
    in_a_month = instant_text(SystemClock().now_ms() + 30 * DAY_MS)
    run = stage.starts("rosa", "until", input={"at": in_a_month})
    is_at(stage, run, "wait", "WAITING")
    skipped = stage.types("otto", "run", "skip", run, "wait")
    assert skipped.code == 0, skipped.err
    ended = stage.run(run, wait_s=30)
    assert statuses(ended) == {"wait": "SKIPPED", "after": "SUCCESS"}


def test_what_came_due_while_a_run_was_paused_acts_when_it_is_resumed(stage: Stage) -> None:
    stage.publishes(
        "paused-wait", dag(task("wait", "WAIT", arguments={"duration": "PT2S"}), task("end", depends="wait"))
    )
    run = stage.starts("rosa", "paused-wait")
    with stage.api("otto") as otto:
        assert otto.post(f"/runs/{run}/pause", json={"comment": "look first"}).status_code == 200
        shown = otto.get(f"/runs/{run}").json()
        assert (shown["phase"], shown["paused"]["by"], shown["paused"]["comment"]) == ("PAUSED", "otto", "look first")
        assert otto.post(f"/runs/{run}/pause", json={}).status_code == 409
        other = stage.starts("rosa", "paused-wait")
        assert stage.run(other, wait_s=30)["status"] == "SUCCESS", "its time is up"
        assert otto.get(f"/runs/{run}").json()["phase"] == "PAUSED"
        assert statuses(stage.run(run))["end"] == "PENDING"
        assert otto.post(f"/runs/{run}/resume", json={}).status_code == 200
        assert otto.post(f"/runs/{run}/resume", json={}).status_code == 409
        assert stage.run(run, wait_s=30)["status"] == "SUCCESS"
        trail = otto.get(f"/runs/{run}/commands").json()["items"]
        said = sorted((command["action"], command["status"]) for command in trail)
        assert said == [("pause", "APPLIED"), ("pause", "REFUSED"), ("resume", "APPLIED"), ("resume", "REFUSED")]


def test_an_operator_finds_incidents_over_the_api_and_resolves_one(stage: Stage) -> None:
    call = task("call", "HTTP", onExhausted="INCIDENT", retry=[], arguments={"url": "https://127.0.0.1/"})
    stage.publishes("incident-by-api", dag(call, task("after", depends="call.FAILED_ANY", endStatus="REJECTED")))
    run = stage.starts("rosa", "incident-by-api")
    is_at(stage, run, "call", "INCIDENT")
    with stage.api("rosa") as rosa, stage.api("otto") as otto, stage.api("olaf") as olaf:
        assert rosa.post(f"/runs/{run}/tasks/call/resolve", json={"outcome": "FAIL"}).status_code == 403
        assert olaf.post(f"/runs/{run}/tasks/call/resolve", json={"outcome": "FAIL"}).status_code == 404
        assert otto.post(f"/runs/{run}/tasks/call/resolve", json={"outcome": "IGNORE"}).status_code in {400, 422}
        assert otto.post(f"/runs/{run}/tasks/after/resolve", json={"outcome": "FAIL"}).status_code == 409
        assert otto.get(f"/runs/{run}").json()["dag"]["tasks"][0]["error"]["name"] == "Auth.Denied"
        done = otto.post(f"/runs/{run}/tasks/call/resolve", json={"outcome": "FAIL", "comment": "it is gone"})
        assert done.status_code == 200, done.text
    ended = stage.run(run, wait_s=30)
    assert (ended["status"], statuses(ended)) == ("REJECTED", {"call": "FAILURE", "after": "SUCCESS"})
