import asyncio

import pytest

from pipeline.core.limits import STORE_WRITE_TIMEOUT_S
from pipeline.messages.canonical import decode, encode
from pipeline.messages.envelopes import CommandInput, EntityWrite, Look, Outcome, Tick
from pipeline.spec.model import digest
from pipeline.store import types
from pipeline.store.mapping import command_view
from pipeline.store.port import Query, StoreUnavailableError, StoreUnknownError
from sinks.atlas.answers import Fallback, Ok, Retry
from tests.unit.sinks.world import NOW, SinkWorld, result, spec_of_tasks, table, task


@pytest.fixture
def world() -> SinkWorld:
    return SinkWorld()


def command_input(world: SinkWorld, guid: str, command_guid: str) -> CommandInput:
    view = command_view(world.entity(command_guid))
    return CommandInput(run_guid=guid, command_guid=command_guid, qualified_name=view.qualified_name, command=view.text)


def test_the_first_result_makes_the_document(world: SinkWorld) -> None:
    guid = world.start()
    assert world.handle(result(guid)) == [Ok()]
    assert world.status(guid) == "SUCCESS"
    assert world.entity(guid).attributes[types.RUN_WAKE_AT] == 0
    assert world.document(guid)["engine"]["revision"] == 1


def test_many_runs_and_results_are_one_request(world: SinkWorld) -> None:
    guids = [world.start(task("a"), task("b"), name=f"r{number}") for number in range(5)]
    world.handle(*(result(guid, name) for guid in guids for name in ("a", "b")))
    assert len(world.wire.bulks) == 1
    assert {world.document(guid)["engine"]["revision"] for guid in guids} == {1}


def test_what_the_sink_wrote_it_neednt_read(world: SinkWorld) -> None:
    guid = world.start(task("a"), task("b", depends="a"))
    world.handle(result(guid))
    reads = world.wire.reads
    world.handle(result(guid, "b"))
    assert world.wire.reads == reads
    assert world.status(guid) == "SUCCESS"


def test_a_repeat_writes_nothing(world: SinkWorld) -> None:
    guid = world.start(task("a"), task("b", depends="a"))
    world.handle(result(guid))
    assert world.handle(result(guid)) == [Ok()]
    assert len(world.wire.bulks) == 1


@pytest.mark.parametrize("left_s", [0.0, STORE_WRITE_TIMEOUT_S])
def test_without_the_lease_nothing_is_read_or_written(world: SinkWorld, left_s: float) -> None:
    guid = world.start()
    world.lease.left_s = left_s
    [answer] = world.handle(result(guid))
    assert isinstance(answer, Retry)
    assert (world.wire.reads, world.wire.bulks) == (0, [])


def test_a_lost_lease_loses_the_cache(world: SinkWorld) -> None:
    guid = world.start(task("a"), task("b", depends="a"))
    world.handle(result(guid))
    world.lease.left_s = 0
    world.handle(result(guid, "b"))
    world.lease.left_s = 30
    reads = world.wire.reads
    world.handle(result(guid, "b"))
    assert world.wire.reads == reads + 1


def test_an_outage_keeps_everything(world: SinkWorld) -> None:
    guid = world.start()
    world.wire.before_write = [StoreUnavailableError("away")]
    assert world.handle(result(guid)) == [Retry("away")]
    assert world.handle(result(guid)) == [Ok()]


def test_a_lost_answer_is_waited_for_and_read(world: SinkWorld) -> None:
    guid = world.start(task("a"), task("b", depends="a"))
    world.wire.after_write = [StoreUnknownError("no answer")]
    [answer] = world.handle(result(guid, entities=(table("t"),)))
    assert isinstance(answer, Retry)
    assert world.clock.ms >= NOW + STORE_WRITE_TIMEOUT_S * 1000, "until the store can't carry it out any more"
    assert world.handle(result(guid, entities=(table("t"),))) == [Ok()]
    assert len(world.wire.bulks) == 1, "what is there isn't written again"


def test_a_refused_entity_fails_its_task_and_nobody_else(world: SinkWorld) -> None:
    good, bad = world.start(name="good"), world.start(task("a"), task("b"), name="bad")
    world.wire.is_refused = lambda write: write.qualified_name == "poison"
    answers = world.handle(
        result(good, entities=(table("fine"),)),
        result(bad, "a", entities=(table("poison"),)),
        result(bad, "b", entities=(table("also-fine"),)),
    )
    assert answers == [Ok()] * 3
    assert world.status(good) == "SUCCESS"
    tasks = {one["name"]: one for one in world.document(bad)["dag"]["tasks"]}
    assert (tasks["a"]["status"], tasks["a"]["error"]["name"]) == ("FAILURE", "Metadata.Refused")
    assert tasks["b"]["status"] == "SUCCESS"
    assert world.named("Table", "also-fine") is not None


def test_two_runs_that_touch_one_asset_are_written_apart(world: SinkWorld) -> None:
    guids = [world.start(name=f"r{number}") for number in range(3)]
    world.handle(
        result(guids[0], entities=(table("t"),)),
        result(guids[1], entities=(table("t"),)),
        result(guids[2], entities=(table("u"),)),
    )
    assert [sum(write.type_name == types.RUN for write in bulk) for bulk in world.wire.bulks] == [2, 1]


def test_garbage_goes_to_the_dead_letters_and_stops_nobody(world: SinkWorld) -> None:
    guid = world.start()
    answers = world.handle(b"{}", result(guid), b"\xff")
    assert [type(answer) for answer in answers] == [Fallback, Ok, Fallback]
    assert world.status(guid) == "SUCCESS"


def test_a_run_that_isnt_there(world: SinkWorld) -> None:
    answers = world.handle(result("gone"), Look(run_guid="gone", reason="event"), Tick(run_guid="gone", at=NOW))
    assert [type(answer) for answer in answers] == [Fallback, Ok, Ok]
    assert isinstance(answers[0], Fallback)
    assert answers[0].letter.run_guid == "gone"
    assert answers[0].letter.reason == "there is no such run"


def test_a_command_is_closed_in_the_bulk_of_the_state(world: SinkWorld) -> None:
    guid = world.start()
    command = world.ask(guid, "cancel")
    world.handle(command_input(world, guid, command))
    [bulk] = world.wire.bulks
    assert {write.type_name for write in bulk} == {types.RUN, types.COMMAND}
    assert (world.status(guid), command_view(world.entity(command)).status) == ("TERMINATED", "APPLIED")


def test_a_command_that_is_closed_isnt_heard_again(world: SinkWorld) -> None:
    guid = world.start()
    command = world.ask(guid, "cancel")
    given = command_input(world, guid, command)
    world.handle(given)
    world.sink = world.new_sink()
    assert world.handle(given) == [Ok()]
    assert command_view(world.entity(command)).status == "APPLIED"
    assert len(world.wire.bulks) == 1


def test_a_forged_command_is_refused(world: SinkWorld) -> None:
    guid = world.start()
    command = world.ask(guid, "cancel")
    name = world.entity(command).qualified_name
    forged = {"name": "c1", types.COMMAND_REQUEST: command_view(world.entity(command)).text.replace("ann", "bob")}
    world.write(EntityWrite(type_name=types.COMMAND, qualified_name=name, attributes=forged))
    world.handle(command_input(world, guid, command))
    assert command_view(world.entity(command)).status == "REFUSED"
    assert world.status(guid) == "None", "nothing happened to the run"


def test_a_tick_reads_open_commands_in_their_order(world: SinkWorld) -> None:
    guid = world.start()
    late = world.ask(guid, "cancel", ident="c1", at=NOW + 2)
    early = world.ask(guid, "withdraw", ident="c2", at=NOW + 1)
    world.handle(Tick(run_guid=guid, at=NOW + 9))
    assert world.status(guid) == "WITHDRAWN"
    assert command_view(world.entity(early)).status == "APPLIED"
    assert command_view(world.entity(late)).status == "REFUSED"


def test_a_document_changed_by_hand_ends_the_run(world: SinkWorld) -> None:
    guid = world.start(task("a"), task("b", depends="a"))
    world.handle(result(guid))
    text = world.entity(guid).attributes[types.RUN_CONFIG].replace("SUCCESS", "FAILURE")
    changed = {"name": "1", types.RUN_CONFIG: text}
    world.write(EntityWrite(type_name=types.RUN, qualified_name="blockline/runs/1", attributes=changed), user="mallory")
    assert world.handle(Look(run_guid=guid, reason="tampered")) == [Ok()]
    assert world.status(guid) == "FAILURE"
    assert world.document(guid)["engine"]["error"]["name"] == "Engine.Tampered"
    assert world.document(guid)["engine"]["revision"] == 2
    assert ("tampered", guid) in {alert[:2] for alert in world.observer.alerts}


def test_the_questions_of_a_document_changed_by_hand_are_closed(world: SinkWorld) -> None:
    guid = world.start(task("ask", type="APPROVAL"))
    item = {"name": "ask", types.ITEM_RUN_GUID: guid, types.ITEM_TASK: "ask", types.ITEM_STATUS: "OPEN"}
    world.write(EntityWrite(type_name=types.ITEM, qualified_name=f"{guid}/ask/0/0/sam", attributes=item))
    other = {**item, types.ITEM_RUN_GUID: "another"}
    world.write(EntityWrite(type_name=types.ITEM, qualified_name="another/ask/0/0/sam", attributes=other))
    changed = {"name": "1", types.RUN_CONFIG: '{"engine":{"revision":3}}'}
    world.write(EntityWrite(type_name=types.RUN, qualified_name="blockline/runs/1", attributes=changed), user="mallory")
    world.handle(Look(run_guid=guid, reason="tampered"))
    items = asyncio.run(world.store.find(Query(types.ITEM, attributes=(types.ITEM_STATUS,))))
    assert {found.qualified_name: found.attributes[types.ITEM_STATUS] for found in items} == {
        f"{guid}/ask/0/0/sam": "CLOSED",
        "another/ask/0/0/sam": "OPEN",
    }


def test_a_tick_that_finds_an_older_revision_repairs_it(world: SinkWorld) -> None:
    guid = world.start(task("a"), task("b"), task("c"))
    world.handle(result(guid, "a"))
    old = world.entity(guid).attributes
    world.handle(result(guid, "b"))
    new = world.entity(guid).attributes[types.RUN_CONFIG]
    world.write(EntityWrite(type_name=types.RUN, qualified_name="blockline/runs/1", attributes=dict(old)))
    world.handle(Look(run_guid=guid, reason="event"))
    assert world.entity(guid).attributes[types.RUN_CONFIG] == new
    assert world.observer.alerts[-1][0] == "stale-document"


def test_a_status_or_wake_up_changed_by_hand_is_put_right(world: SinkWorld) -> None:
    guid = world.start()
    world.handle(result(guid))
    wrong = {"name": "1", types.RUN_STATUS: "PENDING", types.RUN_WAKE_AT: 5}
    world.write(EntityWrite(type_name=types.RUN, qualified_name="blockline/runs/1", attributes=wrong))
    world.handle(Tick(run_guid=guid, at=NOW))
    assert (world.status(guid), world.entity(guid).attributes[types.RUN_WAKE_AT]) == ("SUCCESS", 0)


def test_a_request_changed_by_hand_ends_the_run(world: SinkWorld) -> None:
    guid = world.start()
    text = world.entity(guid).attributes[types.RUN_REQUEST].replace("ann", "bob")
    changed = {"name": "1", types.RUN_REQUEST: text}
    world.write(EntityWrite(type_name=types.RUN, qualified_name="blockline/runs/1", attributes=changed))
    world.handle(Look(run_guid=guid, reason="tampered"))
    assert world.document(guid)["engine"]["error"]["name"] == "Engine.Tampered"
    assert world.entity(guid).qualified_name == "blockline/runs/1"


def test_a_look_at_a_start_that_dispatched_nothing_writes_its_end(world: SinkWorld) -> None:
    guid = world.start(task("a", type="CONDITION", arguments=[{"expression": "true"}]))
    world.handle(Look(run_guid=guid, reason="start"))
    assert world.status(guid) == "SUCCESS"


def test_a_decision_on_an_item_counts_by_who_the_store_says_wrote_it(world: SinkWorld) -> None:
    guid = world.start(task("a", type="APPROVAL"))
    approval = {
        "rule": "ANY",
        "title": "May I?",
        "body": "",
        "options": ["APPROVED", "REJECTED"],
        "recipients": [{"name": "bob", "email": None}],
        "due_at": NOW + 60_000,
        "prevent_self_approval": True,
        "require_comment_on": [],
    }
    opened = result(guid, outcome=Outcome.WAITING, state={"approval": approval}, continue_at=NOW, continue_cause="TELL")
    world.handle(opened)
    name = f"{guid}/a/0/0/bob"
    item = world.named(types.ITEM, name)
    assert item is not None
    assert decode(item.attributes[types.ITEM_OPTIONS]) == ["APPROVED", "REJECTED"]
    decision = EntityWrite(
        type_name=types.ITEM, qualified_name=name, attributes={"name": "a", types.ITEM_ACTION: "APPROVED"}
    )
    world.write(decision, user="mallory")
    world.handle(Look(run_guid=guid, reason="item"))
    assert world.status(guid) == "PENDING"
    with_comment = {**decision.attributes, types.ITEM_COMMENT: "yes"}
    world.write(decision.model_copy(update={"attributes": with_comment}), user="bob")
    world.handle(Look(run_guid=guid, reason="item"))
    assert world.status(guid) == "SUCCESS"
    after = world.named(types.ITEM, name)
    assert after is not None
    assert after.attributes[types.ITEM_STATUS] == "DECIDED"


def workflow(world: SinkWorld, **attributes: object) -> str:
    spec = spec_of_tasks()
    given = {
        "name": "w",
        types.WORKFLOW_CONFIG: encode(spec).decode(),
        types.WORKFLOW_DIGEST: digest(spec),
        types.WORKFLOW_STATUS: "PUBLISHED",
        types.WORKFLOW_VERSION: 3,
        **attributes,
    }
    write = EntityWrite(type_name=types.WORKFLOW, qualified_name="blockline/workflows/w/v3", attributes=given)
    return world.write(write)[write.qualified_name]


def direct(world: SinkWorld, user: str, **attributes: object) -> str:
    write = EntityWrite(type_name=types.RUN, qualified_name="mine", attributes={"name": "mine", **attributes})
    return world.write(write, user=user)["mine"]


def test_a_run_made_straight_in_the_store_is_admitted(world: SinkWorld) -> None:
    guid = direct(world, "ann", workflowRunWorkflowGuid=workflow(world), workflowRunRequest='{"input":{"x":1}}')
    world.handle(Look(run_guid=guid, reason="admit"))
    run = world.document(guid)["run"]
    assert (run["requester"]["name"], run["requester"]["email"], run["input"]) == ("ann", "ann@example.org", {"x": 1})
    assert (run["workflow"]["name"], run["workflow"]["version"]) == ("w", 3)
    assert world.entity(guid).attributes[types.RUN_CREATED_BY] == "ann"
    world.handle(result(guid))
    assert world.status(guid) == "SUCCESS"


@pytest.mark.parametrize(
    ("user", "workflow_attributes", "attributes", "error"),
    [
        ("mallory", {}, {}, "Auth.Denied"),
        ("nobody", {}, {}, "Auth.Denied"),
        ("ann", {"workflowStatus": "DRAFT"}, {}, "Engine.BadSpec"),
        ("ann", {"workflowDigest": "other"}, {}, "Engine.BadSpec"),
        ("ann", {}, {"workflowRunWorkflowGuid": "unknown"}, "Engine.BadSpec"),
        ("ann", {}, {"workflowRunRequest": "no JSON"}, "Validation.Input"),
        ("ann", {}, {"workflowRunRequest": '{"requester":"admin"}'}, "Validation.Input"),
        ("ann", {}, {"workflowRunOnAssetGuid": "unknown"}, "Validation.Input"),
    ],
)
def test_a_run_that_isnt_admitted_says_why(
    world: SinkWorld,
    user: str,
    workflow_attributes: dict[str, object],
    attributes: dict[str, object],
    error: str,
) -> None:
    guid_of_workflow = workflow(world, **workflow_attributes)
    guid = direct(world, user, **{"workflowRunWorkflowGuid": guid_of_workflow, **attributes})
    assert world.handle(Look(run_guid=guid, reason="admit")) == [Ok()]
    assert world.status(guid) == "FAILURE"
    assert world.document(guid)["engine"]["error"]["name"] == error
