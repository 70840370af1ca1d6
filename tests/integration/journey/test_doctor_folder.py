"""``blockline doctor --data``, typed at folders as they are found: running, stopped, killed, broken."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli.data_folder import KEY
from tests.integration.journey.actors import Said, Stage
from tests.integration.journey.test_trouble import asks
from tests.mail_server import MailServer
from tests.product import Product

pytestmark = pytest.mark.timeout(480)


def findings(said: Said) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for one in said.json["findings"]:
        found.setdefault(one["check"], []).append((one["grade"], one["detail"]))
    return found


def bad(found: dict[str, list[tuple[str, str]]]) -> set[str]:
    """What fails."""
    return {check for check, said in found.items() if any(grade == "FAIL" for grade, _ in said)}


def files(data: Path) -> dict[str, tuple[int, int]]:
    return {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in data.iterdir() if file.is_file()}


def change(data: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(data / "atlas.sqlite3")) as database, database:
        assert database.execute(statement, values).rowcount == 1


def test_the_doctor_looks_into_a_folder(tmp_path: Path) -> None:
    product = Product(tmp_path, arguments=("--shards", "2"))
    data = tmp_path / "data"
    stage = Stage(product, MailServer())

    def looks() -> tuple[int, dict[str, list[tuple[str, str]]]]:
        said = stage.types("admin", "doctor", "--data", str(data), "--json")
        return said.code, findings(said)

    with product:
        stage.people()
        stage.publishes("ask", asks())
        run = stage.starts("rosa", "ask")
        stage.task_of("sam", run)
        code, found = looks()
        assert (code, bad(found)) == (0, set())
        assert "runs on it" in found["lock"][0][1]
        held = {"sink 0 holds slots 0 to 127", "sink 1 holds slots 128 to 255"}
        told = {detail for _, detail in found["leases"]}
        assert len(told) == 2
        assert told & held, "who got a message has its slots; the other takes them with its first"
        assert found["runs"][0][1] == "1 live"
        product.kill()

    code, found = looks()
    assert (code, bad(found)) == (0, set()), found
    assert found["lock"][0][1] == "nothing runs"
    assert "WARN" in {grade for grade, _ in found["leases"]}, "a sink was killed while it held its slots"

    with product:
        pass
    before = files(data)
    code, found = looks()
    assert files(data) == before, "it looks only"
    assert (code, bad(found)) == (0, set()), found
    assert [grade for grade, _ in found["leases"]] == ["OK", "OK"]
    assert found["blocks"][0][0] == "OK"

    change(
        data,
        "UPDATE entity SET attributes = replace(attributes, 'APPROVAL', 'GONE') WHERE guid = ?",
        run,
    )
    code, found = looks()
    assert (code, bad(found)) == (1, {"signatures", "blocks"}), found
    assert "GONE" in found["blocks"][0][1]

    (data / KEY).write_text("no key")
    (data / KEY).chmod(0o600)
    assert "key" in bad(looks()[1])

    (data / "atlas.sqlite3").write_bytes(b"this is no database" * 1000)
    for left in ("atlas.sqlite3-wal", "atlas.sqlite3-shm"):
        (data / left).unlink(missing_ok=True)
    code, found = looks()
    assert code == 1
    assert "put a backup back" in found["store"][0][1]

    said = stage.types("admin", "doctor", "--data", str(tmp_path / "nowhere"))
    assert (said.code, said.out.startswith("FAIL  folder")) == (1, True)
    assert not (tmp_path / "nowhere").exists()
