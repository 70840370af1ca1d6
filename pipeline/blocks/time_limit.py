"""The time limit of a vertex that runs on asyncio."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from pipeline.blocks.shell import OverTimeError

T = TypeVar("T")


class AsyncioTimeLimit:
    """Cancels what takes too long; a block that never awaits can't be stopped by it."""

    async def within(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """See :class:`pipeline.blocks.shell.TimeLimit`."""
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                return await work
        except TimeoutError:
            if limit.expired():
                raise OverTimeError from None
            raise  # the block's own, of a socket or the like
