"""kill -9 of the whole process tree, again and again, while people start runs and decide.

What must hold afterwards: no acknowledged run is lost or stuck, no acknowledged decision is forgotten, and all mails
of one effect key and recipient carry one Message-ID. A mail may come twice (the process can die between the
server's 250 and the journal's entry); those are counted and printed.
"""

import random  # noqa: TID251  (seeded)
import time
from pathlib import Path

import pytest

from tests.at_work import Load, check, check_mails, finish, prepare, work
from tests.mail_server import MailServer
from tests.product import Product

KILLS = 10
"""For each way in which events are read."""
SEED = 20261124
ENDS_WITHIN_S = 240.0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("events", ["outbox", "kafka"])
def test_kill_minus_nine_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], events: str) -> None:
    chance = random.Random(SEED)  # noqa: S311  (a seeded world, not a secret)
    with MailServer() as mail_server:
        product = Product(tmp_path, environment={"BLOCKLINE_SMTP_URL": mail_server.url, "BLOCKLINE_EVENTS": events})
        product.start()
        load = Load(product, SEED)

        def kill_again_and_again() -> None:
            for _ in range(KILLS):
                time.sleep(0.2 + chance.random() * 3)  # noqa: TID251  (a random moment is the test)
                product.kill()
                product.start()
            load.over.wait(2)

        try:
            prepare(product)
            work(load, kill_again_and_again)
            ended = finish(load, ENDS_WITHIN_S)
            with product.client() as client:
                dead = client.get("/dead-letters").raise_for_status().json()["items"]
        finally:
            product.kill()
        mails = mail_server.mails()

    assert not dead
    check(load, ended)
    effects, twice = check_mails(load, ended, mails)
    with capsys.disabled():
        print(
            f"\n{KILLS} kills, {len(load.runs)} runs, {len(load.decisions)} decisions, {effects} mails of which "
            f"{twice} came twice (killed between the server's 250 and the journal)"
        )
    assert len(load.runs) > KILLS
    assert load.decisions
