"""A dead letter that is sent again."""

import base64
from typing import Any

import pytest

from pipeline.messages.canonical import decode
from pipeline.messages.envelopes import DeadLetter, EntityWrite, Look, Replay, parse_replayed
from pipeline.messages.seal import Seal
from pipeline.messages.tagged import DEAD_TAG, Tagged, dead_letter
from pipeline.store import types
from pipeline.store.mapping import dead_letter_write, replay_write
from pipeline.store.port import Entity
from tests.golden.recorded import HERE
from tests.unit.orchestrator.test_handler import GUID, HANDLER, NOW, SEAL, SHARD, created, run_event

ASKED_AT = NOW - 5_000


def letter_of(payload: bytes, vertex: str = "orchestrator") -> DeadLetter:
    return dead_letter(payload, reason="no", vertex=vertex, at=NOW - 9_000, run_guid=GUID, source_offset="0:7")


def asked(payload: bytes, *, seal: Seal = SEAL, **changed: Any) -> Replay:
    """What the timer makes of the entity of a letter that somebody asked for."""
    written = dead_letter_write(letter_of(payload))
    entity = Entity(types.DEAD_LETTER, "guid", written.qualified_name, written.attributes)
    request: EntityWrite = replay_write(entity, by="ada", at=ASKED_AT, seal=seal)
    told = Replay(
        letter=written.qualified_name,
        vertex="orchestrator",
        run_guid=GUID,
        payload_base64=base64.b64encode(payload).decode(),
        source_offset="0:7",
        request=request.attributes[types.DEAD_LETTER_REPLAY],
        asked_at=ASKED_AT,
        at=NOW,
    )
    return told.model_copy(update=changed)


def handled(replay: Replay) -> list[Tagged]:
    sent = HANDLER.handle(replay.encode(), NOW)
    assert sent == HANDLER.handle(replay.encode(), NOW), "a repeat says the same"
    return sent


def test_an_event_does_what_it_would_have_done_and_the_letter_is_told() -> None:
    event = created().encode()
    *sent, told = handled(asked(event))
    assert sent == HANDLER.handle(event, NOW)
    assert [tagged.tag for tagged in sent] == ["type-PASS"]
    replayed = parse_replayed(told.payload)
    assert (told.tag, replayed.asked_at, replayed.is_refused) == (DEAD_TAG, ASKED_AT, False)
    assert "type-PASS" in replayed.note


def test_what_a_shard_refused_goes_to_the_shard_of_its_run() -> None:
    look = Look(run_guid=GUID, reason="event").encode()
    sent, _ = handled(asked(look))
    assert sent == Tagged(look, SHARD)


def test_a_notification_is_read_again() -> None:
    recorded = sorted((HERE / "notifications").rglob("pyatlan-entity_update*.json"))
    assert recorded
    *_, told = handled(asked(recorded[0].read_bytes()))
    assert not parse_replayed(told.payload).is_refused


def test_a_dispatch_past_its_time_becomes_a_look_at_its_run() -> None:
    [dispatch] = HANDLER.handle(created().encode(), NOW)
    sent, _ = handled(asked(dispatch.payload))
    assert sent == dispatch
    [old] = HANDLER.handle(run_event(document=None).encode(), NOW)
    late = HANDLER.handle(asked(dispatch.payload).encode(), NOW + 10**9)
    assert (late[0].tag, decode(late[0].payload)) == (SHARD, decode(old.payload))


@pytest.mark.parametrize("payload", [b"garbage", b"", b"[]", b'{"message": 5}'])
def test_garbage_is_refused_again_under_its_own_name(payload: bytes) -> None:
    again, told = handled(asked(payload))
    replayed = parse_replayed(told.payload)
    assert replayed.is_refused
    kept = DeadLetter.model_validate_json(again.payload)
    assert dead_letter_write(kept).qualified_name == dead_letter_write(letter_of(payload)).qualified_name
    assert (kept.at, kept.vertex, kept.reason) == (NOW, "orchestrator", replayed.note)


@pytest.mark.parametrize(
    "changed",
    [
        {"payload_base64": base64.b64encode(b"other bytes").decode()},
        {"payload_base64": "no base64"},
        {"request": ""},
        {"request": "{}"},
        {"asked_at": NOW},
        {"letter": "blockline/dead-letters/other"},
    ],
)
def test_bytes_that_nobody_asked_for_by_the_api_go_nowhere(changed: dict[str, Any]) -> None:
    [told] = handled(asked(Look(run_guid=GUID, reason="event").encode(), **changed))
    assert parse_replayed(told.payload).is_refused


def test_a_request_signed_by_another_engine_goes_nowhere() -> None:
    [told] = handled(asked(Look(run_guid=GUID, reason="event").encode(), seal=Seal(b"k" * 32)))
    assert parse_replayed(told.payload).is_refused
