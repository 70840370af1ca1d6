"""A store before which small requests wait for company: what comes while one is under way goes together in the next.

A bulk of a hundred entities costs Apache Atlas hardly more than a single one, and single ones beside each other lose
against each other's locks. Whoever comes alone waits for nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from pipeline.messages.changes import Tag
from pipeline.messages.envelopes import EntityWrite
from pipeline.store.kinds import Kind
from pipeline.store.port import Entity, EntityStore, Query, StoreRefusedError

GATHERED_MAX: Final = 50
"""Entities in one request that was gathered: what a read has room for in one address, and a write of a moment."""

T = TypeVar("T")


class GatheringStore:
    """See :class:`pipeline.store.port.EntityStore`. Belongs to one event loop.

    What is gathered is one transaction: where the store refuses it, each caller's part is tried alone, and where the
    answer was lost it is unknown to all of them.
    """

    def __init__(self, store: EntityStore) -> None:
        """``store`` does the work."""
        self._store = store
        self._writes: _Gathering[EntityWrite, str] = _Gathering(
            store.upsert, lambda write: write.qualified_name, is_write=True
        )
        self._reads: _Gathering[str, Entity] = _Gathering(store.get, str, is_write=False)

    async def get(self, guids: Sequence[str], *, has_terms: bool = False) -> dict[str, Entity]:
        """See the port."""
        if has_terms or len(guids) >= GATHERED_MAX:
            return await self._store.get(guids, has_terms=has_terms)
        return await self._reads.ask(guids)

    async def get_by_name(self, type_name: str, qualified_name: str) -> Entity | None:
        """See the port."""
        return await self._store.get_by_name(type_name, qualified_name)

    async def upsert(self, entities: Sequence[EntityWrite]) -> dict[str, str]:
        """See the port."""
        if len(entities) >= GATHERED_MAX:
            return await self._store.upsert(entities)
        return await self._writes.ask(entities)

    async def find(self, query: Query) -> list[Entity]:
        """See the port."""
        return await self._store.find(query)

    async def delete(self, guids: Sequence[str]) -> None:
        """See the port."""
        await self._store.delete(guids)

    async def purge(self, guids: Sequence[str]) -> None:
        """See the port."""
        await self._store.purge(guids)

    async def classify(self, guid: str, tags: Sequence[Tag], untag: Sequence[str]) -> None:
        """See the port."""
        await self._store.classify(guid, tags, untag)

    async def kind(self, type_name: str, *, is_fresh: bool = False) -> Kind | None:
        """See the port."""
        return await self._store.kind(type_name, is_fresh=is_fresh)


@dataclass(slots=True)
class _Part(Generic[T]):
    """What one caller asks for."""

    items: Sequence[T]
    names: frozenset[Hashable]
    answer: "asyncio.Future[dict[str, Any]]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


V = TypeVar("V")


class _Gathering(Generic[T, V]):
    """One request at a time; what comes meanwhile is the next one's."""

    def __init__(
        self, send: Callable[[Sequence[T]], Awaitable[dict[str, V]]], name_of: Callable[[T], str], *, is_write: bool
    ) -> None:
        """``send`` answers by the names of what it was given; of two writes to one name, one waits."""
        self._is_write = is_write
        self._send = send
        self._name_of = name_of
        self._waiting: list[_Part[T]] = []
        self._sending: asyncio.Task[None] | None = None

    async def ask(self, items: Sequence[T]) -> dict[str, V]:
        """The answer to these alone."""
        part = _Part(items, frozenset(map(self._name_of, items)))
        self._waiting.append(part)
        if self._sending is None:
            self._sending = asyncio.create_task(self._work())
        return await part.answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._together(self._next())
        finally:
            self._sending = None
            for part in self._waiting:
                part.answer.cancel()  # the loop ends, and with it all who wait

    def _next(self) -> list[_Part[T]]:
        """As many as fit, in the order in which they came."""
        taken: list[_Part[T]] = []
        left: list[_Part[T]] = []
        names: set[Hashable] = set()
        size = 0
        for part in self._waiting:
            is_taken = self._is_write and not names.isdisjoint(part.names)
            if taken and (is_taken or size + len(part.items) > GATHERED_MAX):
                left.append(part)
            else:
                taken.append(part)
                size += len(part.items)
            names |= part.names
        self._waiting = left
        return taken

    async def _together(self, parts: Sequence[_Part[T]]) -> None:
        try:
            found = await self._send([item for part in parts for item in part.items])
        except StoreRefusedError as error:
            if len(parts) == 1:
                _fail(parts, error)
                return
            for part in parts:
                await self._together([part])
        except asyncio.CancelledError:
            for part in parts:
                part.answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001  (whoever waits is told, whatever it is)
            _fail(parts, error)
        else:
            for part in parts:
                if not part.answer.done():
                    part.answer.set_result({name: found[name] for name in part.names if name in found})


def _fail(parts: Iterable[_Part[Any]], error: Exception) -> None:
    for part in parts:
        if not part.answer.done():
            part.answer.set_exception(error)
