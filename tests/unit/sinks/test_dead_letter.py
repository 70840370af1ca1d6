import asyncio
import base64

from pipeline.core.ids import DEAD_LETTER_PREFIX
from pipeline.messages.envelopes import Replayed
from pipeline.messages.seal import Seal
from pipeline.messages.tagged import dead_letter
from pipeline.store import types
from pipeline.store.mapping import dead_letter_write, replay_write
from pipeline.store.port import Entity, Query, StoreUnavailableError
from sinks.dead_letter.handler import DeadLetterHandler
from tests.unit.sinks.world import NOW, SinkWorld, TestClock, Wire, result

LETTER = dead_letter(b"{}", reason="not an event", vertex="orchestrator", at=NOW, run_guid="g", source_offset="7")


def letters(world: SinkWorld) -> list[Entity]:
    wanted = (types.DEAD_LETTER_REASON, types.DEAD_LETTER_RUN_GUID, types.DEAD_LETTER_PAYLOAD)
    return asyncio.run(world.store.find(Query(types.DEAD_LETTER, attributes=wanted)))


def handle(world: SinkWorld, *payloads: bytes) -> list[bool]:
    handler = DeadLetterHandler(world.wire, world.clock)
    kept = asyncio.run(handler.handle([(str(number), payload) for number, payload in enumerate(payloads)]))
    return [kept[str(number)] for number in range(len(payloads))]


def test_a_letter_is_kept_once_however_often_it_comes() -> None:
    world = SinkWorld()
    assert handle(world, LETTER.encode(), LETTER.encode()) == [True, True]
    assert handle(world, LETTER.encode()) == [True]
    [entity] = letters(world)
    assert entity.qualified_name.startswith(DEAD_LETTER_PREFIX)
    assert entity.attributes[types.DEAD_LETTER_REASON] == "not an event"
    assert base64.b64decode(entity.attributes[types.DEAD_LETTER_PAYLOAD]) == b"{}"


def test_while_the_store_is_away_it_comes_again() -> None:
    world = SinkWorld()
    world.wire.before_write = [StoreUnavailableError("away")]
    assert handle(world, LETTER.encode()) == [False]
    assert handle(world, LETTER.encode()) == [True]


def test_what_a_fallback_hands_on_keeps_the_sinks_reason() -> None:
    world = SinkWorld()
    refused = result("gone").encode()
    world.handle(refused)
    assert handle(world, refused, b"garbage") == [True, True]
    reasons = {entity.attributes.get(types.DEAD_LETTER_REASON) for entity in letters(world)}
    assert "there is no such run" in reasons
    assert len(reasons) == 2


def test_a_payload_the_store_refuses_leaves_its_digest() -> None:
    world = SinkWorld()
    world.wire.is_refused = lambda write: types.DEAD_LETTER_PAYLOAD in write.attributes
    assert handle(world, LETTER.encode()) == [True]
    [entity] = letters(world)
    assert types.DEAD_LETTER_PAYLOAD not in entity.attributes


def test_a_search_that_fails_keeps_nothing() -> None:
    class Away(Wire):
        async def get_by_name(self, type_name: str, qualified_name: str) -> Entity | None:
            raise StoreUnavailableError("away")

    world = SinkWorld()
    handler = DeadLetterHandler(Away(world.store), TestClock())
    assert asyncio.run(handler.handle([("a", b"garbage")])) == {"a": False}
    assert letters(world) == []


def replay_of(world: SinkWorld) -> Entity:
    found = asyncio.run(world.store.get_by_name(types.DEAD_LETTER, dead_letter_write(LETTER).qualified_name))
    assert found is not None
    return found


def test_a_letter_says_what_became_of_its_replay_and_only_of_the_one_asked_for() -> None:
    world = SinkWorld()
    handle(world, LETTER.encode())
    letter = replay_of(world)
    asyncio.run(world.store.upsert([replay_write(letter, by="ada", at=NOW + 5, seal=Seal(b"k" * 32))]))
    old = Replayed(letter=letter.qualified_name, asked_at=NOW + 1, note="of another", at=NOW + 9)
    told = old.model_copy(update={"asked_at": NOW + 5, "note": "sent", "is_refused": True})
    assert handle(world, old.encode()) == [True]
    assert replay_of(world).attributes[types.DEAD_LETTER_REPLAY_STATUS] == "ASKED"
    world.wire.before_write = [StoreUnavailableError("away")]
    assert handle(world, told.encode()) == [False]
    # A letter that was refused again comes in one batch with what is said of it.
    again = LETTER.model_copy(update={"at": NOW + 8, "reason": "again"})
    assert handle(world, again.encode(), told.encode()) == [True, True]
    given = replay_of(world).attributes
    assert (given[types.DEAD_LETTER_REPLAY_STATUS], given[types.DEAD_LETTER_REPLAY_NOTE]) == ("REFUSED", "sent")
    assert (given[types.DEAD_LETTER_REASON], given[types.DEAD_LETTER_REPLAY_BY]) == ("again", "ada")
    assert handle(world, old.encode()) == [True]
    assert replay_of(world).attributes[types.DEAD_LETTER_REPLAY_NOTE] == "sent"


def test_what_became_of_a_letter_that_is_gone_is_nobodys_business() -> None:
    told = Replayed(letter="blockline/dead-letters/gone", asked_at=1, note="sent", at=2)
    assert handle(SinkWorld(), told.encode()) == [True]
