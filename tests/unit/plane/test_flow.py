"""Routes, lineage and full buffers, without a server."""

import asyncio
from datetime import datetime
from typing import Literal

import pytest

from pipeline.local.plane.flow import DROP, Counters, Datum, Edge, Lineage, Outlet, is_taken
from pipeline.local.plane.manifest import BackoffPlan, EdgePlan
from pipeline.local.plane.sink_vertex import backoff_s

AT = datetime(2026, 1, 1)  # noqa: DTZ001  (as pynumaflow hands it on)


def plan(
    operator: Literal["or", "and", "not"] | None, *values: str, to: str = "b", is_discarding: bool = False
) -> EdgePlan:
    return EdgePlan("a", to, operator, frozenset(values), is_discarding)


def datum() -> tuple[Datum, list[bool]]:
    done: list[bool] = []
    return Datum(b"x", (), AT, {}, {}, Lineage(lambda: done.append(True))), done


@pytest.mark.parametrize(
    ("operator", "values", "tags", "expected"),
    [
        (None, (), (), True),
        (None, (), ("x",), True),
        ("or", ("a", "b"), ("a",), True),
        ("or", ("a", "b"), ("b", "c"), True),
        ("or", ("a", "b"), ("c",), False),
        ("or", ("a", "b"), (), False),
        ("and", ("a", "b"), ("a", "b", "c"), True),
        ("and", ("a", "b"), ("a",), False),
        ("and", ("a",), (), False),
        ("not", ("a", "b"), ("c",), True),
        ("not", ("a", "b"), (), True),
        ("not", ("a", "b"), ("a", "c"), False),
    ],
)
def test_routing(
    operator: Literal["or", "and", "not"] | None, values: tuple[str, ...], tags: tuple[str, ...], *, expected: bool
) -> None:
    assert is_taken(plan(operator, *values), tags) is expected


def test_a_lineage_is_done_once_all_of_it_is() -> None:
    item, done = datum()
    item.lineage.hold()
    item.lineage.hold()
    item.lineage.release()
    item.lineage.release()
    assert not done
    item.lineage.release()
    assert done == [True]


def test_a_copy_goes_on_every_edge_that_takes_the_tags() -> None:
    first: asyncio.Queue[Datum] = asyncio.Queue()
    second: asyncio.Queue[Datum] = asyncio.Queue()
    counters = Counters()
    outlet = Outlet([Edge(plan("or", "x", "y"), first, 9), Edge(plan("or", "y"), second, 9)], counters)
    for tags in (("x",), ("y",), ("z",), (DROP,), (DROP, "x")):
        item, _ = datum()
        outlet.emit(item, tags)
    assert (first.qsize(), second.qsize()) == (2, 1)
    assert (counters.unrouted, counters.dropped, counters.discarded) == (1, 2, 0)


def test_a_full_edge_discards_or_waits_as_it_says() -> None:
    async def story() -> None:
        lossy: asyncio.Queue[Datum] = asyncio.Queue(1)
        patient: asyncio.Queue[Datum] = asyncio.Queue(1)
        counters = Counters()
        outlet = Outlet(
            [Edge(plan("or", "l", is_discarding=True), lossy, 9), Edge(plan("or", "p"), patient, 9)], counters
        )
        task = asyncio.create_task(outlet.run())
        items = [datum() for _ in range(4)]
        for item, _ in items[:2]:
            outlet.emit(item, ("l",))
            item.lineage.release()
        assert counters.discarded == 1
        assert items[1][1] == [True], "what is discarded holds nothing back"
        for item, _ in items[2:]:
            outlet.emit(item, ("p",))
        assert outlet.is_blocked
        assert await patient.get() is items[2][0]
        await outlet.cleared()
        assert await patient.get() is items[3][0]
        task.cancel()

    asyncio.run(story())


def test_backoff_grows_to_its_cap_and_jitter_only_shortens_it() -> None:
    waits = [backoff_s(BackoffPlan(0.5, 2, 30, 0.3), "atlas-0", tries) for tries in range(2000)]
    whole = [min(30.0, 0.5 * 2.0 ** min(tries, 64)) for tries in range(2000)]
    assert all(0.7 * full <= wait <= full for wait, full in zip(waits, whole, strict=True))
    assert len(set(waits[10:])) > 100
    assert backoff_s(BackoffPlan(0.5, 2, 30, 0), "x", 3) == 4.0
