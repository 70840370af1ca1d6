"""Keeps what was refused for good, with its reason."""

from collections.abc import Callable, Sequence
from typing import Final

from pipeline.core.clock import Clock
from pipeline.messages.canonical import MalformedError
from pipeline.messages.envelopes import (
    DeadLetter,
    EntityWrite,
    Replayed,
    parse_dead_letter,
    parse_replayed,
    parse_shard_input,
)
from pipeline.messages.tagged import dead_letter
from pipeline.store import types
from pipeline.store.mapping import dead_letter_write, replayed_write
from pipeline.store.port import EntityStore, StoreRefusedError, StoreUnavailableError, StoreUnknownError

VERTEX: Final = "dead-letter"

OnKept = Callable[[str, str], None]
"""Told of each letter that was written, by its vertex and its reason."""


def _nobody(_: str, __: str) -> None:
    """Where nobody counts."""


class DeadLetterHandler:
    """Writes each dead letter under a name derived from what it is, so a repeat writes the same entity again."""

    def __init__(self, store: EntityStore, clock: Clock, *, on_kept: OnKept = _nobody) -> None:
        """``clock`` dates letters that can't even be read."""
        self._on_kept = on_kept
        self._store = store
        self._clock = clock

    async def handle(self, batch: Sequence[tuple[str, bytes]]) -> dict[str, bool]:
        """Whether each message (id, payload) is kept; False = give it again later. Never raises.

        What isn't a letter came by a sink's fallback, which hands on the original bytes alone: it becomes the payload
        of a letter, unless that sink has written one with its reason. Of a replay it is said on the letter what became
        of it. May be called again with the same batch.
        """
        try:
            return await self._handle(batch)
        except (StoreUnavailableError, StoreRefusedError):
            return {ident: False for ident, _ in batch}

    async def _handle(self, batch: Sequence[tuple[str, bytes]]) -> dict[str, bool]:
        kept: dict[str, bool] = {}
        writes: dict[str, EntityWrite] = {}
        marks: dict[str, Replayed] = {}
        for ident, payload in batch:
            if (replayed := replayed_of(payload)) is not None:
                marks[ident] = replayed
                continue
            write, is_letter = self._write(payload)
            if is_letter or await self._store.get_by_name(types.DEAD_LETTER, write.qualified_name) is None:
                writes[ident] = write
            else:
                kept[ident] = True
        kept |= await self._keep(writes) if writes else {}
        for ident, write in writes.items():
            if kept[ident]:
                self._on_kept(write.attributes[types.DEAD_LETTER_VERTEX], write.attributes[types.DEAD_LETTER_REASON])
        for ident, replayed in marks.items():
            kept[ident] = await self._mark(replayed)
        return kept

    async def _mark(self, replayed: Replayed) -> bool:
        """Say on its letter what became of a replay, unless nobody waits for it (any more)."""
        letter = await self._store.get_by_name(types.DEAD_LETTER, replayed.letter)
        write = None if letter is None else replayed_write(letter, replayed)
        if write is None:
            return True
        try:
            await self._store.upsert([write])
        except StoreUnknownError:
            return False
        return True

    async def _keep(self, writes: dict[str, EntityWrite]) -> dict[str, bool]:
        try:
            # One entity twice in one request is the store's to refuse; the later one says the same.
            await self._store.upsert(list({write.qualified_name: write for write in writes.values()}.values()))
        except StoreRefusedError:
            return {ident: await self._alone(write) for ident, write in writes.items()}
        except (StoreUnavailableError, StoreUnknownError):
            return dict.fromkeys(writes, False)
        return dict.fromkeys(writes, True)

    async def _alone(self, write: EntityWrite) -> bool:
        """One letter, without its payload if the store doesn't take it: its digest and offset still find it."""
        bare = {name: value for name, value in write.attributes.items() if name != types.DEAD_LETTER_PAYLOAD}
        for attempt in (write, write.model_copy(update={"attributes": bare})):
            try:
                await self._store.upsert([attempt])
            except StoreRefusedError:
                continue
            except (StoreUnavailableError, StoreUnknownError):
                return False
            return True
        return False

    def _write(self, payload: bytes) -> tuple[EntityWrite, bool]:
        """The entity, and whether the payload was a letter already."""
        try:
            return dead_letter_write(parse_dead_letter(payload)), True
        except MalformedError:
            return dead_letter_write(self._letter_of(payload)), False

    def _letter_of(self, payload: bytes) -> DeadLetter:
        run_guid = None
        try:
            run_guid = parse_shard_input(payload).run_guid
            reason = "the sink of its run refused it for good; the sink's log says why"
        except MalformedError as error:
            reason = str(error)
        return dead_letter(payload, reason=reason, vertex=VERTEX, at=self._clock.now_ms(), run_guid=run_guid)


def replayed_of(payload: bytes) -> Replayed | None:
    """What became of a replay, if the message says that."""
    try:
        return parse_replayed(payload)
    except MalformedError:
        return None
