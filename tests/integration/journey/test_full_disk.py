"""The disk is full while it runs: it says so, refuses what is new, keeps what it has, and goes on with room again."""

from pathlib import Path

import httpx
import pytest

from tests.integration.journey.actors import Stage, until
from tests.integration.journey.small_disk import WAYS, small_disk
from tests.integration.journey.test_trouble import asks
from tests.mail_server import MailServer

pytestmark = pytest.mark.timeout(180)
STARTS_MAX = 400
"""What fits into the room that the store keeps in its own files."""


def readiness(stage: Stage) -> tuple[int, dict[str, bool]]:
    answer = httpx.get(f"{stage.product.url}/readyz", timeout=20)
    return answer.status_code, answer.json()["parts"]


@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk_refuses_what_is_new_and_loses_nothing(tmp_path: Path, way: str) -> None:
    with small_disk(tmp_path, way) as disk:
        product = disk.product
        stage = Stage(product, MailServer())
        stage.people()
        stage.publishes("ask", asks())
        accepted = [stage.starts("rosa", "ask") for _ in range(3)]
        for run in accepted:
            stage.task_of("sam", run)

        disk.fill()
        with stage.api("rosa") as rosa:
            for _ in range(STARTS_MAX):
                answer = rosa.post("/runs", json={"workflow": "ask"})
                if answer.status_code != 201:
                    break
                accepted.append(answer.json()["guid"])
            assert answer.status_code == 503, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"].startswith(disk.refusal), answer.json()
            assert answer.headers["retry-after"]
            assert rosa.get(f"/runs/{accepted[0]}").json()["guid"] == accepted[0], "what is there can be read"
        status, parts = until(lambda: found if (found := readiness(stage))[0] == 503 else None, "it isn't ready")
        assert (status, parts["store"]) == (503, False)
        said = [line for line in product.log.read_text().splitlines() if disk.line in line]
        assert len(said) == 1, said
        assert "Traceback" not in product.log.read_text()
        assert 'File "' not in product.log.read_text(), product.tail()

        disk.clear()
        until(lambda: readiness(stage)[0] == 200, "it is ready again")
        for run in accepted:
            task = stage.task_of("sam", run)
            assert stage.types("sam", "task", "decide", task, "APPROVED").code == 0
        assert {stage.run(run, wait_s=30)["status"] for run in accepted} == {"SUCCESS"}
        with stage.api() as admin:
            kept = {run["guid"] for run in admin.get("/runs", params={"limit": 200}).json()["items"]}
        assert kept >= set(accepted)
