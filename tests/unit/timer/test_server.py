import asyncio
from dataclasses import dataclass, field
from typing import Any

from pipeline.messages.envelopes import Event, Operation, parse_event
from pipeline.store.port import StoreUnavailableError
from sources.timer.server import OFFSETS_KEPT_S, TimerSource
from tests.numbers import rise, sample


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def now_ms(self) -> int:
        return round(self.s * 1000)

    def monotonic_s(self) -> float:
        return self.s

    async def sleep(self, seconds: float) -> None:
        self.s += seconds


@dataclass
class Finder:
    found: list[str] = field(default_factory=list)
    polls: int = 0
    error: Exception | None = None
    late_ms: int = 0
    swept: list[str] = field(default_factory=list)

    async def poll(self, *, is_behind: bool = False) -> list[tuple[str, Event]]:
        self.polls += 1
        if self.error:
            raise self.error
        return [
            (offset, Event(entity="run", operation=Operation.TICK, guid=offset, run_guid=offset, at=5))
            for offset in [*([] if is_behind else self.found), *self.swept]
        ]


@dataclass
class Request:
    num_records: int = 10
    timeout_in_ms: int = 1000
    offsets: list[Any] = field(default_factory=list)


class Output:
    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def put(self, message: Any) -> None:
        self.messages.append(message)


def read(source: TimerSource, request: Request) -> list[str]:
    output = Output()
    asyncio.run(source.read_handler(request, output))
    assert [parse_event(message.payload).run_guid for message in output.messages] == [
        message.offset.offset.decode() for message in output.messages
    ]
    return [message.offset.offset.decode() for message in output.messages]


def source_of(finder: Any) -> tuple[TimerSource, Clock]:
    clock = Clock()
    return TimerSource(finder, clock), clock


def test_each_tick_is_handed_on_once_in_the_order_found() -> None:
    source, _ = source_of(Finder(["a", "b", "c"]))
    assert read(source, Request(num_records=2)) == ["a", "b"]
    assert asyncio.run(source.pending_handler()).count == 1
    assert read(source, Request(num_records=2)) == ["c"]
    assert read(source, Request()) == []


def test_the_store_is_searched_once_a_second() -> None:
    finder = Finder()
    source, clock = source_of(finder)
    for _ in range(10):
        read(source, Request(timeout_in_ms=250))
    assert finder.polls == 3
    assert clock.s == 102.5 - 0.25


def test_what_is_due_and_how_late_is_told_and_what_failed() -> None:
    finder = Finder(["a", "b"], late_ms=61_500)
    source, clock = source_of(finder)
    with (
        rise("blockline_timer_poll_failures_total") as failures,
        rise("blockline_handling_seconds_count", vertex="timer") as polls,
    ):
        read(source, Request())
        assert (sample("blockline_timer_due"), sample("blockline_timer_lateness_seconds")) == (2, 61.5)
        finder.error = StoreUnavailableError("away")
        clock.s += 1
        read(source, Request())
    assert (failures(), polls()) == (1, 2)


def test_what_wasnt_taken_is_given_again() -> None:
    finder = Finder(["a"])
    source, clock = source_of(finder)
    assert read(source, Request()) == ["a"]
    output = Output()
    asyncio.run(source.read_handler(Request(), output))
    clock.s += 1
    asyncio.run(source.nack_handler(Request(offsets=[_Offset(b"a")])))
    clock.s += 1
    assert read(source, Request()) == ["a"]


def test_what_a_sweep_finds_overtakes_what_waits_to_be_handed_on() -> None:
    finder = Finder(["a", "b", "c", "d"])
    source, clock = source_of(finder)
    assert read(source, Request(num_records=1)) == ["a"]
    clock.s += 1
    finder.found, finder.swept = ["a", "b", "c", "d", "e"], ["x", "y"]
    assert read(source, Request(num_records=3)) == ["x", "y", "b"], "a fifth run only waits behind the others"
    assert read(source, Request()) == ["c", "d"]
    clock.s += 1
    assert read(source, Request()) == ["e"]
    assert finder.polls == 3


def test_an_offset_is_forgotten_when_it_cannot_come_any_more() -> None:
    finder = Finder(["a"])
    source, clock = source_of(finder)
    assert read(source, Request()) == ["a"]
    clock.s += OFFSETS_KEPT_S
    assert read(source, Request()) == []
    clock.s += 1
    assert read(source, Request()) == ["a"], "the finder's don't name a minute"


@dataclass
class _Offset:
    offset: bytes


def test_an_outage_ends_no_source() -> None:
    finder = Finder(["a"], error=StoreUnavailableError("away"))
    source, clock = source_of(finder)
    assert read(source, Request()) == []
    finder.error = RuntimeError("a bug")
    clock.s += 1
    assert read(source, Request()) == []
    finder.error = None
    clock.s += 1
    assert read(source, Request()) == ["a"]
