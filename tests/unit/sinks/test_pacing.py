"""Bulks get smaller where the store is slow, and larger again; a store that takes too long for a full batch gets on."""

from collections.abc import Sequence

import pytest

from pipeline.core.limits import STORE_WRITE_TIMEOUT_S
from pipeline.messages.envelopes import EntityWrite
from pipeline.store.port import StoreUnknownError
from sinks.atlas.pacing import BULK_ENTITIES_MAX, BULK_ENTITIES_MIN, WRITE_AIM_S, Pace
from tests.unit.sinks.world import SinkWorld, result


@pytest.mark.parametrize(
    ("told", "entities_max"),
    [
        ([], BULK_ENTITIES_MAX),
        ([(100, 0.0)], BULK_ENTITIES_MAX),
        ([(300, 3 * WRITE_AIM_S)], 100),
        ([(300, 3 * WRITE_AIM_S), (100, WRITE_AIM_S)], 100),
        ([(300, 3 * WRITE_AIM_S), (100, WRITE_AIM_S / 1.5)], 150),
        ([(300, 3 * WRITE_AIM_S), (100, WRITE_AIM_S / 10)], 200),
        ([(300, 3 * WRITE_AIM_S), (10, WRITE_AIM_S / 2)], 100),
        ([(2, 2 * WRITE_AIM_S)], BULK_ENTITIES_MIN),
        ([(300, None)], 150),
        ([(300, None), (150, None)], 75),
        ([(300, None), *[(1, None)] * 9], BULK_ENTITIES_MIN),
    ],
)
def test_a_slow_answer_makes_the_next_request_smaller(told: list[tuple[int, float | None]], entities_max: int) -> None:
    pace = Pace()
    for entities, took_s in told:
        if took_s is None:
            pace.unanswered(entities)
        else:
            pace.answered(entities, took_s)
    assert pace.entities_max == entities_max


def test_a_store_too_slow_for_a_full_batch_gets_on() -> None:
    runs, entity_s = 100, STORE_WRITE_TIMEOUT_S / 40
    world = SinkWorld()
    guids = [world.start(name=f"blockline/runs/{number}") for number in range(runs)]
    sizes: list[int] = []
    write = world.wire.upsert

    async def slow(entities: Sequence[EntityWrite]) -> dict[str, str]:
        """Nothing that takes longer than the time-out is carried out."""
        sizes.append(len(entities))
        took_s = entity_s * len(entities)
        await world.clock.sleep(min(took_s, STORE_WRITE_TIMEOUT_S))
        if took_s > STORE_WRITE_TIMEOUT_S:
            raise StoreUnknownError("no answer")
        return await write(entities)

    world.wire.upsert = slow  # type: ignore[method-assign]
    for _ in range(4):
        world.handle(*(result(guid) for guid in guids))
    assert {world.status(guid) for guid in guids} == {"SUCCESS"}
    assert sizes[0] >= runs
    assert max(sizes[-3:]) <= STORE_WRITE_TIMEOUT_S / entity_s
