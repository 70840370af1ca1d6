"""A run that ended long ago leaves the store of a running product, and is shown from the archive."""

import sqlite3
import time
from pathlib import Path

import pytest

from pipeline.core.limits import RETENTION_FIRST_S
from pipeline.messages.canonical import decode, encode
from pipeline.messages.seal import Seal, Sealed
from pipeline.retention.sweep import DAY_MS
from pipeline.store import types
from tests.golden.stored import ENGINE_KEY, recorded_at
from tests.integration.journey.actors import Stage, statuses, until
from tests.mail_server import MailServer
from tests.product import Product

pytestmark = pytest.mark.timeout(300)
AGE_DAYS = 3


def aged(file: Path) -> str:
    """Makes the run that has ended one that ended days ago, as the engine would have signed it then; its guid."""
    at = time.time_ns() // 1_000_000 - AGE_DAYS * DAY_MS
    connection = sqlite3.connect(file)
    (row,) = [
        (row_id, guid, attributes)
        for row_id, guid, text in connection.execute(
            "SELECT id, guid, attributes FROM entity WHERE type = 'WorkflowRun'"
        )
        if (attributes := decode(text))[types.RUN_STATUS] == "APPROVED"
    ]
    row_id, guid, attributes = row
    seal = Seal(bytes.fromhex(ENGINE_KEY))
    document = {**decode(attributes[types.RUN_CONFIG])}
    del document["signature"]
    document["engine"]["ended_at"] = at
    attributes[types.RUN_CONFIG] = seal.seal(Sealed.DOCUMENT, guid, document)
    text = encode(attributes).decode()
    connection.execute(
        "UPDATE entity SET attributes = ?, created_at = ?, updated_at = ? WHERE id = ?", (text, at, at, row_id)
    )
    connection.execute('UPDATE "s WorkflowRun" SET created_at = ? WHERE id = ?', (at, row_id))
    connection.commit()
    connection.close()
    return str(guid)


def test_what_ended_days_ago_is_archived_by_itself_and_what_lives_stays(tmp_path: Path) -> None:
    data = tmp_path / "data"
    old = aged(recorded_at("v1", data))
    with MailServer() as mail:
        environment = {"BLOCKLINE_SMTP_URL": mail.url, "BLOCKLINE_RETENTION_DAYS": "1"}
        with Product(tmp_path, environment=environment) as product:
            stage = Stage(product, mail)
            assert stage.types("admin", "archive", "list", "--data", str(data)).out == "The archive is empty.\n"
            with stage.api("rosa") as rosa, stage.api("otto") as otto, stage.api() as admin:
                assert rosa.get(f"/runs/{old}").json()["status"] == "APPROVED"
                new = stage.starts("rosa", "kept", asset_guid=rosa.get(f"/runs/{old}").json()["asset"]["guid"])
                item = stage.task_of("sam", new)
                decided = stage.types("sam", "task", "decide", item, "approved")
                assert decided.code == 0, decided.err
                until(lambda: rosa.get(f"/runs/{old}").status_code == 410, "it is archived", RETENTION_FIRST_S + 60)
                gone = rosa.get(f"/runs/{old}").json()
                assert "was archived on" in gone["detail"]
                assert admin.get(f"/runs/{old}").status_code == 410
                assert otto.get(f"/runs/{old}").status_code == 404, "he had nothing to do with it"
                left = {run["guid"]: run["status"] for run in rosa.get("/runs").json()["items"]}
            assert left[new] == "APPROVED", "it ended lately"
            assert sorted(left.values()) == ["APPROVED", "PENDING"]
            listed = stage.types("admin", "archive", "list", "--data", str(data), "--json")
            assert [(run["guid"], run["requester"]) for run in listed.json["items"]] == [(old, "rosa")]
            shown = stage.types("admin", "archive", "show", old, "--data", str(data))
            assert shown.code == 0, shown.err
            for words in (f"run: {old}", "APPROVED", "WorkflowRunCommand", "Task ", "taskExecutionComment: fine"):
                assert words in " ".join(shown.out.split()), words
            unknown = stage.types("admin", "archive", "show", new, "--data", str(data))
            assert (unknown.code, "no such run" in unknown.err) == (1, True)
            assert "blockline_retention_archived_total 1.0" in _metrics(product)
            parked = next(guid for guid, status in left.items() if status == "PENDING")
            assert statuses(stage.run(parked))["ask"] == "WAITING"


def _metrics(product: Product) -> str:
    with product.client() as admin:
        return admin.get(f"{product.url}/metrics").text
