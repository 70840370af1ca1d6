"""The product on a data folder that an earlier version left: what was under way goes on, nothing is lost."""

import sqlite3
from pathlib import Path

import pytest

from tests.golden.stored import VERSIONS, recorded_at
from tests.integration.journey.actors import Stage, statuses
from tests.mail_server import MailServer
from tests.product import Product

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("version", VERSIONS)
def test_runs_of_an_older_folder_go_on(version: str, tmp_path: Path) -> None:
    recorded_at(version, tmp_path / "data")
    # However long ago they ended, they aren't archived.
    environment = {"BLOCKLINE_RETENTION_DAYS": "0"}
    with (
        MailServer() as mail,
        Product(tmp_path, environment={**environment, "BLOCKLINE_SMTP_URL": mail.url}) as product,
    ):
        assert product.printed_passwords() == {}, "its users are there"
        stage = Stage(product, mail)
        with stage.api("rosa") as rosa:
            runs = {run["status"]: run["guid"] for run in rosa.get("/runs").raise_for_status().json()["items"]}
        assert sorted(runs) == ["APPROVED", "PENDING"]
        ended = stage.run(runs["APPROVED"])
        assert (statuses(ended), ended["output"]) == ({"ask": "SUCCESS", "yes": "SUCCESS"}, "orders")
        item = stage.task_of("sam", runs["PENDING"])
        decided = stage.types("sam", "task", "decide", item, "approved")
        assert decided.code == 0, decided.err
        assert stage.run(runs["PENDING"], wait_s=30)["status"] == "APPROVED"
        again = stage.starts("rosa", "kept", asset_guid=ended["asset"]["guid"])
        assert stage.task_of("sam", again)


def test_a_folder_of_a_later_version_isnt_opened(tmp_path: Path) -> None:
    file = recorded_at("v1", tmp_path / "data")
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with MailServer() as mail:
        refused = Stage(Product(tmp_path), mail).types("admin", "up", "--data", str(tmp_path / "data"), "--port", "0")
    assert refused.code == 1
    assert "written by a later version of this program" in refused.err
    assert "Traceback" not in refused.out + refused.err
