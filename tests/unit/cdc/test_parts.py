"""Split messages put together: in any order, interleaved, twice, or never whole."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cdc.buffer import Received
from pipeline.cdc.codec import read
from pipeline.cdc.offsets import Position
from pipeline.cdc.parts import Assembler
from pipeline.core.limits import PARTS_BYTES_MAX, PARTS_OF_A_MESSAGE_MAX, PARTS_WAIT_S
from pipeline.local.atlas import notifications
from pipeline.messages.canonical import MalformedError, decode, encode
from pipeline.store import types
from tests.texts import random_text

RECORDED = Path(__file__).parents[2] / "golden" / "notifications"


class HandClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self._s = 0.0

    def pass_s(self, seconds: float) -> None:
        self._s += seconds

    def now_ms(self) -> int:
        return int(self._s * 1000)

    def monotonic_s(self) -> float:
        return self._s

    async def sleep(self, seconds: float) -> None:
        self.pass_s(seconds)


def at(offset: int, payload: bytes, partition: int = 0) -> Received:
    return Received(Position("T", partition, offset), payload, 1_000 + offset)


def parts_of(guid: str, chars: int = 2_000_000) -> list[bytes]:
    return notifications.updated(types.RUN, guid, {"qualifiedName": guid, "note": random_text(chars)}, 7)


NOTE = random_text(2_000_000)
FIRST, SECOND = parts_of("g-1"), parts_of("g-2", 1_500_000)


@settings(max_examples=60, deadline=None)
@given(order=st.permutations([(message, index) for message in (0, 1) for index in range(3)]), data=st.data())
def test_parts_in_any_order_and_some_of_them_twice(order: list[tuple[int, int]], data: st.DataObject) -> None:
    messages = (FIRST, SECOND)
    sent = [part for part in order if part[1] < len(messages[part[0]])]
    twice = data.draw(st.integers(0, len(sent) - 1))
    sent.insert(twice, sent[twice])
    clock = HandClock()
    assembler = Assembler(clock)
    whole = [assembler.put_together(at(offset, messages[m][i])) for offset, (m, i) in enumerate(sent)]
    found = [message for message in whole if message is not None]
    told = {note.guid: note for message in found if (note := read(message.payload)) is not None}
    assert set(told) == {"g-1", "g-2"}
    assert told["g-1"].attributes["note"] == NOTE
    done = [place.offset for message in found for place in assembler.members(message.position)]
    # A second copy of the part that was missing last waits for others that don't come.
    clock.pass_s(PARTS_WAIT_S)
    done += [place.offset for part in assembler.given_up([0]) for place in assembler.members(part.position)]
    assert sorted(done) == list(range(len(sent)))


def test_a_single_message_passes_unchanged() -> None:
    assembler = Assembler(HandClock())
    for payload in (b"garbage", b"", (RECORDED / "001-create.json").read_bytes()):
        message = at(1, payload)
        assert assembler.put_together(message) is message
        assert assembler.members(message.position) == (message.position,)


def test_parts_whose_others_never_come_are_given_up_once() -> None:
    clock = HandClock()
    assembler = Assembler(clock)
    first, other = at(0, FIRST[0]), at(5, SECOND[0], partition=3)
    assert assembler.put_together(first) is None
    assert assembler.put_together(other) is None
    clock.pass_s(PARTS_WAIT_S - 1)
    assert assembler.given_up([0]) == []
    clock.pass_s(1)
    assert assembler.given_up([0]) == [first]  # partition 3 is another reader's now
    assert assembler.given_up([0, 3]) == []
    with pytest.raises(MalformedError, match="other parts didn't come"):
        read(first.payload)


def test_a_part_that_came_twice_is_done_with_both_its_places() -> None:
    clock = HandClock()
    assembler = Assembler(clock)
    assembler.put_together(at(0, FIRST[0]))
    assembler.put_together(at(1, FIRST[0]))
    clock.pass_s(PARTS_WAIT_S)
    (given,) = assembler.given_up([0])
    assert {place.offset for place in assembler.members(given.position)} == {0, 1}


def test_there_is_room_for_so_much_and_the_oldest_gives_way() -> None:
    assembler = Assembler(HandClock())
    count = PARTS_BYTES_MAX // len(FIRST[0]) + 1
    for number in range(count):
        part = {**decode(FIRST[0]), "msgId": f"m-{number}"}
        assert assembler.put_together(at(number, encode(part))) is None
    given = assembler.given_up([0])
    assert [part.position.offset for part in given] == list(range(len(given)))
    assert 0 < len(given) < count
    assert assembler.given_up([0]) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"msgId": 7},
        {"msgSplitIdx": 3},
        {"msgSplitIdx": -1},
        {"msgSplitIdx": "0"},
        {"msgSplitCount": PARTS_OF_A_MESSAGE_MAX + 1},
        {"message": {}},
    ],
)
def test_what_only_claims_to_be_a_part_is_refused(changes: dict[str, object]) -> None:
    message = at(0, encode({**decode(FIRST[0]), **changes}))
    assert Assembler(HandClock()).put_together(message) is message
    with pytest.raises(MalformedError):
        read(message.payload)


def test_one_that_counts_its_parts_differently_is_refused_alone() -> None:
    assembler = Assembler(HandClock())
    assert assembler.put_together(at(0, FIRST[0])) is None
    other = at(1, FIRST[1].replace(b'"msgSplitCount":3', b'"msgSplitCount":4'))
    assert assembler.put_together(other) is other
    assert assembler.put_together(at(2, FIRST[1])) is None
    assert assembler.put_together(at(3, FIRST[2])) is not None


def test_parts_of_a_text_that_was_not_compressed() -> None:
    text = (RECORDED / "pyatlan-entity_create-1.json").read_text()
    halves = [text[:100], text[100:]]
    assembler = Assembler(HandClock())
    whole = None
    for index, half in enumerate(halves):
        head = {"msgId": "m", "msgCompressionKind": "NONE", "msgSplitIdx": index, "msgSplitCount": 2}
        whole = assembler.put_together(at(index, encode({**head, "message": half})))
    assert whole is not None
    told = read(whole.payload)
    assert told is not None
    assert told.qualified_name == "default/wf/run1"
