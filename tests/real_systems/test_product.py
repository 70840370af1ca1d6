"""``blockline up --atlas URL --kafka HOST:PORT`` on the real ones: runs end, people are asked, a kill loses nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.journey.actors import Stage, row, statuses
from tests.mail_server import MailServer
from tests.product import Product

pytestmark = pytest.mark.timeout(300)
RUNS = 40
WAIT_S = 60.0


def asks() -> dict[str, object]:
    question = [{"title": "May it?"}, {"approvers": {"users": ["sam"]}}, {"rule": "ANY"}, {"dueIn": "P1D"}]
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


def test_runs_end_and_a_kill_loses_nothing(product: Callable[..., Product]) -> None:
    with MailServer() as mail, product(BLOCKLINE_SMTP_URL=mail.url) as running:
        stage = Stage(running, mail)
        stage.people()
        stage.publishes("real-row", row())
        stage.publishes("real-ask", asks())
        asked = stage.starts("rosa", "real-ask")
        task = stage.task_of("sam", asked)
        decided = stage.types("sam", "task", "decide", task, "APPROVED")
        assert decided.code == 0, decided.err
        ended = stage.run(asked, wait_s=WAIT_S)
        assert (ended["status"], statuses(ended)) == (
            "APPROVED",
            {"ask": "SUCCESS", "yes": "SUCCESS", "no": "OMITTED"},
        )
        waiting = stage.starts("rosa", "real-ask")
        later = stage.task_of("sam", waiting)
        runs = [stage.starts("rosa", "real-row") for _ in range(RUNS)]
        running.kill()
        running.start()
        with ThreadPoolExecutor(8) as pool:
            views = list(pool.map(lambda run: stage.run(run, wait_s=WAIT_S), runs))
        assert {view["status"] for view in views} == {"SUCCESS"}
        assert stage.types("sam", "task", "decide", later, "REJECTED", "--comment", "no").code == 0
        assert stage.run(waiting, wait_s=WAIT_S)["status"] == "REJECTED"
        with stage.api() as admin:
            letters = admin.get("/dead-letters").raise_for_status().json()["items"]
        # The contract suite leaves garbage on this very topic; of ours nothing may be refused.
        assert [letter for letter in letters if letter["run"] in {asked, waiting, *runs}] == []
