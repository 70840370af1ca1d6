"""Keeps what was refused for good, with its reason."""

from collections.abc import Sequence
from typing import Final

from pipeline.core.clock import Clock
from pipeline.core.ids import DEAD_LETTER_PREFIX
from pipeline.messages.canonical import MalformedError
from pipeline.messages.envelopes import DeadLetter, EntityWrite, parse_dead_letter
from pipeline.messages.tagged import dead_letter
from pipeline.store import types
from pipeline.store.port import EntityStore, StoreRefusedError, StoreUnavailableError, StoreUnknownError

VERTEX: Final = "dead-letter"
_NAME_CHARS: Final = 16


class DeadLetterHandler:
    """Writes each dead letter under a name derived from what it is, so a repeat writes the same entity again."""

    def __init__(self, store: EntityStore, clock: Clock) -> None:
        """``clock`` dates letters that can't even be read."""
        self._store = store
        self._clock = clock

    async def handle(self, batch: Sequence[tuple[str, bytes]]) -> dict[str, bool]:
        """Whether each message (id, payload) is kept; False = give it again later. Never raises.

        A letter that can't be parsed is kept as the payload of a new one. May be called again with the same batch.
        """
        writes = {ident: self._write(payload) for ident, payload in batch}
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

    def _write(self, payload: bytes) -> EntityWrite:
        try:
            letter = parse_dead_letter(payload)
        except MalformedError as error:
            letter = dead_letter(payload, reason=str(error), vertex=VERTEX, at=self._clock.now_ms())
        return entity_of(letter)


def entity_of(letter: DeadLetter) -> EntityWrite:
    """The entity that keeps a dead letter."""
    name = "-".join(filter(None, (letter.payload_sha256[:_NAME_CHARS], letter.source_offset)))
    attributes = {
        "name": name,
        types.DEAD_LETTER_REASON: letter.reason,
        types.DEAD_LETTER_VERTEX: letter.vertex,
        types.DEAD_LETTER_PAYLOAD: letter.payload_base64,
        types.DEAD_LETTER_BYTES: letter.payload_bytes,
        types.DEAD_LETTER_SHA256: letter.payload_sha256,
        types.DEAD_LETTER_AT: letter.at,
    }
    if letter.run_guid is not None:
        attributes[types.DEAD_LETTER_RUN_GUID] = letter.run_guid
    if letter.source_offset is not None:
        attributes[types.DEAD_LETTER_OFFSET] = letter.source_offset
    return EntityWrite(type_name=types.DEAD_LETTER, qualified_name=f"{DEAD_LETTER_PREFIX}{name}", attributes=attributes)
