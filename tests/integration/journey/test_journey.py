"""The journey of the people: publish, ask, decide, be told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.journey.actors import EXAMPLE, Stage, staged, statuses, until
from tests.mail_server import MailServer
from tests.product import Product

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("journey")) as stage:
        published = stage.types("otto", "workflow", "publish", str(EXAMPLE))
        assert (published.code, published.out) == (0, "access-request is published as version 1\n"), published.err
        yield stage


def test_somebody_asks_the_steward_approves_and_everybody_hears_of_it(stage: Stage) -> None:
    asset = stage.table("orders", "hans")
    started = stage.types("rosa", "run", "start", "access-request", "--asset", asset, "--comment", "for the report")
    assert started.code == 0, started.err
    run = started.out.strip()
    watching = stage.begins("rosa", "run", "watch", run)
    try:
        task = stage.task_of("sam", run)
        assert "orders" in stage.types("sam", "task", "list").out
        assert stage.types("olaf", "task", "list").out == "Your inbox is empty.\n"
        assert stage.types("rosa", "task", "list").out == "Your inbox is empty.\n"
        assert stage.types("olaf", "task", "decide", task, "APPROVED").code == 1
        [asked] = until(lambda: stage.mails_to("sam@example.org", run), "sam's mail")
        assert "orders" in str(asked["Subject"])
        assert stage.mails_to("olaf@example.org", run) == []
        decided = stage.types("sam", "task", "decide", task, "approved", "--comment", "fine")
        assert (decided.code, decided.out) == (0, "decided: APPROVED\n"), decided.err
        out, err = watching.communicate(timeout=60)
    finally:
        watching.kill()
    assert watching.returncode == 0, err
    words = [line.split()[1:] for line in out.splitlines()]
    assert words[-1] == ["run", run, "APPROVED"]
    shown = [tuple(line[:2]) for line in words[:-1]]
    assert shown[0] == ("auto-approval-block", "FAILURE")
    assert ("manual-approval-block", "WAITING") in shown
    assert shown.index(("manual-approval-block", "WAITING")) < shown.index(("manual-approval-block", "SUCCESS"))
    assert ("notify-approved", "SUCCESS") in shown
    [told] = until(lambda: stage.mails_to("rosa@example.org", run), "rosa's mail")
    assert str(told["Subject"]) == "Your request was approved!"
    assert "orders" in told.get_body(("plain",)).get_content()
    ended = stage.run(run)
    assert ended["asset"]["name"] == "orders"
    assert statuses(ended)["notify-rejected"] == "OMITTED"
    late = stage.types("sam", "task", "decide", task, "REJECTED", "--comment", "no")
    assert late.code == 1
    assert "already" in late.err


def test_an_owner_is_approved_at_once(stage: Stage) -> None:
    asset = stage.table("own", "rosa")
    waited = stage.types("rosa", "run", "start", "access-request", "--asset", asset, "--wait", "--json")
    assert waited.code == 0, waited.err
    assert waited.json["status"] == "APPROVED"
    assert statuses(waited.json)["manual-approval-block"] == "OMITTED"
    assert len(stage.mails_to("rosa@example.org", waited.json["guid"])) == 1


def test_a_rejection_needs_a_reason_and_is_told(stage: Stage) -> None:
    run = stage.starts("rosa", "access-request", asset_guid=stage.table("sales", "hans"))
    task = stage.task_of("sam", run)
    assert "comment" in stage.types("sam", "task", "decide", task, "REJECTED").err
    assert stage.types("sam", "task", "decide", task, "REJECTED", "--comment", "ask hans").code == 0
    ended = stage.run(run, wait_s=30)
    assert ended["status"] == "REJECTED"
    assert statuses(ended)["manual-approval-block"] == "FAILURE"
    [told] = until(lambda: stage.mails_to("rosa@example.org", run), "rosa's mail")
    assert str(told["Subject"]) == "Your request was declined"
    with stage.api("rosa") as rosa:
        trail = rosa.get(f"/runs/{run}/audit").raise_for_status().json()["items"]
        commands = [entry for entry in trail if entry["source"] == "command"]
        assert [(entry["by"], entry["comment"]) for entry in commands] == [("sam", "ask hans")]
        assert [entry for entry in trail if entry["source"] == "store"]


def asks(due_in: str) -> dict[str, Any]:
    """The example with another deadline and nobody to mail at its end."""
    question = [{"title": "May it?"}, {"approvers": {"users": ["sam"]}}, {"rule": "ANY"}, {"dueIn": due_in}]
    return {
        "dag": {
            "entrypoint": "ask",
            "tasks": [
                {"name": "ask", "type": "APPROVAL", "arguments": question},
                {"name": "yes", "type": "PASS", "depends": "ask.SUCCESS", "endStatus": "APPROVED", "arguments": []},
                {"name": "no", "type": "PASS", "depends": "ask.FAILED_ANY", "endStatus": "REJECTED", "arguments": []},
            ],
        }
    }


def test_what_nobody_decides_in_time_is_rejected(stage: Stage) -> None:
    stage.publishes("hurry", asks("PT2S"))
    run = stage.starts("rosa", "hurry")
    task = stage.task_of("sam", run)
    ended = stage.run(run, wait_s=40)
    assert ended["status"] == "REJECTED"
    assert statuses(ended) == {"ask": "EXPIRED", "yes": "OMITTED", "no": "SUCCESS"}
    late = stage.types("sam", "task", "decide", task, "APPROVED")
    assert late.code == 1
    assert "over" in late.err


def test_the_requester_withdraws(stage: Stage) -> None:
    run = stage.starts("rosa", "access-request", asset_guid=stage.table("sales", "hans"))
    stage.task_of("sam", run)
    assert stage.types("olaf", "run", "withdraw", run).code == 1
    assert stage.types("sam", "run", "withdraw", run).code == 1
    done = stage.types("rosa", "run", "withdraw", run, "--comment", "not needed any more")
    assert (done.code, done.out) == (0, "done\n"), done.err
    ended = stage.run(run)
    assert (ended["status"], ended["ended_by"]["by"]) == ("WITHDRAWN", "rosa")
    assert statuses(ended)["manual-approval-block"] == "CANCELLED"
    assert stage.types("sam", "task", "list", "--run", run).out == "Your inbox is empty.\n"
    assert stage.types("rosa", "run", "withdraw", run).code == 1


@pytest.mark.parametrize("action", ["cancel", "terminate"])
def test_the_author_ends_a_run(stage: Stage, action: str) -> None:
    run = stage.starts("rosa", "access-request", asset_guid=stage.table("sales", "hans"))
    stage.task_of("sam", run)
    assert stage.types("rosa", "run", action, run).code == 1
    assert stage.types("otto", "run", action, run).code == 0
    assert stage.run(run)["status"] == "TERMINATED"


def tells(recipient: str) -> dict[str, Any]:
    payload = {"title": "It happened", "description": "Now."}
    return {
        "dag": {
            "entrypoint": "tell",
            "tasks": [
                {"name": "tell", "type": "NOTIFICATION", "arguments": [{"recipient": recipient}, {"payload": payload}]}
            ],
        }
    }


def test_a_mail_server_that_is_away_for_a_while_delays_and_loses_nothing(stage: Stage) -> None:
    stage.publishes("tell", tells("{{ run.requester.email }}"))
    stage.mail.stop()
    try:
        run = stage.starts("rosa", "tell")
        until(lambda: statuses(stage.run(run))["tell"] == "RETRYING" or None, "a retry")
    finally:
        stage.mail.start()
    assert stage.run(run, wait_s=60)["status"] == "SUCCESS"
    assert len(stage.mails_to("rosa@example.org", run)) == 1


def test_a_mail_server_that_refuses_for_good_fails_the_run_with_its_words(stage: Stage) -> None:
    stage.publishes("tell-nobody", tells("nobody@example.org"))
    stage.mail.answers["rcpt"] = "550 There is no such user here"
    try:
        run = stage.starts("rosa", "tell-nobody")
        ended = stage.run(run, wait_s=40)
    finally:
        del stage.mail.answers["rcpt"]
    assert ended["status"] == "FAILURE"
    [task] = ended["dag"]["tasks"]
    assert task["error"]["name"] == "Mail.Refused"
    assert "no such user" in task["error"]["message"]
    watched = stage.types("rosa", "run", "watch", run)
    assert watched.code == 1
    assert "no such user" in watched.out


def test_a_second_up_on_the_same_data_is_refused(stage: Stage) -> None:
    folder = stage.product.folder / "data"
    second = stage.types("admin", "up", "--data", str(folder), "--port", "0")
    assert second.code == 1
    assert second.err == f"Another `blockline up` is running on the data in {folder}.\n"


def test_an_atlas_without_an_account_is_refused_before_anything_starts(stage: Stage, tmp_path: Path) -> None:
    refused = stage.types("admin", "up", "--data", str(tmp_path), "--atlas", "http://127.0.0.1:21000")
    assert refused.code == 1
    assert "BLOCKLINE_ATLAS_USER" in refused.err


def test_everything_is_private_and_the_default_users_passwords_work(stage: Stage) -> None:
    data = stage.product.folder / "data"
    assert data.stat().st_mode & 0o077 == 0
    for file in data.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file.name
    printed = stage.product.printed_passwords()
    assert set(printed) == {"author", "approver", "requester"}
    with stage.product.client("approver", printed["approver"]) as approver:
        assert approver.get("/me").json()["groups"] == ["approvers"]


def test_it_stops_cleanly_and_goes_on_where_it_was(tmp_path: Path) -> None:
    with MailServer() as mail:
        product = Product(tmp_path, environment={"BLOCKLINE_SMTP_URL": mail.url})
        product.start()
        stage = Stage(product, mail)
        stage.people()
        stage.publishes("ask", asks("P1D"))
        run = stage.starts("rosa", "ask")
        task = stage.task_of("sam", run)
        watching = stage.begins("rosa", "run", "watch", run)
        assert watching.stdout is not None
        watching.stdout.readline()
        children = psutil.Process(product.pid).children(recursive=True)
        assert children
        assert product.stop() == 0, product.tail()
        assert not any(child.is_running() for child in children)
        assert "Traceback" not in product.tail()
        product.start()
        assert stage.types("sam", "task", "decide", task, "APPROVED").code == 0
        watching.communicate(timeout=60)
        assert watching.returncode == 0
        assert stage.run(run, wait_s=30)["status"] == "APPROVED"
        product.stop()
