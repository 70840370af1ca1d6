"""Messages of runs that another sink owns: they come while the number of sinks changes, and only then.

Who tagged them counted with another number of sinks. Nobody but the owner may judge them, so what must not be lost is
sent through the pipeline again, by whoever counts as is counted now.
"""

from collections.abc import Sequence
from typing import Final

from pipeline.core.clock import Clock
from pipeline.core.ids import shard_of
from pipeline.core.limits import DEAD_LETTER_PAYLOAD_BYTES_MAX
from pipeline.messages.envelopes import DeadLetter, EntityWrite, Result
from pipeline.messages.seal import Seal
from pipeline.messages.tagged import dead_letter
from pipeline.store.mapping import sent_on_write
from pipeline.store.port import EntityStore, StoreRefusedError, StoreUnavailableError, StoreUnknownError
from sinks.atlas.answers import Answer, Fallback, Ok, Retry, Shard, SinkObserver
from sinks.atlas.reading import Message

Stray = tuple[str, bytes, Message]
LETTERS_MAX: Final = 20
"""Letters in one request: each holds up to 350 kB."""
TOO_LARGE: Final = "too large to be sent on; its task is dispatched again when its lease is over"


class Strays:
    """Writes requests to send messages again; holds nothing, and needs no lease for it."""

    def __init__(self, store: EntityStore, seal: Seal, clock: Clock, shard: Shard, observer: SinkObserver) -> None:
        """``shard`` is the sink they came to."""
        self._store = store
        self._seal = seal
        self._clock = clock
        self._shard = shard
        self._observer = observer

    async def send_on(self, strays: Sequence[Stray]) -> dict[str, Answer]:
        """An answer for each. Looks, ticks and commands only say that something is to be read, and the timer says so
        again; a result says it once.
        """
        results = [stray for stray in strays if isinstance(stray[2], Result)]
        if results:
            self._observer.alert("sent-on", results[0][2].run_guid, f"{len(results)} results of other sinks' runs")
        answers: dict[str, Answer] = {ident: Ok() for ident, _, _ in strays}
        for first in range(0, len(results), LETTERS_MAX):
            answers.update(await self._kept(results[first : first + LETTERS_MAX]))
        return answers

    async def _kept(self, results: Sequence[Stray]) -> dict[str, Answer]:
        letters = {ident: self._letter(payload, message.run_guid) for ident, payload, message in results}
        answers: dict[str, Answer] = {}
        writes: dict[str, EntityWrite] = {}
        for ident, letter in letters.items():
            if letter.payload_bytes > DEAD_LETTER_PAYLOAD_BYTES_MAX:
                answers[ident] = Fallback(letter.model_copy(update={"reason": f"{letter.reason}: {TOO_LARGE}"}))
            else:
                answers[ident] = Ok()
                write = sent_on_write(letter, self._seal)
                writes[write.qualified_name] = write
        try:
            if writes:
                await self._store.upsert(list(writes.values()))
        except (StoreUnavailableError, StoreUnknownError) as error:
            return {ident: Retry(str(error)) for ident in letters}
        except StoreRefusedError:
            return {ident: Fallback(letter) for ident, letter in letters.items()}
        return answers

    def _letter(self, payload: bytes, run_guid: str) -> DeadLetter:
        reason = f"this run belongs to atlas-{shard_of(run_guid, self._shard.shards)}"
        at = self._clock.now_ms()
        return dead_letter(payload, reason=reason, vertex=self._shard.vertex, at=at, run_guid=run_guid)
