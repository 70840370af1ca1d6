from typing import Any

import pytest

from pipeline.messages.envelopes import Result
from tests.unit.runners.shells import World

PAYLOAD = {"title": "Approved", "description": "It goes ahead."}


def notify(world: World, recipient: Any, **changes: Any) -> Result:
    return world.attempt({"recipient": recipient, "payload": PAYLOAD}, **changes)


def name_of(result: Result) -> str | None:
    return result.error.name if result.error else None


def test_everybody_gets_one_mail_with_an_id_of_their_own() -> None:
    world = World("NOTIFICATION")
    result = notify(world, ["bo@EXAMPLE.com", "stewards", "bo"])
    assert result.output["recipients"] == ["bo@example.com", "ana@example.com", "r@example.com"]
    assert world.told() == result.output["recipients"]
    assert len({mail.message_id for mail in world.mailer.mails}) == 3


def test_another_attempt_has_the_same_ids_and_another_step_others() -> None:
    ids = []
    for changes in ({"attempt": 1}, {"attempt": 2}, {"round": 1}):
        world = World("NOTIFICATION")
        notify(world, "ana", **changes)
        ids.append(world.mailer.mails[0].message_id)
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("recipient", "part"),
    [
        ("nobody", "no user nobody"),
        ("cy", "the user cy has no mail address"),
        ("silent", "nobody in the group silent"),
        ("empty", "nobody in the group empty"),
        ("a@b@c", "isn't a mail address"),
        ("a@b\r\nBcc: x@y", "isn't a mail address"),
        ([], "recipient must not be empty"),
        (None, "recipient must be text, or must be a list"),
        (["ana", 5], "recipient.1 must be text"),
        ([f"u{n}@example.com" for n in range(101)], "recipient has more than 100 entries"),
    ],
)
def test_a_recipient_that_cant_be_told_is_named_and_nothing_is_sent(recipient: Any, part: str) -> None:
    world = World("NOTIFICATION")
    result = notify(world, recipient)
    assert name_of(result) == "Validation.Input"
    assert result.error is not None
    assert part in result.error.message
    assert world.told() == []


def test_a_group_of_too_many_is_refused() -> None:
    names = [f"u{n}" for n in range(101)]
    people = {"users": {name: f"{name}@example.com" for name in names}, "groups": {"all": names}}
    assert name_of(notify(World("NOTIFICATION", people), "all")) == "Validation.Input"


def test_whom_the_server_refuses_is_named_and_the_others_are_told() -> None:
    world = World("NOTIFICATION")
    world.mailer.refused = frozenset({"ana@example.com"})
    result = notify(world, ["ana", "bo"])
    assert name_of(result) == "Mail.Refused"
    assert result.error is not None
    assert result.error.message.startswith("ana@example.com: the mail server refused it: 550")
    assert world.told() == ["bo@example.com"]


def test_an_outage_is_retried_and_tells_nobody_twice() -> None:
    world = World("NOTIFICATION")
    notify(world, "ana")
    world.mailer.is_away = True
    assert name_of(notify(world, ["ana", "bo"])) == "Mail.Connection"
    world.mailer.is_away = False
    assert notify(world, ["ana", "bo"], attempt=2).output["via"] == "SMTP"
    assert world.told() == ["ana@example.com", "bo@example.com"]


def test_a_directory_that_doesnt_answer_is_retried_by_default() -> None:
    world = World("NOTIFICATION", {"directory": "away"})
    assert name_of(notify(world, "ana")) == "Task.Failed"
    assert any("Task.Failed" in retrier.errorEquals for retrier in world.shell._manifest.retry)
    assert notify(world, "ana@example.com").error is None, "an address needs no directory"
