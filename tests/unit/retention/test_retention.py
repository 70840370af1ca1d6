"""What leaves the store, what stays, and what the archive says of it."""

import asyncio
from pathlib import Path

import pytest

from pipeline.core.limits import RETENTION_BATCH_RUNS
from pipeline.messages.envelopes import EntityWrite
from pipeline.retention.archive import Archive
from pipeline.retention.index import INDEX, ArchiveIndex
from pipeline.retention.records import ArchiveError
from pipeline.retention.sweep import Batch, day_of
from pipeline.store import types
from tests.unit.retention.world import DAYS, RetentionWorld, belonging

EVERYTHING = {"item", "command", "output"}


@pytest.fixture
def world(tmp_path: Path) -> RetentionWorld:
    return RetentionWorld(tmp_path, ended=1)


def test_a_run_that_ended_long_ago_goes_into_the_archive_with_everything(world: RetentionWorld) -> None:
    (guid,) = world.ended
    before = world.engine.entity(guid)
    assert world.sweep() == [Batch(archived=1, purged=1)]
    assert world.gone_from_store(guid)
    assert world.belongings(guid) == set()
    day = day_of(world.engine.clock.now_ms())
    assert sorted(path.name for path in world.archive.folder.glob("*.gz")) == [f"{day}.jsonl.gz"]
    run = world.archive.run(guid, day)
    assert run is not None
    assert run.entities[0].attributes == before.attributes
    assert {entity.attributes["name"] for entity in run.entities[1:]} == EVERYTHING
    assert (run.status, run.requester, run.audit[0].by) == ("SUCCESS", "ann", "ann")
    found = ArchiveIndex(world.archive.folder).find(guid)
    assert found is not None
    assert found.day == day
    assert world.sweep() == []


def test_a_dry_pass_says_what_would_go_and_touches_nothing(world: RetentionWorld) -> None:
    assert world.sweep(is_dry=True) == [Batch(archived=1)]
    assert world.is_in_store(world.ended[0])
    assert list(world.archive.runs()) == []


def test_what_ended_lately_or_lives_stays(world: RetentionWorld) -> None:
    lately = world.run("blockline/runs/lately")
    living = world.run("blockline/runs/living", is_over=False)
    world.pass_days(DAYS - 1)
    world.sweep()
    assert world.is_in_store(lately)
    assert world.belongings(lately) == EVERYTHING
    world.pass_days(DAYS)
    world.sweep()
    assert world.gone_from_store(lately)
    assert world.is_in_store(living)
    assert world.belongings(living) == EVERYTHING


@pytest.mark.parametrize(
    ("kind", "by", "status"),
    [
        (types.ITEM, types.ITEM_RUN_GUID, types.ITEM_STATUS),
        (types.COMMAND, types.COMMAND_RUN_GUID, types.COMMAND_STATUS),
    ],
)
def test_a_run_somebody_is_asked_about_or_asks_something_of_stays(
    world: RetentionWorld, kind: str, by: str, status: str
) -> None:
    (guid,) = world.ended
    world.engine.write(belonging(kind, guid, "open", {by: guid, status: "OPEN"}))
    assert world.sweep() == [Batch(kept=1)]
    assert world.is_in_store(guid)
    world.engine.write(belonging(kind, guid, "open", {by: guid, status: "CLOSED"}))
    assert world.sweep() == [Batch(archived=1, purged=1)]


def test_parents_and_children_that_live_keep_each_other(world: RetentionWorld) -> None:
    (above,) = world.ended
    child = world.run(f"{above}/each/0/0", is_over=False)
    assert world.sweep() == [Batch(kept=1)]
    parent = world.run("blockline/runs/parent", is_over=False)
    below = world.run(f"{parent}/each/0/0")
    world.pass_days(DAYS + 1)
    world.sweep()
    assert all(map(world.is_in_store, (above, child, parent, below)))


def test_a_status_that_the_engine_did_not_sign_is_not_believed(world: RetentionWorld) -> None:
    living = world.run("blockline/runs/living", is_over=False)
    other = world.engine.document(world.ended[0])
    config = world.engine.entity(world.ended[0]).attributes[types.RUN_CONFIG]
    assert other["engine"]["status"] == "SUCCESS"
    forged = {"name": "n", types.RUN_STATUS: "SUCCESS", types.RUN_WAKE_AT: 0, types.RUN_CONFIG: config}
    world.engine.write(EntityWrite(type_name=types.RUN, qualified_name="blockline/runs/living", attributes=forged))
    world.pass_days(DAYS + 1)
    assert world.sweep() == [Batch(archived=1, purged=1, kept=1)]
    assert world.is_in_store(living)


def test_what_stays_does_not_hold_up_what_comes_after_it(tmp_path: Path) -> None:
    world = RetentionWorld(tmp_path, ended=2 * RETENTION_BATCH_RUNS + 3)
    kept = world.ended[: RETENTION_BATCH_RUNS + 1]
    for guid in kept:
        open_item = {types.ITEM_RUN_GUID: guid, types.ITEM_STATUS: "OPEN"}
        world.engine.write(belonging(types.ITEM, guid, "open", open_item))
    batches = world.sweep()
    assert sum(batch.purged for batch in batches) == RETENTION_BATCH_RUNS + 2
    assert sum(batch.kept for batch in batches) == len(kept)
    assert all(map(world.is_in_store, kept))
    assert all(map(world.gone_from_store, world.ended[len(kept) :]))


def test_a_lost_index_is_made_anew_from_the_files(world: RetentionWorld) -> None:
    world.sweep()
    (world.archive.folder / INDEX).unlink()
    index = ArchiveIndex(world.archive.folder)
    assert index.find(world.ended[0]) is None
    world.sweep()
    assert [found.guid for found in index.listed(10)] == world.ended


def test_one_process_at_a_time(world: RetentionWorld) -> None:
    world.archive.hold()
    with pytest.raises(ArchiveError, match="Another process"):
        Archive(world.archive.folder).hold()
    world.archive.release()
    Archive(world.archive.folder).hold().release()


def test_a_damaged_file_is_named(world: RetentionWorld) -> None:
    world.sweep()
    (path,) = world.archive.folder.glob("*.gz")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArchiveError, match=r"jsonl\.gz of the archive is damaged"):
        list(world.archive.runs())


def test_a_run_that_changes_while_it_is_archived_stays(world: RetentionWorld) -> None:
    (guid,) = world.ended

    class Meddling(Archive):
        def keep(self, day: str, runs: object) -> None:
            super().keep(day, runs)  # type: ignore[arg-type]
            world.engine.clock.ms += 1
            world.engine.write(
                EntityWrite(type_name=types.RUN, qualified_name="blockline/runs/0", attributes={"name": "new"})
            )

    batches = world.sweep(world.retention(archive=Meddling(world.archive.folder)))
    assert batches == [Batch(archived=1, purged=0)]
    assert world.is_in_store(guid)
    assert asyncio.run(world.store.get([guid]))[guid].attributes["name"] == "new"
