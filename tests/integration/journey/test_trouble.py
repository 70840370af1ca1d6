"""Neighbours that break, texts that were forged, and runs that came by another door."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from pipeline.messages.envelopes import Look
from pipeline.messages.tagged import dead_letter
from pipeline.store import types
from pipeline.store.mapping import dead_letter_write
from tests.integration.journey.actors import ROOT, Stage, broker_of, row, staged, statuses, until
from tests.product import Product, ProductError

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    # Over the broker, as events of a real Atlas come: garbage on the topic has to reach the source.
    with staged(tmp_path_factory.mktemp("trouble"), BLOCKLINE_EVENTS="kafka") as stage:
        stage.publishes("five", row())
        yield stage


def asks() -> dict[str, Any]:
    question = [{"title": "May it?"}, {"approvers": {"users": ["sam"]}}, {"rule": "ANY"}, {"dueIn": "P1D"}]
    return {"dag": {"entrypoint": "ask", "tasks": [{"name": "ask", "type": "APPROVAL", "arguments": question}]}}


def bootstrap_of(stage: Stage) -> str:
    command = " ".join(broker_of(stage.product).cmdline())
    match = re.search(r"--listener-url tcp://(\S+)", command)
    assert match
    return match[1]


def test_a_run_created_straight_in_atlas_is_admitted(stage: Stage) -> None:
    stage.publishes("direct", row(2))
    with stage.api("otto") as otto:
        [listed] = [item for item in otto.get("/workflows").json()["items"] if item["name"] == "direct"]
        [version] = otto.get(f"/workflows/{listed['guid']}/versions").json()["items"]
    with stage.api("rosa") as rosa:
        token = rosa.post("/me/tokens", json={"name": "pyatlan"}).json()["token"]

    for number, workflow in enumerate((version["guid"], listed["guid"])):
        saved = subprocess.run(
            [
                *(sys.executable, "-m", "tests.integration.journey.by_pyatlan"),
                *(stage.product.url, token, workflow, f"run-{number}"),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert saved.returncode == 0, saved.stderr
        run = saved.stdout.strip()
        ended = stage.run(run, wait_s=40)
        assert (ended["status"], ended["requester"]) == ("SUCCESS", "rosa"), ended
        assert ended["workflow"]["name"] == "direct"
        assert ended["workflow"]["version"] == 1


def test_a_document_changed_by_hand_ends_the_run(stage: Stage) -> None:
    stage.publishes("ask", asks())
    run = stage.starts("rosa", "ask")
    task = stage.task_of("sam", run)
    with stage.api() as admin:
        atlas = f"{stage.product.url}/api/atlas/v2/entity"
        attributes = admin.get(f"{atlas}/guid/{run}").raise_for_status().json()["entity"]["attributes"]
        forged = attributes[types.RUN_CONFIG].replace('"sam"', '"olaf"')
        assert forged != attributes[types.RUN_CONFIG]
        entity = {
            "typeName": "WorkflowRun",
            "attributes": {
                "qualifiedName": attributes["qualifiedName"],
                "name": attributes["name"],
                types.RUN_CONFIG: forged,
            },
        }
        admin.post(f"{atlas}/bulk", json={"entities": [entity]}).raise_for_status()
    ended = stage.run(run, wait_s=40)
    assert (ended["status"], ended["error"]["name"]) == ("FAILURE", "Engine.Tampered")
    assert stage.types("olaf", "task", "list", "--run", run).out == "Your inbox is empty.\n"
    assert stage.types("sam", "task", "decide", task, "APPROVED").code == 1


def test_garbage_on_the_topic_becomes_a_dead_letter_and_stops_nobody(stage: Stage) -> None:
    bootstrap = bootstrap_of(stage)
    topics = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).topics
    topic = max(name for name in topics if re.fullmatch(r"ATLAS_ENTITIES\.\d+", name))
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, b"this is no notification", partition=0)
    producer.produce(topic, b'{"message": {"type": "ENTITY_NOTIFICATION_V2", "entity": []}}', partition=0)
    assert producer.flush(10) == 0
    run = stage.starts("rosa", "five")
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"

    def kept() -> list[str] | None:
        with stage.api() as admin:
            items = admin.get("/dead-letters", params={"vertex": "cdc"}).raise_for_status().json()["items"]
        return [item["id"] for item in items] if len(items) >= 2 else None

    letters = [
        stage.types("admin", "dead-letter", "show", ident, "--json").json for ident in until(kept, "two dead letters")
    ]
    assert "this is no notification" in {letter["text"] for letter in letters}
    assert all(letter["reason"] for letter in letters)


def test_a_dead_letter_is_sent_again(stage: Stage) -> None:
    stage.publishes("ask-by-letter", asks())
    run = stage.starts("rosa", "ask-by-letter")
    stage.task_of("sam", run)
    poison, good = b"this is no message", Look(run_guid=run, reason="event").encode()
    with stage.api() as admin:
        for payload in (poison, good):
            write = dead_letter_write(dead_letter(payload, reason="of the test", vertex="atlas-0", at=1))
            attributes = {**write.attributes, "qualifiedName": write.qualified_name}
            entities = {"entities": [{"typeName": write.type_name, "attributes": attributes}]}
            admin.post(f"{stage.product.url}/api/atlas/v2/entity/bulk", json=entities).raise_for_status()
    names = [dead_letter(payload, reason="", vertex="", at=1).payload_sha256[:16] for payload in (poison, good)]
    assert stage.types("rosa", "dead-letter", "replay", names[1]).code == 1
    refused = stage.types("admin", "dead-letter", "replay", names[0])
    assert (refused.code, "Refused" in refused.out) == (1, True), refused
    done = stage.types("admin", "dead-letter", "replay", names[1], "--json")
    assert done.code == 0, done
    assert (done.json["replay"]["by"], done.json["replay"]["note"]) == ("admin", "Sent to shard-0.")
    shown = stage.types("admin", "dead-letter", "show", names[0]).out
    assert "Refused" in shown
    assert "of the test" not in shown, "it says why it was refused this time"


def test_a_broker_that_dies_is_started_again_and_nothing_is_lost(stage: Stage) -> None:
    stage.publishes("ask-again", asks())
    waiting = stage.starts("rosa", "ask-again")
    task = stage.task_of("sam", waiting)
    for _ in range(2):
        broker_of(stage.product).kill()
        runs = [stage.starts("rosa", "five") for _ in range(5)]
        for run in runs:
            assert stage.run(run, wait_s=50)["status"] == "SUCCESS"
    assert stage.types("sam", "task", "decide", task, "APPROVED").code == 0
    assert stage.run(waiting, wait_s=30)["status"] == "SUCCESS"


def test_starts_that_race_with_one_key_start_once(stage: Stage) -> None:
    with stage.api("rosa") as rosa:
        headers = {"Idempotency-Key": "the-one"}
        answers = [rosa.post("/runs", json={"workflow": "five"}, headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 200, 200]
        assert len({answer.json()["guid"] for answer in answers}) == 1
        other = rosa.post("/runs", json={"workflow": "five", "comment": "x"}, headers=headers)
        assert other.status_code == 422


def test_a_decision_written_on_the_item_counts_only_from_its_recipient(stage: Stage) -> None:
    stage.publishes("ask-directly", asks())
    run = stage.starts("rosa", "ask-directly")
    task = stage.task_of("sam", run)
    atlas = f"{stage.product.url}/api/atlas/v2/entity"
    with stage.api("sam") as sam, stage.api("olaf") as olaf, stage.api() as admin:
        known = admin.get(f"{atlas}/guid/{task}").raise_for_status().json()["entity"]["attributes"]
        written = {types.ITEM_ACTION: "APPROVED", types.ITEM_COMMENT: "straight in Atlas"}
        names = {name: known[name] for name in ("qualifiedName", "name")}
        decision = {"typeName": "Task", "guid": task, "attributes": {**names, **written}}
        assert olaf.post(f"{atlas}/bulk", json={"entities": [decision]}).status_code == 403
        assert sam.post(f"{atlas}/bulk", json={"entities": [decision]}).status_code == 200
    ended = stage.run(run, wait_s=40)
    assert (ended["status"], statuses(ended)) == ("SUCCESS", {"ask": "SUCCESS"})
    assert ended["dag"]["tasks"][0]["output"]["decided_by"] == ["sam"]


def test_an_answer_without_the_comment_that_was_asked_for_is_refused_before_it_counts(stage: Stage) -> None:
    spec = asks()
    spec["dag"]["tasks"][0]["arguments"].append({"requireCommentOn": ["APPROVED"]})
    stage.publishes("ask-why", spec)
    run = stage.starts("rosa", "ask-why")
    task = stage.task_of("sam", run)
    with stage.api("sam") as sam:
        refused = sam.post(f"/tasks/{task}/decide", json={"action": "APPROVED"})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/comment")
        assert sam.post(f"/tasks/{task}/decide", json={"action": "APPROVED", "comment": "fine"}).status_code == 200
    with stage.api() as admin:
        commands = admin.get(f"/runs/{run}/commands").raise_for_status().json()["items"]
    assert [command["status"] for command in commands] == ["APPLIED"]


def test_a_first_start_that_fails_has_said_its_passwords(tmp_path: Path) -> None:
    product = Product(tmp_path, environment={"BLOCKLINE_SMTP_URL": "nonsense"})
    with pytest.raises(ProductError, match="BLOCKLINE_SMTP_URL"):
        product.start()
    passwords = product.printed_passwords()
    assert sorted(passwords) == ["approver", "author", "requester"]
    with Product(tmp_path) as again, again.client("author", passwords["author"]) as author:
        assert author.get("/me").raise_for_status().json()["name"] == "author"


def test_who_has_left_the_group_that_was_asked_may_not_decide(stage: Stage) -> None:
    spec = asks()
    spec["dag"]["tasks"][0]["arguments"][1] = {"approvers": {"groups": ["wardens"]}}
    stage.publishes("ask-wardens", spec)
    person = {"name": "vic", "email": "vic@example.org", "groups": ["wardens"], "roles": ["requester"]}
    with stage.api() as admin:
        admin.post("/users", json={**person, "password": stage.password("vic")}).raise_for_status()
        run = stage.starts("rosa", "ask-wardens")
        task = stage.task_of("vic", run)
        with stage.api("vic") as vic:
            change = {key: value for key, value in person.items() if key != "name"}
            admin.put("/users/vic", json={**change, "groups": []}).raise_for_status()
            assert vic.post(f"/tasks/{task}/decide", json={"action": "APPROVED"}).status_code == 403
            admin.put("/users/vic", json=change).raise_for_status()
            assert vic.post(f"/tasks/{task}/decide", json={"action": "APPROVED"}).status_code == 200
    assert stage.run(run, wait_s=30)["status"] == "SUCCESS"
