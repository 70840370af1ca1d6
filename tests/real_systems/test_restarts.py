"""The broker, Atlas and the engine go away and come back while people work: nothing is lost and nothing stays.

What the topic never said (Atlas writes, then tells its broker; in between either can go) comes by the timer.
"""

import random  # noqa: TID251  (seeded)
import secrets
from collections.abc import Callable

import pytest

from tests.at_work import Load, check, check_mails, dead_letters, finish, prepare, work
from tests.mail_server import MailServer
from tests.product import Product
from tests.real.systems import ATLAS, KAFKA, RealSystems

SEED = 20261127
PAUSE_S = 0.5
"""A real Atlas makes some 20 single entities a second while it works on the others."""
BETWEEN_S = 4.0
ENDS_WITHIN_S = 180.0


def disturbances(systems: RealSystems, product: Product) -> list[Callable[[], None]]:
    """What happens, one after the other."""

    def broker_dies() -> None:
        systems.stop(KAFKA, is_kill=True)
        systems.start(KAFKA)

    def engine_is_killed() -> None:
        product.kill()
        product.start()

    def atlas_and_broker_stop() -> None:
        systems.stop(ATLAS)
        systems.stop(KAFKA)
        systems.start(KAFKA)
        systems.start(ATLAS)

    return [broker_dies, engine_is_killed, atlas_and_broker_stop]


@pytest.mark.timeout(600)
def test_restarts_under_load_lose_nothing(
    product: Callable[..., Product], systems: RealSystems, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)  # noqa: S311  (a seeded world, not a secret)
    with MailServer() as mail_server:
        running = product(BLOCKLINE_SMTP_URL=mail_server.url)
        running.start()
        load = Load(running, SEED, world=secrets.token_hex(8), pause_s=PAUSE_S)

        def disturb() -> None:
            for happens in disturbances(systems, running):
                load.over.wait(BETWEEN_S * (0.5 + chance.random()))
                happens()
            load.over.wait(BETWEEN_S)

        prepare(running)
        try:
            work(load, disturb)
        finally:
            systems.start_all()
        ended = finish(load, ENDS_WITHIN_S)
        letters = dead_letters(load)
        running.stop()
        mails = mail_server.mails()
    check(load, ended)
    assert letters == []
    effects, twice = check_mails(load, ended, mails)
    with capsys.disabled():
        print(f"\n{len(load.runs)} runs, {len(load.decisions)} decisions, {effects} mails, {twice} of them twice")
    assert len(set(load.runs.values())) > 1
    assert load.decisions
