"""What goes together, what doesn't, and who is told what; that it is a store, the contract suite says."""

import asyncio
from collections.abc import Sequence

import pytest

from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.store.gathering import GATHERED_MAX, GatheringStore
from pipeline.store.memory import MemoryEntityStore
from pipeline.store.port import Entity, StoreRefusedError, StoreUnavailableError, StoreUnknownError


class GatedStore(MemoryEntityStore):
    """Requests wait at the gate; those that hold something bad are refused, or fail as was said."""

    def __init__(self) -> None:
        super().__init__(lambda: 1)
        self.gate = asyncio.Event()
        self.writes: list[list[str]] = []
        self.reads: list[list[str]] = []
        self.fails: Exception | None = None

    async def upsert(self, entities: Sequence[EntityWrite]) -> dict[str, str]:
        self.writes.append([write.qualified_name for write in entities])
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        if any(write.qualified_name.startswith("bad") for write in entities):
            raise StoreRefusedError("one of them is bad")
        return await super().upsert(entities)

    async def get(self, guids: Sequence[str], *, has_terms: bool = False) -> dict[str, Entity]:
        self.reads.append(list(guids))
        await self.gate.wait()
        return await super().get(guids, has_terms=has_terms)


def a_run(name: str, wake_at: int = 1) -> EntityWrite:
    attributes = {"name": name, types.RUN_WAKE_AT: wake_at}
    return EntityWrite(type_name=types.RUN, qualified_name=name, attributes=attributes)


async def all_at_the_gate(inner: GatedStore, *names: str) -> list[dict[str, str] | BaseException]:
    """The ends of one write a name; the first is under way when the others come."""
    store = GatheringStore(inner)
    asked = [asyncio.create_task(store.upsert([a_run(name, at)])) for at, name in enumerate(names, 1)]
    while not inner.writes:  # noqa: ASYNC110  (a few turns of the loop)
        await asyncio.sleep(0)
    inner.gate.set()
    return await asyncio.gather(*asked, return_exceptions=True)


def test_what_comes_while_one_is_under_way_goes_together() -> None:
    async def scenario() -> None:
        inner = GatedStore()
        names = [f"n{number}" for number in range(GATHERED_MAX + 3)]
        ends = await all_at_the_gate(inner, *names)
        assert [list(end) for end in ends if isinstance(end, dict)] == [[name] for name in names]
        assert [len(sent) for sent in inner.writes] in ([1, GATHERED_MAX, 2], [GATHERED_MAX, 3])
        assert len({guid for end in ends if isinstance(end, dict) for guid in end.values()}) == len(names)

    asyncio.run(scenario())


def test_reads_share_what_they_ask_for() -> None:
    async def scenario() -> None:
        inner = GatedStore()
        inner.gate.set()
        guids = list((await inner.upsert([a_run("a"), a_run("b")])).values())
        inner.gate.clear()
        store = GatheringStore(inner)
        asked = [asyncio.create_task(store.get(wanted)) for wanted in ([guids[0]], guids, [guids[0]], ["nobody"])]
        while not inner.reads:  # noqa: ASYNC110  (a few turns of the loop)
            await asyncio.sleep(0)
        inner.gate.set()
        assert [sorted(found) for found in await asyncio.gather(*asked)] == [
            [guids[0]],
            sorted(guids),
            [guids[0]],
            [],
        ]
        assert len(inner.reads) <= 2

    asyncio.run(scenario())


def test_one_that_is_refused_takes_nothing_off_the_others() -> None:
    async def scenario() -> None:
        inner = GatedStore()
        ends = await all_at_the_gate(inner, "a", "b", "bad", "c")
        assert [isinstance(end, StoreRefusedError) for end in ends] == [False, False, True, False]
        assert await inner.get_by_name(types.RUN, "c") is not None

    asyncio.run(scenario())


def test_two_writes_to_one_name_stay_two_in_their_order() -> None:
    async def scenario() -> None:
        inner = GatedStore()
        await all_at_the_gate(inner, "a", "b", "b", "c")
        assert not any(len(sent) != len(set(sent)) for sent in inner.writes)
        entity = await inner.get_by_name(types.RUN, "b")
        assert entity is not None
        assert entity.attributes[types.RUN_WAKE_AT] == 3

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), StoreUnknownError("lost"), ZeroDivisionError()])
def test_all_are_told_how_it_failed_and_the_next_one_is_tried(error: Exception) -> None:
    async def scenario() -> None:
        inner = GatedStore()
        inner.fails = error
        ends = await all_at_the_gate(inner, "a", "b")
        assert [type(end) for end in ends] == [type(error)] * 2
        inner.fails = None
        assert await GatheringStore(inner).upsert([a_run("a")])

    asyncio.run(scenario())


def test_who_gives_up_takes_nobody_along() -> None:
    async def scenario() -> None:
        inner = GatedStore()
        store = GatheringStore(inner)
        asked = [asyncio.create_task(store.upsert([a_run(name)])) for name in "abc"]
        while not inner.writes:  # noqa: ASYNC110  (a few turns of the loop)
            await asyncio.sleep(0)
        asked[0].cancel()
        asked[1].cancel()
        inner.gate.set()
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(end) for end in ends] == [asyncio.CancelledError, asyncio.CancelledError, dict]

    asyncio.run(scenario())
