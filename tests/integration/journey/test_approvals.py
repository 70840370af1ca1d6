"""Questions to people as the product puts them: who is asked, in which order, what counts, and what time does."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from pipeline.core.limits import DIRECTORY_MEMBERS_MAX
from tests.integration.journey.actors import Stage, staged, statuses, until
from tests.integration.journey.crowd import crowd_of

pytestmark = pytest.mark.timeout(180)
FOUR = ["ana", "ben", "cleo", "dan"]
EVERYBODY = "everybody"
YES, NO = "APPROVED", "REJECTED"
FORM = {
    "type": "object",
    "properties": {"days": {"type": "integer", "minimum": 1}, "note": {"type": "string"}},
    "required": ["days"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("approvals")
    crowd_of(DIRECTORY_MEMBERS_MAX + 1, EVERYBODY, folder / "data")
    with staged(folder) as stage:
        for name in FOUR:
            stage.joins(name)
        yield stage


def asks(stage: Stage, *more: dict[str, Any], by: str = "rosa", **arguments: Any) -> str:
    """A run whose task ``ask`` asks the four, unless told otherwise; ``rosa`` has started it."""
    asked = {"title": "May I?", "approvers": {"users": FOUR}, "dueIn": "PT1H", **arguments}
    tasks = [{"name": "ask", "type": "APPROVAL", "arguments": asked}, *more]
    name = f"asks-{len(stage.published)}"
    stage.publishes(name, {"dag": {"entrypoint": "ask", "tasks": tasks}})
    return stage.starts(by, name)


def says(stage: Stage, who: str, item: str, action: str, **more: Any) -> httpx.Response:
    body = {"action": action, **({"comment": "not so"} if action == NO else {}), **more}
    with stage.api(who) as client:
        return client.post(f"/tasks/{item}/decide", json=body)


def decides(stage: Stage, who: str, run: str, action: str, **more: Any) -> None:
    answer = says(stage, who, stage.task_of(who, run), action, **more)
    assert answer.status_code == 200, answer.text


def asked_now(stage: Stage, run: str, *people: str) -> list[str]:
    return [who for who in people or FOUR if stage.inbox(who, run)]


def question(stage: Stage, run: str) -> dict[str, Any]:
    view: dict[str, Any] = stage.run(run)["dag"]["tasks"][0]
    return view


def is_open(stage: Stage, run: str) -> bool:
    """WAITING, or RUNNING again for as long as people are being told."""
    return question(stage, run)["status"] in {"WAITING", "RUNNING"}


def subjects(stage: Stage, who: str, run: str) -> list[str]:
    return [str(mail["Subject"]) for mail in stage.asking_mails(f"{who}@example.org", run)]


@pytest.mark.parametrize(
    ("rule", "answers", "status"),
    [
        ({"rule": "ANY"}, [YES], "SUCCESS"),
        ({"rule": "ANY"}, [NO], "FAILURE"),
        ({"rule": "ALL"}, [YES, YES, YES, YES], "SUCCESS"),
        ({"rule": "ALL"}, [YES, YES, NO], "FAILURE"),
        ({"rule": "ALL_RESPONDED_ANY"}, [YES, NO, NO, NO], "SUCCESS"),
        ({"rule": "ALL_RESPONDED_ANY"}, [NO, NO, NO, NO], "FAILURE"),
        ({"rule": "COUNT", "count": 2}, [NO, YES, NO, YES], "SUCCESS"),
        ({"rule": "COUNT", "count": 3}, [YES, NO, NO], "FAILURE"),
        ({"rule": "PERCENT", "percent": 50}, [YES, YES], "SUCCESS"),
        ({"rule": "PERCENT", "percent": 51}, [YES, NO, NO], "FAILURE"),
    ],
)
def test_a_rule_decides_as_soon_as_it_is_certain(
    stage: Stage, rule: dict[str, Any], answers: list[str], status: str
) -> None:
    run = asks(stage, **rule)
    late = stage.task_of("dan", run)
    for number, (who, action) in enumerate(zip(FOUR, answers, strict=False), 1):
        assert asked_now(stage, run, who) == [who]
        decides(stage, who, run, action)
        assert is_open(stage, run) == (number < len(answers))
    ended = question(stage, run)
    assert ended["status"] == stage.run(run, wait_s=30)["status"] == status
    assert ended["output"]["decided_by"] == FOUR[: len(answers)]
    assert ended["output"]["decision"] == (YES if status == "SUCCESS" else NO)
    assert asked_now(stage, run) == []
    assert says(stage, "dan", late, YES).status_code == 409


def test_in_a_sequence_the_next_is_asked_and_told_when_the_one_before_has_decided(stage: Stage) -> None:
    run = asks(stage, rule="COUNT", count=2, order="SEQUENTIAL")
    for who, action in (("ana", YES), ("ben", NO), ("cleo", YES)):
        stage.task_of(who, run)
        assert asked_now(stage, run) == [who]
        [mail] = until(partial(stage.asking_mails, f"{who}@example.org", run), f"{who} is told")
        assert str(mail["Subject"]) == "Please decide: May I?"
        decides(stage, who, run, action)
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"
    assert subjects(stage, "dan", run) == [], "it was certain before it was dan's turn"


def test_nobody_decides_in_time_so_others_are_asked_instead(stage: Stage) -> None:
    run = asks(
        stage,
        rule="ALL",
        approvers={"users": ["ana", "ben"]},
        dueIn="PT3S",
        onDue="ESCALATE",
        escalateTo={"users": ["cleo", "dan"], "dueIn": "PT1H"},
    )
    decides(stage, "ana", run, YES)
    missed = stage.task_of("ben", run)
    until(lambda: asked_now(stage, run) == ["cleo", "dan"], "the others are asked")
    assert "time" in says(stage, "ben", missed, YES).json()["detail"]
    [mail] = until(lambda: stage.asking_mails("dan@example.org", run), "dan is told")
    assert "Nobody decided in time" in mail.get_body(("plain",)).get_content()
    with stage.api("ben") as ben:
        assert ben.get(f"/tasks/{missed}").json()["status"] == "EXPIRED"
    decides(stage, "dan", run, YES)
    ended = stage.run(run, wait_s=30)
    assert ended["status"] == "SUCCESS", "the first of them decides, whatever the rule was"
    assert question(stage, run)["output"]["decided_by"] == ["dan"]
    assert asked_now(stage, run) == []


@pytest.mark.parametrize(
    ("on_due", "status", "how"),
    [("EXPIRE", "EXPIRED", None), ("APPROVE", "SUCCESS", "DUE"), ("REJECT", "FAILURE", "DUE")],
)
def test_what_happens_at_the_due_date(stage: Stage, on_due: str, status: str, how: str | None) -> None:
    run = asks(stage, dueIn="PT1S", onDue=on_due)
    stage.run(run, wait_s=40)
    ended = question(stage, run)
    assert ended["status"] == status
    assert (ended.get("output") or {}).get("how") == how
    assert asked_now(stage, run) == []


def test_who_hasnt_decided_is_reminded_once_for_each_reminder(stage: Stage) -> None:
    reminders = ["PT3S", "-PT59M55S", "PT4S"]
    run = asks(stage, approvers={"users": ["ana", "ben"]}, rule="ALL", reminders=reminders)
    decides(stage, "ana", run, YES)
    first, reminder = "Please decide: May I?", "Reminder: please decide: May I?"
    until(lambda: subjects(stage, "ben", run) == [first, *[reminder] * 3], "ben is reminded three times")
    assert len({str(mail["Message-ID"]) for mail in stage.asking_mails("ben@example.org", run)}) == 4
    assert subjects(stage, "ana", run) == [first]
    decides(stage, "ben", run, YES)
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"


def test_a_question_is_handed_on_with_its_place_in_the_order(stage: Stage) -> None:
    run = asks(stage, approvers={"users": ["ana", "cleo"]}, rule="ALL", order="SEQUENTIAL")
    item = stage.task_of("ana", run)
    with stage.api("ana") as ana:
        for to, status in (("rosa", 409), ("cleo", 409), ("nobody-here", 422)):
            assert ana.post(f"/tasks/{item}/delegate", json={"to": to}).status_code == status, to
        handed = ana.post(f"/tasks/{item}/delegate", json={"to": "ben", "comment": "you know it better"})
        assert handed.status_code == 200, handed.text
        assert ana.get(f"/tasks/{item}").json()["status"] == "CLOSED"
    assert says(stage, "ana", item, YES).status_code == 409
    [mail] = until(lambda: stage.asking_mails("ben@example.org", run), "ben is told")
    assert "ana hands the question to you: you know it better" in mail.get_body(("plain",)).get_content()
    assert asked_now(stage, run) == ["ben"]
    decides(stage, "ben", run, YES)
    decides(stage, "cleo", run, YES)
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"
    assert question(stage, run)["output"]["decided_by"] == ["ben", "cleo"]


def test_a_form_is_checked_and_the_next_task_uses_it(stage: Stage) -> None:
    grant = {"name": "grant", "type": "PASS", "depends": "ask"}
    grant["arguments"] = {"output": {"until": '{{ tasks["ask"].output.form.days }}'}}  # type: ignore[assignment]
    run = asks(stage, grant, form=FORM)
    item = stage.task_of("ana", run)
    with stage.api("ana") as ana:
        assert ana.get(f"/tasks/{item}").json()["form"] == FORM
    for form, pointer in (({}, "/form"), ({"days": 0}, "/form/days"), ({"days": 1, "x": 1}, "/form")):
        refused = says(stage, "ana", item, YES, form=form)
        assert refused.status_code == 422, form
        assert refused.json()["errors"][0]["pointer"].startswith(pointer)
    assert says(stage, "ana", item, YES).status_code == 422
    missing = stage.types("ana", "task", "decide", item, "approved")
    assert (missing.code, "form" in missing.err) == (1, True)
    wrong = stage.types("ana", "task", "decide", item, "approved", "--form", "[]")
    assert (wrong.code, "--form" in wrong.err) == (2, True)
    filled = stage.types("ana", "task", "decide", item, "approved", "--form", '{"days": 30}')
    assert filled.code == 0, filled.err
    ended = stage.run(run, wait_s=30)
    assert ended["output"] == {"until": 30}


def test_own_answers_count_as_what_they_say_and_may_need_a_reason(stage: Stage) -> None:
    options = ["REJECTED", {"name": "For a month", "countsAs": YES}, {"name": "Later", "countsAs": NO}]
    run = asks(stage, options=options, requireCommentOn=["For a month"])
    item = stage.task_of("ana", run)
    assert says(stage, "ana", item, YES).status_code == 422
    silent = stage.types("ana", "task", "decide", item, "For a month")
    assert (silent.code, "comment" in silent.err) == (1, True)
    said = stage.types("ana", "task", "decide", item, "For a month", "--comment", "until the audit")
    assert (said.code, said.out) == (0, "decided: For a month\n"), said.err
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"
    assert question(stage, run)["output"] == {
        "decision": "For a month",
        "decided_by": ["ana"],
        "comment": "until the audit",
    }


def test_a_question_that_answers_itself_asks_and_mails_nobody(stage: Stage) -> None:
    run = asks(stage, autoApprove='run.requester.name == "rosa"')
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"
    assert question(stage, run)["output"]["how"] == "AUTO"
    assert asked_now(stage, run) == []
    run = asks(stage, autoApprove='run.requester.name == "sam"')
    decides(stage, "ana", run, YES)
    assert [subjects(stage, who, run) for who in ("rosa", "sam")] == [[], []]


def test_who_asks_isnt_asked_unless_the_author_wants_it_so(stage: Stage) -> None:
    run = asks(stage, approvers={"users": ["rosa", "ana"]}, rule="ALL")
    stage.task_of("ana", run)
    assert asked_now(stage, run, "rosa", "ana") == ["ana"]
    run = asks(stage, approvers={"users": ["rosa"]}, preventSelfApproval=False)
    decides(stage, "rosa", run, YES)
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"


def test_nobody_left_to_ask_fails_or_goes_to_others(stage: Stage) -> None:
    run = asks(stage, approvers={"users": ["rosa"]}, onNoApprovers="ESCALATE", escalateTo={"users": ["ben"]})
    decides(stage, "ben", run, YES)
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"
    run = asks(stage, approvers={"groups": ["nobody-is-in-it"]})
    assert stage.run(run, wait_s=30)["status"] == "FAILURE"
    error = question(stage, run)["error"]
    assert error["name"] == "Approval.NoApprovers"
    assert "nobody-is-in-it" in error["message"]


def test_owners_and_an_expression_name_approvers_and_everybody_is_asked_once(stage: Stage) -> None:
    asset = stage.table("asked-about", "ana", "gone-long-ago")
    approvers = {"owners": True, "users": ["ana"], "expression": '["ben", "ana"]'}
    name = f"asks-{len(stage.published)}"
    asked = {"title": "May I?", "approvers": approvers, "rule": "ALL", "dueIn": "PT1H"}
    task = {"name": "ask", "type": "APPROVAL", "arguments": asked}
    stage.publishes(name, {"dag": {"entrypoint": "ask", "tasks": [task]}})
    run = stage.starts("rosa", name, asset_guid=asset)
    until(lambda: asked_now(stage, run) == ["ana", "ben"], "both are asked")
    assert len(stage.inbox("ana", run)) == 1
    decides(stage, "ana", run, YES)
    decides(stage, "ben", run, YES)
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"


def test_who_has_left_the_group_they_were_asked_for_cant_decide(stage: Stage) -> None:
    stage.joins("eve", "payments")
    stage.joins("finn", "payments")
    run = asks(stage, approvers={"groups": ["payments"]})
    item = stage.task_of("eve", run)
    stage.joins("eve")
    assert says(stage, "eve", item, YES).status_code == 403
    assert is_open(stage, run)
    decides(stage, "finn", run, YES)
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"


def test_an_administrator_overrides_and_the_record_says_so(stage: Stage) -> None:
    run = asks(stage, rule="ALL")
    stage.task_of("ana", run)
    with stage.api("otto") as otto:
        assert otto.post(f"/runs/{run}/tasks/ask/override", json={"action": YES}).status_code == 403
    with stage.api() as admin:
        path = f"/runs/{run}/tasks/ask/override"
        assert admin.post(path, json={"action": "MAYBE"}).status_code == 422
        assert admin.post(path, json={"action": NO, "comment": "the board said no"}).status_code == 200
    assert stage.run(run, wait_s=30)["status"] == "FAILURE"
    output = question(stage, run)["output"]
    assert (output["how"], output["decided_by"], output["comment"]) == ("OVERRIDE", ["admin"], "the board said no")
    assert asked_now(stage, run) == []


def test_a_group_whose_members_arent_known_has_one_item_that_any_member_may_take(stage: Stage) -> None:
    stage.joins("gus", EVERYBODY)
    run = asks(stage, approvers={"groups": [EVERYBODY], "users": ["ana"]}, rule="COUNT", count=2)
    item = stage.task_of("gus", run)
    with stage.api("gus") as gus:
        shown = gus.get(f"/tasks/{item}").json()
        assert (shown["recipient"], shown["is_for_group"]) == (EVERYBODY, True)
        handed = gus.post(f"/tasks/{item}/delegate", json={"to": "ben"})
        assert (handed.status_code, "none can hand it on" in handed.json()["detail"]) == (409, True)
    assert asked_now(stage, run) == ["ana"], "who isn't a member isn't asked"
    assert says(stage, "ben", item, YES).status_code == 403
    stage.joins("hal", EVERYBODY)
    assert stage.task_of("hal", run) == item, "who joins it later may take it, too"
    assert says(stage, "gus", item, YES).status_code == 200
    assert says(stage, "hal", item, NO).status_code == 409
    assert is_open(stage, run), "the group counts as one"
    decides(stage, "ana", run, YES)
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"
    assert question(stage, run)["output"]["decided_by"] == ["gus", "ana"]


@pytest.mark.parametrize("rule", [{"rule": "ALL"}, {"rule": "ALL_RESPONDED_ANY"}, {"rule": "PERCENT", "percent": 50}])
def test_a_rule_that_counts_people_isnt_published_over_a_group_that_nobody_can_count(
    stage: Stage, rule: dict[str, Any]
) -> None:
    asked = {"title": "May I?", "approvers": {"groups": [EVERYBODY]}, "dueIn": "PT1H", **rule}
    spec = {"dag": {"entrypoint": "ask", "tasks": [{"name": "ask", "type": "APPROVAL", "arguments": asked}]}}
    name = f"uncountable-{rule['rule'].lower()}"
    with stage.api("otto") as otto:
        stored = otto.post("/workflows", json={"name": name, "spec": spec}).raise_for_status().json()
        refused = otto.post(f"/workflows/{stored['guid']}/publish")
        started = otto.post("/runs", json={"spec": spec}).raise_for_status().json()
    assert refused.status_code == 400
    [error] = refused.json()["errors"]
    assert error["pointer"] == "/dag/tasks/0/arguments"
    assert EVERYBODY in error["detail"]
    ended = stage.run(started["guid"], wait_s=30)
    assert statuses(ended) == {"ask": "FAILURE"}
    assert ended["dag"]["tasks"][0]["error"]["name"] == "Approval.NoApprovers"
