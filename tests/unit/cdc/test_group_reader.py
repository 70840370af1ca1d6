"""A member of a group that meets what nobody thought of; there is no broker."""

import asyncio
from typing import Any

from pipeline.cdc.buffer import Received
from pipeline.cdc.consumer import GroupReader
from pipeline.cdc.offsets import Position

DEADLINE_S = 10


class FaultyReader(GroupReader):
    """Fails once, after it has read something."""

    turns = 0

    def _note(self, consumer: Any, taken: list[Received]) -> None:
        self.turns += 1
        if self.turns == 2:
            self._running().put([Received(Position("T", 0, 0), b"", 0)])
            raise RuntimeError("nobody thought of this")
        super()._note(consumer, taken)


def test_it_goes_on_and_gives_nothing_of_the_session_that_failed() -> None:
    async def scenario() -> None:
        reader = FaultyReader("127.0.0.1:1", "T", "group")
        assert not reader.is_alive
        await reader.start()
        try:
            async with asyncio.timeout(DEADLINE_S):
                while reader.turns < 4:  # noqa: ASYNC110  (polls what has no event)
                    await asyncio.sleep(0.01)
            assert reader.is_alive
            assert await reader.read(10, 0) == []
        finally:
            await reader.close()
        assert not reader.is_alive

    asyncio.run(scenario())
