"""Worlds in which the number of sinks changes while runs are under way: old and new vertices live side by side."""

from functools import partial
from typing import Final

from pipeline.core.statuses import ReplayStatus
from pipeline.messages.canonical import MalformedError
from pipeline.messages.envelopes import parse_replayed
from pipeline.messages.tagged import Tagged
from pipeline.store import types
from pipeline.store.mapping import replayed_write
from pipeline.store.port import Filter, Query
from pipeline.testing.chance import Chance
from pipeline.testing.fake_blocks import TYPES
from pipeline.testing.handlers import Handlers, Orchestrator
from pipeline.testing.scheduler import at_once
from pipeline.testing.vertices import SinkVertex
from pipeline.testing.world import World

NUMBERS: Final = (1, 2, 3, 5)
_ASKED: Final = Query(types.DEAD_LETTER, (Filter(types.DEAD_LETTER_REPLAY_STATUS, "eq", ReplayStatus.ASKED),))
_STREAM: Final = 0x5EED
_POLL_MS: Final = 1_000


class ReshardingWorld(World):
    """See :class:`~pipeline.testing.world.World`; of its own chance, so that the other worlds stay as they are."""

    def __init__(self, seed: int, handlers: Handlers) -> None:
        """Nothing has happened yet."""
        super().__init__(seed, handlers)
        self._turns = Chance(seed + _STREAM)
        self.checkers.is_calm = False  # what was on its way to a sink that is gone comes again
        self._living: list[Orchestrator] = [self._orchestrator]
        self.sent_on = 0
        """Results that came to a sink that doesn't own their run, and were asked to be sent again."""
        for _ in range(self._turns.one_of((1, 1, 2))):
            self.scheduler.after(self._turns.between(100, 20_000), self._reshard)

    def dead(self, payload: bytes) -> None:
        """See the base class; what became of a replay is written on its letter."""
        try:
            replayed = parse_replayed(payload)
        except MalformedError:
            super().dead(payload)
            return
        letter = at_once(self.store.get_by_name(types.DEAD_LETTER, replayed.letter))
        write = None if letter is None else replayed_write(letter, replayed)
        if write is not None:
            self.sent_on += 1
            at_once(self.store.upsert([write]))

    def _reshard(self) -> None:
        before, self.shards = self.shards, self._turns.one_of([number for number in NUMBERS if number != self.shards])
        self.note("resharded", f"{before} to {self.shards}")
        self._living.append(self.handlers.orchestrator(self.seal, self.evaluator, TYPES, self.shards))
        self.scheduler.after(self._turns.between(1, 30_000), partial(self._living.pop, 0))
        for number, vertex in enumerate(self._sinks):
            if number >= self.shards:
                vertex.retire(self._turns.between(1, 30_000))
            elif vertex.is_gone:
                self._sinks[number] = SinkVertex(self, number)
            else:
                vertex.roll(self._turns.between(1, 30_000))
        self._sinks += [SinkVertex(self, number) for number in range(len(self._sinks), self.shards)]

    def _arrive(self, tagged: Tagged, is_dispatch: bool) -> None:  # noqa: FBT001  (the base class')
        """Nothing takes a message whose tag no edge has."""
        number = 0 if is_dispatch else int(tagged.tag.removeprefix("shard-"))
        if number < len(self._sinks) and not self._sinks[number].is_gone:
            super()._arrive(tagged, is_dispatch)

    def _to_orchestrator(self, payload: bytes) -> None:
        self._orchestrator = self._turns.one_of(self._living)
        super()._to_orchestrator(payload)

    def _next_due(self) -> int | None:
        due = super()._next_due()
        if not at_once(self.store.find(_ASKED)):
            return due
        asked = self.scheduler.now_ms + _POLL_MS
        return asked if due is None else min(due, asked)
