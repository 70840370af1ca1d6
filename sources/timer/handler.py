"""Finds what is due, so that no lost event can leave a run behind; decides nothing."""

from collections.abc import Iterable
from typing import Final

from pipeline.core.clock import Clock
from pipeline.core.ids import run_guid_of
from pipeline.core.limits import COMMAND_OPEN_TICK_MS, DEAD_LETTER_PAYLOAD_BYTES_MAX
from pipeline.core.statuses import CommandStatus, ItemStatus, ReplayStatus, RunStatus
from pipeline.messages.envelopes import Event, Operation, Replay
from pipeline.store import types
from pipeline.store.pages import find_all
from pipeline.store.port import Entity, EntityStore, Filter, Query

VERTEX: Final = "timer"
PAGE: Final = 500
DUE_MAX: Final = 50_000
"""Runs looked at in one poll; the rest are due at the next."""
SWEEP_MS: Final = COMMAND_OPEN_TICK_MS
"""How often open commands, living runs without a wake-up, decided inbox items and replays are looked for."""
REPLAYS_MAX: Final = 20
"""Dead letters sent again by one sweep: each holds up to 350 kB; the rest are found by the next."""
_MINUTE_MS: Final = 60_000
_PAYLOAD_CHARS_MAX: Final = DEAD_LETTER_PAYLOAD_BYTES_MAX * 4 // 3 + 4
_REPLAYED: Final = (
    types.DEAD_LETTER_VERTEX,
    types.DEAD_LETTER_RUN_GUID,
    types.DEAD_LETTER_PAYLOAD,
    types.DEAD_LETTER_OFFSET,
    types.DEAD_LETTER_REPLAY,
    types.DEAD_LETTER_REPLAY_AT,
)


class TimerHandler:
    """One replica; forgetful on purpose: an offset names the minute, so a restart repeats at most a minute's ticks."""

    def __init__(self, store: EntityStore, clock: Clock) -> None:
        """Only reads the store."""
        self._store = store
        self._clock = clock
        self._swept_at: int | None = None
        self._pending = 0
        self._late_ms = 0

    @property
    def late_ms(self) -> int:
        """How long the longest due run had been due at the last poll; 0 where none was."""
        return self._late_ms

    @property
    def pending(self) -> int:
        """Ticks found by the last poll; what the source reports as its backlog."""
        return self._pending

    async def poll(self, *, is_behind: bool = False) -> list[tuple[str, Event | Replay]]:
        """What is due now, each with its offset (``<guid>:<wake-up or command or item>:<minute>``), each offset once;
        with it the dead letters that are to be sent again.

        Call it about once a second. ``is_behind``: what was found before isn't handed on yet, so no runs are looked for
        that only wait behind it; what a sweep looks for doesn't wait.

        Raises:
            StoreUnavailableError: the store can't be read; nothing is lost, the next call finds it again.
        """
        now = self._clock.now_ms()
        replays: dict[str, Event | Replay] = {}
        found: list[tuple[str, str]] = []
        if not is_behind:
            found = [(run.guid, str(run.attributes.get(types.RUN_WAKE_AT, 0))) for run in await self._due_runs(now)]
            self._late_ms = now - min((int(wake_at) for _, wake_at in found), default=now)
        # A clock that jumped back must not stop the sweeps until it has caught up.
        if self._swept_at is None or not 0 <= now - self._swept_at < SWEEP_MS:
            found += await self._sweep(now)
            replays = await self._replays(now)
            self._swept_at = now
        due = {**_ticks(found, now), **replays}
        self._pending = len(due)
        return list(due.items())

    async def _due_runs(self, now: int) -> list[Entity]:
        # gt 0: an unset wake-up reads as 0, and 0 means that the run is over.
        due = (Filter(types.RUN_WAKE_AT, "gt", 0), Filter(types.RUN_WAKE_AT, "lte", now))
        return await self._all(
            Query(types.RUN, due, sort_by=types.RUN_WAKE_AT, limit=PAGE, attributes=(types.RUN_WAKE_AT,))
        )

    async def _sweep(self, now: int) -> list[tuple[str, str]]:
        commands = await self._all(
            Query(
                types.COMMAND,
                (
                    Filter(types.COMMAND_STATUS, "eq", CommandStatus.OPEN),
                    Filter(types.COMMAND_AT, "lte", now - COMMAND_OPEN_TICK_MS),
                ),
                sort_by=types.COMMAND_AT,
                limit=PAGE,
            )
        )
        items = await self._all(
            Query(
                types.ITEM,
                (Filter(types.ITEM_STATUS, "eq", ItemStatus.OPEN), Filter(types.ITEM_ACTION, "not_null")),
                limit=PAGE,
            )
        )
        return [
            *((run_guid_of(entity.qualified_name), entity.guid) for entity in (*commands, *items)),
            *((run.guid, "none") for run in await self._runs_without_wake_up()),
        ]

    async def _replays(self, now: int) -> dict[str, Event | Replay]:
        letters = await self._store.find(
            Query(
                types.DEAD_LETTER,
                (Filter(types.DEAD_LETTER_REPLAY_STATUS, "eq", ReplayStatus.ASKED),),
                limit=REPLAYS_MAX,
                attributes=_REPLAYED,
            )
        )
        return {f"{letter.guid}:{_asked_at(letter)}:{now // _MINUTE_MS}": _replay(letter, now) for letter in letters}

    async def _runs_without_wake_up(self) -> list[Entity]:
        """An absent status reads as PENDING, so the living are found by two searches."""
        none = Filter(types.RUN_WAKE_AT, "lte", 0)
        return [
            *await self._all(Query(types.RUN, (Filter(types.RUN_STATUS, "is_null"), none), limit=PAGE)),
            *await self._all(Query(types.RUN, (Filter(types.RUN_STATUS, "eq", RunStatus.PENDING), none), limit=PAGE)),
        ]

    async def _all(self, query: Query) -> list[Entity]:
        """Every page: what is due in the last one is as due as what is in the first."""
        return await find_all(self._store, query, most=DUE_MAX)


def _asked_at(letter: Entity) -> int:
    return int(letter.attributes.get(types.DEAD_LETTER_REPLAY_AT) or 0)


def _replay(letter: Entity, now: int) -> Replay:
    given = letter.attributes
    payload = str(given.get(types.DEAD_LETTER_PAYLOAD) or "")
    return Replay(
        letter=letter.qualified_name,
        vertex=str(given.get(types.DEAD_LETTER_VERTEX) or ""),
        run_guid=given.get(types.DEAD_LETTER_RUN_GUID) or None,
        # What is too long was written by somebody else, and is refused for not being what was signed.
        payload_base64=payload if len(payload) <= _PAYLOAD_CHARS_MAX else "",
        source_offset=given.get(types.DEAD_LETTER_OFFSET) or None,
        request=str(given.get(types.DEAD_LETTER_REPLAY) or ""),
        asked_at=_asked_at(letter),
        at=now,
    )


def _ticks(found: Iterable[tuple[str, str]], now: int) -> dict[str, Event | Replay]:
    offsets: dict[str, Event | Replay] = {}
    for run_guid, what in found:
        offset = f"{run_guid}:{what}:{now // _MINUTE_MS}"
        offsets.setdefault(
            offset, Event(entity="run", operation=Operation.TICK, guid=run_guid, run_guid=run_guid, at=now)
        )
    return offsets
