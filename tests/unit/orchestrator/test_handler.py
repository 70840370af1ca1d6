from typing import Any

import pytest

from pipeline.core.ids import shard_of
from pipeline.core.limits import DISPATCH_LEASE_MS, RESULT_BYTES_MAX
from pipeline.machine.document import to_document
from pipeline.machine.run import Run, parse_request
from pipeline.machine.start import start
from pipeline.messages.canonical import decode
from pipeline.messages.envelopes import Event, Operation, Requester
from pipeline.messages.seal import Seal, Sealed
from pipeline.store.starting import request_body
from pipeline.testing.fake_evaluator import FakeEvaluator
from udfs.orchestrator.handler import OrchestratorHandler

SEAL = Seal(b"a key of thirty-two bytes or more")
NOW = 1_800_000_000_000
GUID = "guid-1"
NAME = "blockline/runs/1"
SHARDS = 4
SHARD = f"shard-{shard_of(GUID, SHARDS)}"
HANDLER = OrchestratorHandler(SEAL, FakeEvaluator(), known_types={"PASS"}, shards=SHARDS)


def body(*tasks: dict[str, Any]) -> dict[str, Any]:
    tasks = tasks or ({"name": "a", "type": "PASS", "arguments": [{"output": "x"}]},)
    spec = {"dag": {"entrypoint": tasks[0]["name"], "exitpoints": [tasks[-1]["name"]], "tasks": list(tasks)}}
    return request_body(
        spec=spec,
        input={},
        requester=Requester(name="ann"),
        asset=None,
        workflow=None,
        comment=None,
        created_at=NOW,
        blocks={},
    )


def started(*tasks: dict[str, Any]) -> Run:
    return start(parse_request(body(*tasks), NAME), GUID, FakeEvaluator()).run


def created(*tasks: dict[str, Any]) -> Event:
    return run_event(operation=Operation.CREATE, request=SEAL.seal(Sealed.REQUEST, NAME, body(*tasks)))


def run_event(**parts: Any) -> Event:
    fixed = {"entity": "run", "operation": Operation.UPDATE, "guid": GUID, "run_guid": GUID, "at": NOW}
    return Event(**{**fixed, "qualified_name": NAME, **parts})


def sent(event: Event, now_ms: int = NOW) -> list[tuple[str, dict[str, Any]]]:
    return [(tagged.tag, decode(tagged.payload)) for tagged in HANDLER.handle(event.encode(), now_ms)]


def test_a_create_event_dispatches_the_roots() -> None:
    [(tag, dispatch)] = sent(created())
    assert tag == "type-PASS"
    assert (dispatch["kind"], dispatch["task"], dispatch["arguments"]) == ("dispatch", "a", {"output": "x"})
    assert dispatch["dispatched_at"] == NOW


def test_the_same_event_gives_the_same_bytes() -> None:
    event = created().encode()
    assert HANDLER.handle(event, NOW) == HANDLER.handle(event, NOW + 5_000)


def test_what_is_past_its_time_is_dropped() -> None:
    assert sent(created(), NOW + DISPATCH_LEASE_MS + 1) == []


def test_a_start_that_dispatches_nothing_is_looked_at() -> None:
    condition = {"name": "a", "type": "CONDITION", "arguments": [{"expression": "true"}]}
    assert [(tag, look["reason"]) for tag, look in sent(created(condition))] == [(SHARD, "start")]


def test_a_document_dispatches_what_its_revision_started() -> None:
    document = SEAL.seal(Sealed.DOCUMENT, GUID, to_document(started()))
    assert [tag for tag, _ in sent(run_event(document=document))] == ["type-PASS"]


@pytest.mark.parametrize("status", ["SUCCESS", "TERMINATED"])
def test_a_run_that_is_over_dispatches_nothing(status: str) -> None:
    document = to_document(started())
    document["engine"]["status"] = status
    assert sent(run_event(document=SEAL.seal(Sealed.DOCUMENT, GUID, document))) == []


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (run_event(operation=Operation.CREATE), "admit"),
        (run_event(operation=Operation.CREATE, request='{"input":{}}'), "admit"),
        (run_event(operation=Operation.CREATE, request='{"v":1,"signature":"v1:00"}'), "tampered"),
        (run_event(document='{"v":1}'), "tampered"),
        (run_event(document="not JSON"), "tampered"),
        (run_event(), "event"),
        (run_event(request=SEAL.seal(Sealed.REQUEST, NAME, body())), "event"),
        (run_event(operation=Operation.DELETE), "event"),
        (run_event(entity="item", guid="i"), "item"),
    ],
)
def test_what_only_the_shard_can_judge_is_looked_at(event: Event, reason: str) -> None:
    assert sent(event) == [(SHARD, {"kind": "look", "reason": reason, "run_guid": GUID, "v": 1})]


def test_a_document_of_another_run_doesnt_count() -> None:
    other = SEAL.seal(Sealed.DOCUMENT, "guid-2", to_document(started()))
    assert [look["reason"] for _, look in sent(run_event(document=other))] == ["tampered"]


def test_commands_ticks_and_silence() -> None:
    command = run_event(entity="command", guid="c", operation=Operation.CREATE, qualified_name=f"{GUID}/x", command="t")
    assert [(tag, message["kind"]) for tag, message in sent(command)] == [(SHARD, "command")]
    assert [message["at"] for _, message in sent(run_event(operation=Operation.TICK))] == [NOW]
    assert sent(run_event(entity="command", guid="c")) == [], "the shard's own verdict"
    assert sent(run_event(entity="item", guid="i", operation=Operation.CREATE)) == []
    assert sent(run_event(entity="item", guid="i", run_guid="")) == []


def test_a_type_without_a_vertex_fails_its_task() -> None:
    [(tag, result)] = sent(created({"name": "a", "type": "JIRA", "arguments": []}))
    assert (tag, result["outcome"], result["error"]["name"]) == (SHARD, "FAILED", "Engine.NoRunner")


def test_a_dispatch_over_the_limit_of_a_message_fails_its_task() -> None:
    big = {"name": "a", "type": "PASS", "arguments": [{"output": "x" * RESULT_BYTES_MAX}]}
    document = to_document(started())
    document["dag"]["tasks"][0]["arguments"] = big["arguments"]
    document["engine"]["spec_digest"] = "another"
    [(tag, result)] = sent(run_event(document=SEAL.seal(Sealed.DOCUMENT, GUID, document)))
    assert (tag, result["error"]["name"]) == (SHARD, "Engine.TooLarge")


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b'{"kind":"event"}', b"[]", b"null"])
def test_garbage_is_a_dead_letter(payload: bytes) -> None:
    [tagged] = HANDLER.handle(payload, NOW)
    letter = decode(tagged.payload)
    assert (tagged.tag, letter["vertex"], letter["payload_bytes"]) == ("dead", "orchestrator", len(payload))
    assert letter["reason"]


def test_a_document_nobody_can_read_is_a_dead_letter_and_fails_the_tasks_it_started() -> None:
    document = to_document(started())
    document["dag"]["tasks"][0]["depends"] = "(("
    document["engine"]["spec_digest"] = "yet another"
    letter, result = sent(run_event(document=SEAL.seal(Sealed.DOCUMENT, GUID, document)))
    assert (letter[0], letter[1]["run_guid"]) == ("dead", GUID)
    assert "Traceback" not in letter[1]["reason"]
    assert (result[0], result[1]["task"], result[1]["error"]["name"]) == (SHARD, "a", "Engine.Internal")
