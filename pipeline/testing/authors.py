"""The author of a world's workflows: pauses runs and lets them go on, skips tasks, resolves incidents."""

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.core.statuses import TaskStatus
from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.testing.scheduler import at_once

if TYPE_CHECKING:
    from pipeline.testing.people import People
    from pipeline.testing.world import World

AUTHOR: Final = "otto"
_RETRIES_MAX: Final = 2
"""Incidents of a task that the author has tried again; then it fails, so that every run ends."""
_TASKS: Final = 7
_MEAN_MS: Final = 8_000


class Author:
    """What it does is drawn when a run is created, and when a task becomes an incident."""

    def __init__(self, world: "World", people: "People") -> None:
        """It uses the API of ``people``."""
        self._world = world
        self._people = people
        self._seen: set[tuple[str, str, int]] = set()
        self._tried: dict[tuple[str, str], int] = {}

    def meddle(self, run_guid: str) -> None:
        """What happens to a run by its author."""
        world, chance = self._world, self._world.chance
        for _ in range(chance.between(1, 2) if chance.hits(0.2) else 0):
            stays_ms = chance.soon(2 * _MEAN_MS)
            world.scheduler.after(chance.soon(_MEAN_MS), partial(self._pause, run_guid, stays_ms))
        if chance.hits(0.12):
            task = f"t{chance.between(0, _TASKS - 1)}"
            world.scheduler.after(chance.soon(_MEAN_MS), lambda: self._people.ask(run_guid, "skip", task, {}, AUTHOR))

    def notice(self, write: EntityWrite) -> None:
        """Resolve every incident that a state has, some time after it was written."""
        text = write.attributes.get(types.RUN_CONFIG)
        entity = at_once(self._world.store.get_by_name(types.RUN, write.qualified_name))
        if entity is None or text is None or f'"{TaskStatus.INCIDENT}"' not in text:
            return
        for task in orjson.loads(text)["dag"]["tasks"]:
            incident = (entity.guid, task["name"], task["updated_at"])
            if task["status"] == TaskStatus.INCIDENT and incident not in self._seen:
                self._seen.add(incident)
                self._resolve(entity.guid, task["name"])

    def _pause(self, run_guid: str, stays_ms: int) -> None:
        """Whoever pauses a run lets it go on later, once they know that they were heard."""

        def resume() -> None:
            self._world.scheduler.after(stays_ms, lambda: self._people.ask(run_guid, "resume", None, {}, AUTHOR))

        self._people.ask(run_guid, "pause", None, {}, AUTHOR, then=resume)

    def _resolve(self, run_guid: str, task: str) -> None:
        chance = self._world.chance
        tried = self._tried[run_guid, task] = self._tried.get((run_guid, task), 0) + 1
        outcome = "RETRY" if tried <= _RETRIES_MAX and chance.hits(0.6) else "FAIL"
        arguments: dict[str, Any] = {"outcome": outcome}
        for again in range(2 if chance.hits(0.15) else 1):
            self._world.scheduler.after(
                chance.soon(_MEAN_MS) + again, lambda: self._people.ask(run_guid, "resolve", task, arguments, AUTHOR)
            )
