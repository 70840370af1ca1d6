"""How a suite's test is run: as a story about a world of the kind that its parameter names."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

W = TypeVar("W")


def teller(world: Callable[[], AbstractAsyncContextManager[W]]) -> Callable[[Callable[[W], Awaitable[None]]], None]:
    """Runs a story in a world of its own, in an event loop of its own."""

    def tell(story: Callable[[W], Awaitable[None]]) -> None:
        async def main() -> None:
            async with world() as made:
                await story(made)

        asyncio.run(main())

    return tell
