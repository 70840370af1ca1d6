"""Changes of assets: resolved against a fresh read, in the bulk of the state that records them."""

from typing import Any

import pytest

from pipeline.messages.changes import AssetChange, AssetRef, Tag
from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.store.port import Entity, StoreRefusedError, StoreUnavailableError, StoreUnknownError
from sinks.atlas.answers import Ok, Retry
from tests.unit.sinks.world import SinkWorld, result, task

NAME = "db/orders"


def world_with_table(**attributes: Any) -> tuple[SinkWorld, str]:
    world = SinkWorld()
    given = {"name": "orders", **attributes}
    guid = world.write(EntityWrite(type_name="Table", qualified_name=NAME, attributes=given))[NAME]
    return world, guid


def change(guid: str, **parts: Any) -> AssetChange:
    return AssetChange(asset=AssetRef(guid=guid), **parts)


def table(world: SinkWorld) -> Entity:
    found = world.named("Table", NAME)
    assert found is not None
    return found


def failure(world: SinkWorld, run: str, name: str = "a") -> tuple[str, str]:
    tasks = {one["name"]: one for one in world.document(run)["dag"]["tasks"]}
    assert tasks[name]["status"] == "FAILURE"
    return tasks[name]["error"]["name"], tasks[name]["error"]["message"]


def test_a_change_is_written_with_the_state_that_records_it() -> None:
    world, guid = world_with_table(ownerUsers=["ann"], rowCount=3, description="old")
    run = world.start()
    wanted = change(
        guid,
        set={"certificateStatus": "VERIFIED", "description": None},
        add={"ownerUsers": ["bob", "ann"]},
        custom={"team": "sales"},
        expect={"rowCount": 3},
    )
    assert world.handle(result(run, changes=(wanted,))) == [Ok()]
    [bulk] = world.wire.bulks
    assert {write.type_name for write in bulk} == {types.RUN, "Table"}
    assert world.status(run) == "SUCCESS"
    found = table(world)
    assert found.attributes["certificateStatus"] == "VERIFIED"
    assert "description" not in found.attributes
    assert found.attributes["ownerUsers"] == ["ann", "bob"]
    assert found.custom_attributes == {"team": "sales"}


def test_a_repeat_of_the_result_changes_nothing() -> None:
    world, guid = world_with_table()
    run = world.start()
    wanted = result(run, changes=(change(guid, add={"ownerUsers": ["ann"]}, tags=(Tag(type_name="PII"),)),))
    assert world.handle(wanted) == [Ok()]
    world.write(EntityWrite(type_name="Table", qualified_name=NAME, attributes={"name": "orders", "ownerUsers": []}))
    count = len(world.wire.bulks)
    assert world.handle(wanted) == [Ok()]
    assert len(world.wire.bulks) == count
    assert table(world).attributes["ownerUsers"] == []


def test_runs_that_change_one_asset_see_each_other() -> None:
    world, guid = world_with_table(ownerUsers=["ann"])
    runs = [world.start(name=f"blockline/runs/{number}") for number in range(3)]
    by_name = AssetChange(
        asset=AssetRef(type_name="Table", qualified_name=NAME),
        add={"ownerUsers": ["two"]},
        remove={"ownerUsers": ["ann"]},
    )
    changes = [change(guid, add={"ownerUsers": ["zero"]}), change(guid, add={"ownerUsers": ["one"]}), by_name]
    answers = world.handle(*(result(run, changes=(one,)) for run, one in zip(runs, changes, strict=True)))
    assert answers == [Ok()] * 3
    assert table(world).attributes["ownerUsers"] == ["zero", "one", "two"]
    assert len(world.wire.bulks) == 3


def test_tasks_of_one_run_that_change_one_asset_in_one_write() -> None:
    world, guid = world_with_table()
    run = world.start(task("a"), task("b"), task("c"))
    results = [result(run, name, changes=(change(guid, add={"ownerUsers": [name]}),)) for name in "abc"]
    assert world.handle(*results) == [Ok()] * 3
    assert table(world).attributes["ownerUsers"] == ["a", "b", "c"]
    assert len(world.wire.bulks) == 1


@pytest.mark.parametrize(
    ("parts", "name", "words"),
    [
        ({"set": {"rowCuont": 1}}, "Metadata.Refused", "no attribute rowCuont"),
        ({"set": {"qualifiedName": "other"}}, "Metadata.Refused", "known by"),
        ({"set": {"name": None}}, "Metadata.Refused", "must have name"),
        ({"add": {"rowCount": [1]}}, "Metadata.Refused", "isn't a list"),
        ({"expect": {"rowCount": 4}, "set": {"rowCount": 5}}, "Metadata.Conflict", "expected"),
        ({"terms_add": ("nobody@Glossary",)}, "Metadata.Refused", "no glossary term"),
        ({"tags": (Tag(type_name="Nope"),)}, "Metadata.Refused", "Nope"),
    ],
)
def test_what_cannot_be_done_fails_its_task_and_nobody_elses(parts: dict[str, Any], name: str, words: str) -> None:
    world, guid = world_with_table(rowCount=3)
    run, other = world.start(task("a"), task("b")), world.start(name="other")
    good = change(guid, add={"ownerUsers": ["ann"]})
    answers = world.handle(
        result(run, changes=(change(guid, **parts),)), result(run, "b"), result(other, changes=(good,))
    )
    assert answers == [Ok()] * 3
    assert failure(world, run)[0] == name
    assert words in failure(world, run)[1]
    assert {one["name"]: one["status"] for one in world.document(run)["dag"]["tasks"]}["b"] == "SUCCESS"
    assert world.status(other) == "SUCCESS"
    assert table(world).attributes["ownerUsers"] == ["ann"]
    assert table(world).attributes["rowCount"] == 3


def test_an_asset_that_is_gone_and_the_engines_own_are_refused() -> None:
    world, guid = world_with_table()
    run = world.start(task("a"), task("b"), task("c"))
    world.delete(guid)
    own = AssetChange(asset=AssetRef(type_name=types.RUN, qualified_name="blockline/runs/1"), set={"name": "x"})
    world.handle(
        result(run, changes=(change(guid, set={"rowCount": 1}),)),
        result(run, "b", changes=(own,)),
        result(run, "c", changes=(change("nobody", set={"rowCount": 1}),)),
    )
    assert failure(world, run, "a") == ("Metadata.Refused", f"There is no asset {guid} (any more).")
    assert "engine's own" in failure(world, run, "b")[1]
    assert "no asset nobody" in failure(world, run, "c")[1]


def test_what_the_store_refuses_is_found_among_the_others() -> None:
    world, guid = world_with_table()
    runs = [world.start(name=f"blockline/runs/{number}") for number in range(4)]
    world.wire.is_refused = lambda write: write.attributes.get("rowCount") == "many"
    changes = [change(guid, set={"rowCount": "many"}) if number == 2 else None for number in range(4)]
    world.handle(*(result(run, changes=(one,) if one else None) for run, one in zip(runs, changes, strict=True)))
    assert [world.status(run) for run in runs] == ["SUCCESS", "SUCCESS", "FAILURE", "SUCCESS"]
    assert failure(world, runs[2]) == ("Metadata.Refused", "not this one")


def test_an_unknown_outcome_is_read_and_resolved_again() -> None:
    world, guid = world_with_table(ownerUsers=["ann"])
    run = world.start()
    wanted = result(run, changes=(change(guid, add={"ownerUsers": ["bob"]}),))
    world.wire.after_write = [StoreUnknownError("no answer")]
    assert isinstance(world.handle(wanted)[0], Retry)
    world.write(EntityWrite(type_name="Table", qualified_name=NAME, attributes={"name": "orders", "ownerUsers": ["x"]}))
    assert world.handle(wanted) == [Ok()]
    assert table(world).attributes["ownerUsers"] == ["x"], "it was recorded, so it isn't done again"


def test_classifications_come_before_the_state_and_a_lost_answer_is_waited_for() -> None:
    world, guid = world_with_table()
    run = world.start()
    wanted = result(run, changes=(change(guid, tags=(Tag(type_name="PII"),), untag=("Confidential",)),))
    world.wire.classify_errors = [StoreUnknownError("no answer"), StoreUnavailableError("away")]
    before_ms = world.clock.ms
    assert isinstance(world.handle(wanted)[0], Retry)
    assert world.clock.ms - before_ms >= 10_000
    assert isinstance(world.handle(wanted)[0], Retry)
    assert world.wire.bulks == []
    assert world.handle(wanted) == [Ok()]
    assert [tag.type_name for tag in table(world).tags] == ["PII"]
    assert world.status(run) == "SUCCESS"


def test_assets_that_cannot_be_read_now_hold_up_their_own_run_only() -> None:
    world, guid = world_with_table()
    run, other = world.start(), world.start(name="other")
    world.wire.unreadable = guid
    answers = world.handle(result(run, changes=(change(guid, set={"rowCount": 1}),)), result(other))
    assert [type(answer) for answer in answers] == [Retry, Ok]
    world.wire.unreadable = ""
    assert world.handle(result(run, changes=(change(guid, set={"rowCount": 1}),))) == [Ok()]


def test_terms_are_named_by_guid_or_name() -> None:
    world, guid = world_with_table()
    names = ("Revenue@Finance", "Cost@Finance")
    terms = world.write(
        *(EntityWrite(type_name=types.TERM, qualified_name=name, attributes={"name": name}) for name in names)
    )
    run, other = world.start(), world.start(name="other")
    wanted = change(guid, terms_add=(names[0], terms[names[1]]))
    assert world.handle(result(run, changes=(wanted,))) == [Ok()]
    assert table(world).terms == (terms[names[0]], terms[names[1]])
    world.handle(result(other, changes=(change(guid, terms_remove=(names[0],)),)))
    assert table(world).terms == (terms[names[1]],)


def test_nothing_is_classified_once_the_lease_ends_too_soon() -> None:
    world, guid = world_with_table()
    run = world.start()
    world.wire.on_read = lambda: setattr(world.lease, "left_s", 5.0)
    answers = world.handle(result(run, changes=(change(guid, tags=(Tag(type_name="PII"),)),)))
    assert isinstance(answers[0], Retry)
    assert table(world).tags == ()


def test_a_refused_lookup_of_a_name_fails_the_task() -> None:
    world, _ = world_with_table()
    run = world.start()
    world.wire.refuses_names = StoreRefusedError("Type ENTITY with name Nope does not exist")
    named = AssetChange(asset=AssetRef(type_name="Nope", qualified_name="x"), set={"name": "x"})
    assert world.handle(result(run, changes=(named,))) == [Ok()]
    assert failure(world, run) == ("Metadata.Refused", "Type ENTITY with name Nope does not exist")
