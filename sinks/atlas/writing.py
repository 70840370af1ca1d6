"""Many runs in one bulk request, each with everything that belongs to it, and who is to blame when it is refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from pipeline.core.clock import Clock
from pipeline.core.errors import ErrorName
from pipeline.core.limits import STORE_WRITE_TIMEOUT_S
from pipeline.messages.changes import AssetChange
from pipeline.messages.envelopes import EntityWrite
from pipeline.store.changing import ChangeRefusedError
from pipeline.store.leases import SlotLease
from pipeline.store.port import EntityStore, StoreRefusedError, StoreUnavailableError, StoreUnknownError
from sinks.atlas.answers import SinkObserver
from sinks.atlas.assets import Assets, Mark
from sinks.atlas.pacing import BULK_ENTITIES_MAX, Pace

BULK_CHARS_MAX: Final = 8 * 1024 * 1024
"""Of texts in one request, about its bytes: ten of the largest outputs, and hundreds of usual documents."""
UNKNOWN_WAIT_MARGIN_S: Final = 1.0
"""Added to the write time-out, after which a write without an answer can't be carried out any more."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What must be written together or not at all: a run's state and the entities of the results it records.

    ``touched`` names entities that don't belong to the run alone (type and qualified name). ``changes`` of assets are
    resolved when the piece is written.
    """

    run_guid: str
    entities: tuple[EntityWrite, ...]
    touched: frozenset[tuple[str, str]] = frozenset()
    changes: tuple[AssetChange, ...] = ()

    @property
    def chars(self) -> int:
        """Of its texts."""
        return sum(
            len(value) for write in self.entities for value in write.attributes.values() if isinstance(value, str)
        )


class Fate(StrEnum):
    """How the write of a piece ended."""

    WRITTEN = "WRITTEN"
    REFUSED = "REFUSED"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN = "UNKNOWN"
    LEASE_LOST = "LEASE_LOST"


@dataclass(frozen=True, slots=True)
class Written:
    """The end of one piece; ``reason`` is a sentence unless it was written, ``error`` what a task refused for it ends
    by.
    """

    fate: Fate
    reason: str = ""
    error: ErrorName = ErrorName.METADATA_REFUSED


class BulkWriter:
    """Writes pieces under a lease."""

    def __init__(self, store: EntityStore, lease: SlotLease, clock: Clock, observer: SinkObserver) -> None:
        """A request starts only with more than the write time-out left on ``lease``."""
        self._store = store
        self._lease = lease
        self._clock = clock
        self._observer = observer
        self._assets = Assets(store)
        self._pace = Pace()

    async def write(self, pieces: Sequence[Piece]) -> dict[str, Written]:
        """The fate of each piece by its run's guid; runs are different ones.

        After an unknown outcome it has waited until the store can't carry that write out any more, and no further
        piece was sent.
        """
        ends: dict[str, Written] = {}
        for wave in waves(await self._named(pieces, ends), self._pace.entities_max):
            await self._write_together(wave, ends)
        return ends

    async def _named(self, pieces: Sequence[Piece], ends: dict[str, Written]) -> list[Piece]:
        """The pieces with the assets that they change among what they touch, however they are named."""
        left = []
        for piece in pieces:
            if not piece.changes:
                left.append(piece)
                continue
            try:
                touched = await self._assets.touched(piece.changes)
            except StoreUnavailableError as error:
                ends[piece.run_guid] = Written(Fate.UNAVAILABLE, str(error))
            except (ChangeRefusedError, StoreRefusedError) as error:
                ends[piece.run_guid] = _refused(error)
            else:
                left.append(replace(piece, touched=piece.touched | touched))
        return left

    async def _resolved(self, pieces: Sequence[Piece], ends: dict[str, Written]) -> list[Piece]:
        """The pieces with what their changes come to now, as entities; those that can't be made have their end.

        Classifications are put on here: Atlas has no bulk call for them.
        """
        left = []
        for piece in pieces:
            end = self._stop(ends) if piece.changes else None
            if end is None and piece.changes:
                try:
                    writes, marks = await self._assets.resolved(piece.changes, piece.entities)
                except StoreUnavailableError as error:
                    end = Written(Fate.UNAVAILABLE, str(error))
                except (ChangeRefusedError, StoreRefusedError) as error:
                    end = _refused(error)
                else:
                    end = await self._mark(marks)
                    piece = replace(piece, entities=(*piece.entities, *writes))  # noqa: PLW2901
            if end is None:
                left.append(piece)
            else:
                ends[piece.run_guid] = end
        return left

    async def _mark(self, marks: Sequence[Mark]) -> Written | None:
        """Put classifications on and take them off; None once all of it is done."""
        started_s = self._clock.monotonic_s()
        try:
            for mark in marks:
                await self._store.classify(mark.guid, mark.tags, mark.untag)
        except StoreRefusedError as error:
            return _refused(error)
        except StoreUnavailableError as error:
            return Written(Fate.UNAVAILABLE, str(error))
        except StoreUnknownError as error:
            return await self._unknown(error, started_s)
        return None

    async def _write_together(self, pieces: Sequence[Piece], ends: dict[str, Written]) -> None:
        """All of them in one request; where that is refused, the halves, each resolved afresh."""
        ready = await self._resolved(pieces, ends)
        if not ready:
            return
        end = await self._send(ready, ends)
        pieces = [piece for piece in pieces if piece.run_guid not in ends]
        if end.fate is Fate.REFUSED and len(pieces) > 1:
            middle = len(pieces) // 2
            await self._write_together(pieces[:middle], ends)
            await self._write_together(pieces[middle:], ends)
            return
        ends.update((piece.run_guid, end) for piece in pieces)

    async def _send(self, pieces: Sequence[Piece], ends: dict[str, Written]) -> Written:
        stop = self._stop(ends)
        if stop is not None:
            return stop
        started_s = self._clock.monotonic_s()
        end, unknown = Written(Fate.WRITTEN), None
        entities = [entity for piece in pieces for entity in piece.entities]
        try:
            await self._store.upsert(entities)
            self._pace.answered(len(entities), self._clock.monotonic_s() - started_s)
        except StoreRefusedError as error:
            end = Written(Fate.REFUSED, str(error))
        except StoreUnavailableError as error:
            end = Written(Fate.UNAVAILABLE, str(error))
        except StoreUnknownError as error:
            end, unknown = Written(Fate.UNKNOWN, str(error)), error
            self._pace.unanswered(len(entities))
        self._observer.write_ended(end.fate, len(pieces))
        return end if unknown is None else await self._unknown(unknown, started_s)

    def _stop(self, ends: dict[str, Written]) -> Written | None:
        """Why nothing may be written any more; None where it may."""
        lost = next((end for end in ends.values() if end.fate in {Fate.UNKNOWN, Fate.LEASE_LOST}), None)
        if lost is not None:
            # The caller starts again from what it reads; more writes would only make more that is unknown.
            return Written(Fate.LEASE_LOST, lost.reason)
        if self._lease.remaining_s() <= STORE_WRITE_TIMEOUT_S:
            return Written(Fate.LEASE_LOST, "the lease of these slots ends too soon to write")
        return None

    async def _unknown(self, error: StoreUnknownError, started_s: float) -> Written:
        """After that long the store can't carry it out any more."""
        passed_s = self._clock.monotonic_s() - started_s
        await self._clock.sleep(max(0.0, STORE_WRITE_TIMEOUT_S - passed_s) + UNKNOWN_WAIT_MARGIN_S)
        return Written(Fate.UNKNOWN, str(error))


def _refused(error: ChangeRefusedError | StoreRefusedError) -> Written:
    name = error.name if isinstance(error, ChangeRefusedError) else ErrorName.METADATA_REFUSED
    return Written(Fate.REFUSED, str(error), name)


def waves(pieces: Sequence[Piece], entities_max: int = BULK_ENTITIES_MAX) -> list[list[Piece]]:
    """The pieces in as few requests as possible: within one, no two touch the same shared entity. A piece that alone
    has more entities than that goes alone.
    """
    formed: list[_Wave] = []
    for piece in pieces:
        wave = next((wave for wave in formed if wave.has_room_for(piece, entities_max)), None)
        if wave is None:
            wave = _Wave()
            formed.append(wave)
        wave.add(piece)
    return [wave.pieces for wave in formed]


@dataclass(slots=True)
class _Wave:
    pieces: list[Piece] = field(default_factory=list)
    touched: set[tuple[str, str]] = field(default_factory=set)
    size: int = 0
    chars: int = 0

    def has_room_for(self, piece: Piece, entities_max: int) -> bool:
        is_small = self.size + len(piece.entities) <= entities_max and self.chars + piece.chars <= BULK_CHARS_MAX
        return is_small and self.touched.isdisjoint(piece.touched)

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.touched.update(piece.touched)
        self.size += len(piece.entities)
        self.chars += piece.chars
