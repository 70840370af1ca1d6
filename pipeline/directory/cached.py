"""A directory before a directory: what was just asked isn't asked again."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import TypeVar

from pipeline.core.clock import Clock
from pipeline.core.limits import DIRECTORY_KEPT_ANSWERS_MAX, DIRECTORY_KEPT_S
from pipeline.directory.port import Directory, Person

T = TypeVar("T")


class CachedDirectory:
    """See :class:`pipeline.directory.port.Directory`. An error isn't kept, and never answered from what was kept: who
    has left must not stay because the directory is away.
    """

    def __init__(self, directory: Directory, clock: Clock) -> None:
        """``clock``: only its monotonic time is read."""
        self._directory = directory
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()

    async def person(self, name: str) -> Person | None:
        """See :class:`~pipeline.directory.port.Directory`."""
        return await self._asked(("person", name), lambda: self._directory.person(name))

    async def members(self, group: str) -> Sequence[Person] | None:
        """See :class:`~pipeline.directory.port.Directory`."""
        return await self._asked(("members", group), lambda: self._directory.members(group))

    async def has_unknown_members(self, group: str) -> bool:
        """See :class:`~pipeline.directory.port.Directory`."""
        return await self._asked(("unknown", group), lambda: self._directory.has_unknown_members(group))

    async def search(self, text: str, *, kind: str, limit: int) -> Sequence[str]:
        """See :class:`~pipeline.directory.port.Directory`."""
        key = ("search", text, kind, limit)
        return await self._asked(key, lambda: self._directory.search(text, kind=kind, limit=limit))

    async def _asked(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        asked_s = self._clock.monotonic_s()
        kept = self._kept.get(key)
        if kept is not None and asked_s - kept[0] < DIRECTORY_KEPT_S:
            return kept[1]  # type: ignore[return-value]  # the key says which method answered
        answer = await ask()
        self._kept[key] = (asked_s, answer)
        self._kept.move_to_end(key)
        while len(self._kept) > DIRECTORY_KEPT_ANSWERS_MAX:
            self._kept.popitem(last=False)
        return answer
