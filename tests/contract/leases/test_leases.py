"""What every lease of slots keeps, whoever keeps it."""

from collections.abc import Callable

import pytest

from pipeline.core.ids import slots_of_shard
from pipeline.core.limits import LEASE_RENEW_S, LEASE_S, STORE_WRITE_TIMEOUT_S
from pipeline.store.leases import SlotLease
from tests.contract.leases.conftest import Story, World

Tell = Callable[[Story], None]


async def gets_it_within(world: World, lease: SlotLease, seconds: float) -> bool:
    """Asked every second, as a sink that has something to write asks."""
    for _ in range(round(seconds)):
        if await lease.acquire():
            return True
        world.pass_time(1.0)
    return await lease.acquire()


def test_one_holder_at_a_time(tell: Tell) -> None:
    async def story(world: World) -> None:
        first = await world.held()
        second = world.lease()
        assert await first.acquire()
        assert not await second.acquire()
        assert 0 < first.remaining_s() <= LEASE_S
        assert second.remaining_s() == 0

    tell(story)


def test_who_asks_again_in_time_keeps_it(tell: Tell) -> None:
    async def story(world: World) -> None:
        first = await world.held()
        second = world.lease()
        for _ in range(20):
            world.pass_time(LEASE_RENEW_S)
            assert await first.acquire()
            assert not await second.acquire()
            assert first.remaining_s() >= LEASE_S - LEASE_RENEW_S

    tell(story)


def test_what_is_given_back_is_free_at_once(tell: Tell) -> None:
    async def story(world: World) -> None:
        first = await world.held()
        second = world.lease()
        assert not await second.acquire()
        await first.release()
        await first.release()
        assert first.remaining_s() == 0
        assert await second.acquire()
        assert not await first.acquire()

    tell(story)


@pytest.mark.parametrize(("before", "after"), [((0, 1), (0, 1)), ((0, 2), (1, 3)), ((2, 4), (0, 1))])
def test_what_a_holder_that_died_has_under_way_is_waited_for(
    tell: Tell, before: tuple[int, int], after: tuple[int, int]
) -> None:
    async def story(world: World) -> None:
        old = await world.held(*before)
        world.dies(old)
        new = world.lease(*after)
        for _ in range(round(STORE_WRITE_TIMEOUT_S)):
            assert not await new.acquire()
            assert new.remaining_s() == 0
            world.pass_time(0.99)
        assert await gets_it_within(world, new, world.takes_over_after_s + 1)

    tell(story)


def test_who_waits_and_gives_up_leaves_the_wait_to_the_next(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.dies(await world.held())
        first, second = world.lease(), world.lease()
        assert not await first.acquire()
        world.pass_time(STORE_WRITE_TIMEOUT_S / 2)
        assert not await first.acquire()
        await first.release()
        world.dies(first)
        assert not await second.acquire()
        assert await gets_it_within(world, second, world.takes_over_after_s + 1)

    tell(story)


def test_it_is_never_held_without_having_been_acquired(tell: Tell) -> None:
    async def story(world: World) -> None:
        lease = world.lease()
        assert lease.remaining_s() == 0
        await lease.release()
        assert lease.remaining_s() == 0

    tell(story)


def test_shards_of_one_number_do_not_exclude_each_other(tell: Tell) -> None:
    async def story(world: World) -> None:
        leases = [world.lease(shard, 3) for shard in range(3)]
        for lease in leases:
            await lease.acquire()
        world.pass_time(world.takes_over_after_s)
        assert [await lease.acquire() for lease in leases] == [True] * 3

    tell(story)


@pytest.mark.parametrize(("before", "after"), [((0, 2), (1, 3)), ((1, 3), (0, 2)), ((0, 1), (3, 4)), ((2, 4), (0, 1))])
def test_overlapping_ranges_are_never_held_at_once(tell: Tell, before: tuple[int, int], after: tuple[int, int]) -> None:
    assert set(slots_of_shard(*before)) & set(slots_of_shard(*after))

    async def story(world: World) -> None:
        old = await world.held(*before)
        new = world.lease(*after)
        for _ in range(20):
            world.pass_time(LEASE_RENEW_S)
            assert await old.acquire()
            assert not await new.acquire()
        await old.release()
        assert await gets_it_within(world, new, world.takes_over_after_s)
        assert not await old.acquire()

    tell(story)


def test_all_shards_of_another_number_get_theirs_when_the_old_ones_have_gone(tell: Tell) -> None:
    async def story(world: World) -> None:
        old = [await world.held(shard, 2) for shard in range(2)]
        new = [world.lease(shard, 5) for shard in range(5)]
        assert [await lease.acquire() for lease in new] == [False] * 5
        for lease in old:
            await lease.release()
        for lease in new:
            assert await gets_it_within(world, lease, world.takes_over_after_s)
        assert [await lease.acquire() for lease in old] == [False] * 2

    tell(story)
