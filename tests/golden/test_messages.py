from pathlib import Path

import pytest

from pipeline.messages.canonical import decode
from pipeline.messages.envelopes import (
    Message,
    parse_dead_letter,
    parse_dispatch,
    parse_event,
    parse_replay,
    parse_replayed,
    parse_shard_input,
)
from pipeline.messages.seal import Seal, Sealed, TamperedError
from tests.golden.messages import GUID, KEY, MESSAGES, SEALED
from tests.golden.recorded import HOW_TO, MESSAGES_V1, SEALED_V1

PARSERS = {
    "event": parse_event,
    "dispatch": parse_dispatch,
    "dead_letter": parse_dead_letter,
    "replay": parse_replay,
    "replayed": parse_replayed,
}
FILES = sorted(MESSAGES_V1.glob("*.json"))
IDENTITIES = {
    "request": "blockline/runs/1",
    "document": GUID,
    "command": f"{GUID}/c1",
    "replay": "blockline/dead-letters/1",
}


def read(data: bytes) -> Message:
    parse = PARSERS.get(decode(data)["kind"], parse_shard_input)
    return parse(data)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_message_has_the_bytes_it_had(path: Path) -> None:
    assert MESSAGES[path.stem].encode() == path.read_bytes(), HOW_TO


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_message_is_read_as_it_was_meant(path: Path) -> None:
    assert read(path.read_bytes()) == MESSAGES[path.stem], HOW_TO


@pytest.mark.parametrize("kind", list(Sealed))
def test_a_sealed_text_has_the_bytes_it_had_and_opens(kind: Sealed) -> None:
    text = (SEALED_V1 / f"{kind}.json").read_text()
    assert SEALED[kind] == text, HOW_TO
    assert Seal(KEY).open(kind, IDENTITIES[kind], text)["text"] == "Änderung"
    with pytest.raises(TamperedError):
        Seal(KEY).open(kind, IDENTITIES[kind], text.replace("nderung", "nderunG"))


def test_everything_is_recorded() -> None:
    assert {path.stem for path in FILES} == set(MESSAGES), HOW_TO
    assert {message.kind for message in MESSAGES.values()} == {  # type: ignore[attr-defined]
        "event",
        "dispatch",
        "result",
        "look",
        "tick",
        "command",
        "dead_letter",
        "replay",
        "replayed",
    }
