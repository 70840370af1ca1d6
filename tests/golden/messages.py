"""One message of each kind, every member set, and the sealed texts; recorded under ``messages/v1``."""

from typing import Final

from pipeline.messages.changes import AssetChange, AssetRef, Tag
from pipeline.messages.envelopes import (
    CommandInput,
    DeadLetter,
    Deferred,
    Dispatch,
    EntityWrite,
    ErrorInfo,
    Event,
    Look,
    Message,
    Operation,
    Outcome,
    OutputRef,
    Replay,
    Replayed,
    Requester,
    Result,
    Tick,
)
from pipeline.messages.seal import Seal, Sealed
from pipeline.messages.tagged import dead_letter

KEY: Final = b"0123456789abcdef0123456789abcdef"
GUID: Final = "7c1a0f6e-0000-4000-8000-000000000001"

_DISPATCH: Final = Dispatch(
    run_guid=GUID,
    run_name="blockline/runs/1",
    workflow="access",
    task='Ask the "owner"',
    title="Ask",
    type="APPROVAL",
    round=1,
    attempt=2,
    step=3,
    cause="TELL",
    arguments={"title": "Änderung", "list": [1, None, True, 1.5], "dueIn": "P3D", "nothing": None},
    state={"tell": ["bob"], "nothing": None},
    requester=Requester(name="ann", email="ann@example.org", groups=("analysts",)),
    asset={"guid": "asset-1", "typeName": "Table", "attributes": {"name": "orders"}},
    timeout_s=60.5,
    dispatched_at=1795439555000,
    valid_until=1795439585000,
    shard=3,
)
_RESULT: Final = Result(
    run_guid=GUID,
    task="notify",
    round=1,
    attempt=2,
    step=3,
    outcome=Outcome.SUCCEEDED,
    output={"sent": ["ann@example.org"], "nothing": None},
    entities=(
        EntityWrite(type_name="Table", qualified_name="db/orders", attributes={"name": "orders", "owner": None}),
    ),
    started_at=1795439555000,
    ended_at=1795439556000,
)

MESSAGES: Final[dict[str, Message]] = {
    "event-run": Event(
        entity="run",
        operation=Operation.CREATE,
        guid=GUID,
        run_guid=GUID,
        qualified_name="blockline/runs/1",
        request='{"v":1}',
        document='{"v":1}',
        at=1795439555000,
    ),
    "event-command": Event(
        entity="command",
        operation=Operation.CREATE,
        guid="c-guid",
        run_guid=GUID,
        qualified_name=f"{GUID}/c1",
        command='{"v":1}',
        at=1795439555000,
    ),
    "event-item": Event(entity="item", operation=Operation.UPDATE, guid="i-guid", at=1795439555000),
    "event-tick": Event(entity="run", operation=Operation.TICK, guid=GUID, run_guid=GUID, at=1795439555000),
    "dispatch": _DISPATCH,
    "dispatch-least": Dispatch(
        run_guid=GUID,
        run_name="blockline/runs/1",
        task="a",
        type="PASS",
        requester=Requester(name="ann"),
        dispatched_at=1,
        valid_until=2,
        shard=0,
    ),
    "dispatch-deferred": Dispatch(
        run_guid=GUID,
        run_name="blockline/runs/1",
        task="b",
        type="PASS",
        deferred=Deferred(
            arguments={"output": '{{ tasks["fetch"].output.n }}'},
            expressions={"condition": "condition"},
            scope={"run": {"input": {"n": None}}, "tasks": {"fetch": {"status": "SUCCESS"}}, "asset": None, "now": 1},
            outputs=(OutputRef(task="fetch", name=f"{GUID}/fetch/0/0123456789abcdef", sha256="0" * 64, bytes=5000),),
        ),
        requester=Requester(name="ann"),
        dispatched_at=1,
        valid_until=2,
        shard=0,
    ),
    "dispatch-secrets": Dispatch(
        run_guid=GUID,
        run_name="blockline/runs/1",
        task="c",
        type="HTTP",
        arguments={"headers": {"X-Key": {"$parts": ["Key ", {"$secret": "TICKETS_TOKEN"}]}}},
        secrets=("/headers/X-Key",),
        requester=Requester(name="ann"),
        dispatched_at=1,
        valid_until=2,
        shard=0,
    ),
    "result-succeeded": _RESULT,
    "result-changes": Result(
        run_guid=GUID,
        task="certify",
        outcome=Outcome.SUCCEEDED,
        output={"guid": "asset-1"},
        changes=(
            AssetChange(
                asset=AssetRef(guid="asset-1"),
                set={"certificateStatus": "VERIFIED", "rowCount": None},
                add={"ownerUsers": ["ann"]},
                remove={"ownerUsers": ["bob"]},
                custom={"team": "sales", "old": None},
                terms_add=("term-1",),
                terms_remove=("Revenue@Finance",),
                tags=(Tag(type_name="PII", attributes={"level": 3}, propagate=False), Tag(type_name="Confidential")),
                untag=("Public",),
                expect={"description": None},
            ),
            AssetChange(asset=AssetRef(type_name="Table", qualified_name="db/orders"), set={"owner": "ann"}),
        ),
        started_at=1,
        ended_at=2,
    ),
    "result-failed": Result(
        run_guid=GUID,
        task="notify",
        outcome=Outcome.FAILED,
        error=ErrorInfo(name="Http.429", message="too many", retry_after_s=2.5),
        started_at=1,
        ended_at=2,
    ),
    "result-waiting": Result(
        run_guid=GUID,
        task="ask",
        outcome=Outcome.WAITING,
        state={"approval": {"rule": "ANY", "due_at": 1795699555000}, "tell": ["bob"]},
        continue_at=1795439555000,
        continue_cause="TELL",
        started_at=1,
        ended_at=2,
    ),
    "result-extend": Result(run_guid=GUID, task="a", outcome=Outcome.EXTEND, started_at=1, ended_at=2),
    "look": Look(run_guid=GUID, reason="admit"),
    "tick": Tick(run_guid=GUID, at=1795439555000),
    "command": CommandInput(
        run_guid=GUID, command_guid="c-guid", qualified_name=f"{GUID}/c1", command='{"v":1,"signature":"v1:00"}'
    ),
    "dead-letter": dead_letter(
        b"\x00not json\xff", reason="not a result: Invalid JSON", vertex="atlas-0", at=1795439555000, run_guid=GUID
    ),
    "replay": Replay(
        letter="blockline/dead-letters/0123456789abcdef-7",
        vertex="cdc",
        run_guid=GUID,
        payload_base64="AP8=",
        source_offset="7",
        request='{"v":1}',
        asked_at=1795439555000,
        at=1795439556000,
    ),
    "replayed": Replayed(
        letter="blockline/dead-letters/0123456789abcdef-7",
        asked_at=1795439555000,
        is_refused=True,
        note="not JSON",
        at=1795439556000,
    ),
    "dead-letter-least": DeadLetter(
        reason="r", vertex="v", payload_base64="", payload_bytes=0, payload_sha256="e3b0", source_offset="0:17", at=1
    ),
}

SEALED: Final[dict[str, str]] = {
    kind.value: Seal(KEY).seal(kind, identity, {"v": 1, "text": "Änderung", "list": [1, None, {"b": 1, "a": 2}]})
    for kind, identity in (
        (Sealed.REQUEST, "blockline/runs/1"),
        (Sealed.DOCUMENT, GUID),
        (Sealed.COMMAND, f"{GUID}/c1"),
        (Sealed.REPLAY, "blockline/dead-letters/1"),
    )
}
