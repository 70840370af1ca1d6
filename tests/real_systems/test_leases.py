"""Who stops in peace gives the lease back, also where the store goes on; who was killed leaves it held."""

import secrets
from collections.abc import Callable

import pytest

from tests.integration.journey.actors import Stage, row, statuses
from tests.mail_server import MailServer
from tests.product import Product

WAIT_S = 60.0


@pytest.mark.timeout(400)
def test_a_stop_gives_the_lease_back_and_a_kill_does_not(product: Callable[..., Product]) -> None:
    with MailServer() as mail:
        running = product(BLOCKLINE_SMTP_URL=mail.url)
        lease = running.folder / "data" / "lease-0.lock"
        stage = Stage(running, mail)
        running.start()
        stage.people()
        in_a_row = f"row-{secrets.token_hex(4)}"
        stage.publishes(in_a_row, row())
        begun = [stage.starts("rosa", in_a_row) for _ in range(20)]
        assert stage.run(begun[0], wait_s=WAIT_S)["status"] == "SUCCESS"
        assert running.stop() == 0  # the others are under way
        assert lease.read_bytes() == b""
        running.start()
        assert {stage.run(run, wait_s=WAIT_S)["status"] for run in begun} == {"SUCCESS"}
        assert lease.read_bytes() == b"held"
        running.kill()
        assert lease.read_bytes() == b"held"
        running.start()
        last = stage.run(stage.starts("rosa", in_a_row), wait_s=WAIT_S)
        assert last["status"] == "SUCCESS"
        assert set(statuses(last).values()) == {"SUCCESS"}
        running.stop()
