"""``up --isolated`` with ``--atlas`` and ``--kafka``: a process a vertex on the real ones, some of them killed."""

import secrets
from collections.abc import Callable
from functools import partial

import psutil
import pytest

from tests.integration.isolated.test_isolated import of_vertex, vertices
from tests.integration.journey.actors import Stage, row, until
from tests.mail_server import MailServer
from tests.product import Product
from tests.real_systems.test_product import asks

KILLED = ("sinks.atlas", "udfs.runners PASS", "udfs.orchestrator")
RUNS = 10
WAIT_S = 30.0
WITHIN_S = 150.0


def others(product: Product, name: str, pid: int) -> set[int]:
    return set(of_vertex(product, name)) - {pid}


def status(stage: Stage, run: str) -> str | None:
    """None while it goes on."""
    found: str = stage.run(run, wait_s=WAIT_S)["status"]
    return None if found == "PENDING" else found


@pytest.mark.timeout(900)
def test_vertices_are_killed_and_runs_end(product: Callable[..., Product]) -> None:
    with MailServer() as mail, product(BLOCKLINE_SMTP_URL=mail.url, BLOCKLINE_ISOLATED="1") as running:
        stage = Stage(running, mail)
        stage.people()
        in_a_row, ask = f"row-{secrets.token_hex(4)}", f"ask-{secrets.token_hex(4)}"
        stage.publishes(in_a_row, row())
        stage.publishes(ask, asks())
        asked = stage.starts("rosa", ask)
        task = stage.task_of("sam", asked)
        runs = []
        for name in KILLED:
            runs += [stage.starts("rosa", in_a_row) for _ in range(RUNS)]
            [pid] = of_vertex(running, name)
            psutil.Process(pid).kill()
            until(partial(others, running, name, pid), f"{name} again", WITHIN_S)
        assert stage.types("sam", "task", "decide", task, "APPROVED", timeout_s=WITHIN_S).code == 0
        assert {until(partial(status, stage, run), f"the end of {run}", WITHIN_S) for run in runs} == {"SUCCESS"}
        assert until(partial(status, stage, asked), "the end of the question", WITHIN_S) == "APPROVED"
        with stage.api() as admin:
            letters = admin.get("/dead-letters").raise_for_status().json()["items"]
        assert [letter for letter in letters if letter["run"] in {asked, *runs}] == []
        mine = list(vertices(running))
        assert running.stop() == 0
        assert not [pid for pid in mine if psutil.pid_exists(pid)]
