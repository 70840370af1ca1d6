"""Interrupted before or after any of its steps, and begun anew, retention loses nothing and leaves nothing behind."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.retention.archive import Archive
from pipeline.retention.selection import Selection
from pipeline.retention.sweep import Retention
from pipeline.store import types
from pipeline.store.port import Query
from tests.unit.retention.world import DAYS, RetentionWorld, audit
from tests.unit.sinks.world import SEAL

RUNS = 3
STEPS = 14
"""Of a pass over one batch: before and after each of its seven calls."""
EVERYTHING = {"item", "command", "output"}
_STORE = ("delete", "purge")
_ARCHIVE = ("keep", "fold", "purging")


class KilledError(BaseException):
    """What follows never happens."""


class Killer:
    """Ends everything at a step; each call has one before it and one after it."""

    def __init__(self, at: int) -> None:
        self.left = at

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise KilledError

    def around(self, thing: Any, names: tuple[str, ...]) -> Any:
        killer = self

        class Around:
            def __getattr__(self, name: str) -> Any:
                call = getattr(thing, name)
                if name not in names:
                    return call
                if asyncio.iscoroutinefunction(call):
                    return killer._later(call)
                return killer._now(call)

        return Around()

    def _later(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def stepped(*arguments: Any) -> Any:
            self.step()
            found = await call(*arguments)
            self.step()
            return found

        return stepped

    def _now(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any) -> Any:
            self.step()
            found = call(*arguments)
            self.step()
            return found

        return stepped


def interrupted(world: RetentionWorld, at: int) -> bool:
    """A pass that is killed at that step; False where it ended before."""
    killer = Killer(at)
    store = killer.around(world.store, _STORE)
    archive = killer.around(Archive(world.archive.folder), _ARCHIVE)
    retention = Retention(store, Selection(store, SEAL, audit), archive, world.engine.clock, DAYS)
    with contextlib.suppress(KilledError):
        world.sweep(retention)
        return False
    return True


def is_archived_whole(world: RetentionWorld, guid: str) -> bool:
    run = world.archive.run(guid, "*")
    return run is not None and {str(entity.attributes["name"]) for entity in run.entities[1:]} == EVERYTHING


def left_in_store(world: RetentionWorld) -> int:
    found = [asyncio.run(world.store.find(Query(kind))) for kind in types.ENGINE_TYPES]
    return sum(map(len, found))


@pytest.mark.parametrize("at", range(1, STEPS + 1))
def test_interrupted_at_any_step(tmp_path: Path, at: int) -> None:
    world = RetentionWorld(tmp_path, ended=RUNS)
    assert interrupted(world, at)
    for guid in world.ended:
        entity = asyncio.run(world.store.get([guid])).get(guid)
        is_there = entity is not None and not entity.is_deleted
        is_whole = is_there and world.belongings(guid) == EVERYTHING
        assert is_whole or is_archived_whole(world, guid)
    world.pass_days(1)
    world.sweep()
    assert left_in_store(world) == 0
    assert all(map(world.gone_from_store, world.ended)), "nothing stays behind deleted but not purged"
    assert all(is_archived_whole(world, guid) for guid in world.ended)
    assert list(world.archive.being_purged()) == []


def test_those_are_all_its_steps(tmp_path: Path) -> None:
    assert not interrupted(RetentionWorld(tmp_path, ended=RUNS), STEPS + 1)
