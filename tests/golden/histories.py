"""Runs as recorded inputs and the documents they led to: one JSON object a line, the request first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pipeline.core.errors import ErrorName
from pipeline.expressions.cel import CelEvaluator
from pipeline.machine.apply import apply
from pipeline.machine.dispatches import dispatches
from pipeline.machine.document import to_document
from pipeline.machine.effects import Effect, WriteEntity
from pipeline.machine.inputs import Command, Input, ItemDecision, Refused, Tick
from pipeline.machine.run import Run, parse_request
from pipeline.machine.start import start
from pipeline.messages.canonical import decode, encode
from pipeline.messages.envelopes import EntityWrite, ErrorInfo, Outcome, Result

GUID: Final = "7c1a0f6e-0000-4000-8000-000000000001"
NAME: Final = "blockline/runs/1"
T0: Final = 1795439555000
DUE_AT: Final = T0 + 3 * 24 * 60 * 60 * 1000
ITEM: Final = f"{GUID}/ask/0/0/sam"


@dataclass(frozen=True)
class Step:
    """What arrived together, and when."""

    now: int
    inputs: tuple[Input, ...]


@dataclass(frozen=True)
class History:
    request: dict[str, Any]
    steps: tuple[Step, ...]


def _request(*owners: str) -> dict[str, Any]:
    mail = {
        "title": "About {{ asset.attributes.name }}",
        "description": '{{ tasks["ask"].output.comment | default: "" }}',
    }
    to = {"recipient": "{{ run.requester.email }}"}
    tasks = [
        {
            "name": "auto",
            "type": "CONDITION",
            "arguments": [{"expression": "run.requester.name in asset.attributes.ownerUsers"}],
        },
        {
            "name": "ask",
            "type": "APPROVAL",
            "depends": "auto.FAILURE",
            "arguments": [{"title": "Change {{ asset.attributes.name }}"}, {"dueIn": "P3D"}],
        },
        {
            "name": "approved",
            "type": "NOTIFICATION",
            "depends": "auto.SUCCESS || ask.SUCCESS",
            "endStatus": "APPROVED",
            "arguments": [to, {"payload": mail}],
        },
        {
            "name": "rejected",
            "type": "NOTIFICATION",
            "depends": "ask.FAILED_ANY",
            "endStatus": "REJECTED",
            "arguments": [to, {"payload": mail}],
        },
    ]
    retry = [{"errorEquals": ["Mail.Connection"], "intervalSeconds": 10, "maxAttempts": 3, "jitterStrategy": "FULL"}]
    return {
        "v": 1,
        "spec": {
            "dag": {"entrypoint": "auto", "exitpoints": ["approved", "rejected"], "tasks": tasks},
            "labels": {"team": "data"},
        },
        "input": {"why": "audit"},
        "requester": {"name": "ann", "email": "ann@example.org", "groups": ["analysts"]},
        "asset": {
            "guid": "asset-1",
            "typeName": "Table",
            "attributes": {"name": "orders", "qualifiedName": "db/orders", "ownerUsers": list(owners)},
            "classifications": ["PII"],
        },
        "workflow": {"guid": "w-1", "name": "access", "version": 2, "digest": "d", "owner": "olga"},
        "comment": "please",
        "created_at": T0,
        "blocks": {
            "NOTIFICATION": {"lease_ms": 45_000, "timeout_s": 30, "retry": retry},
            "APPROVAL": {"lease_ms": 30_000, "timeout_s": None, "retry": []},
        },
    }


def _large_request() -> dict[str, Any]:
    """What ``fetch`` gives is too large for the document: a condition reads it at once, a task's argument later."""
    tasks = [
        {"name": "fetch", "type": "PASS", "arguments": []},
        {
            "name": "is-seven",
            "type": "CONDITION",
            "depends": "fetch",
            "arguments": [{"expression": 'tasks["fetch"].output.n == 7'}],
        },
        {
            "name": "use",
            "type": "PASS",
            "depends": '"is-seven".SUCCESS',
            "arguments": [{"output": '{{ tasks["fetch"].output.n }}'}],
        },
    ]
    return _request("ann") | {"spec": {"dag": {"entrypoint": "fetch", "exitpoints": ["use"], "tasks": tasks}}}


def _result(task: str, outcome: Outcome, at: int, **members: Any) -> Result:
    return Result(run_guid=GUID, task=task, outcome=outcome, started_at=at - 20, ended_at=at - 10, **members)


def _opens(at: int) -> Result:
    people = [{"name": "sam", "email": "sam@example.org"}, {"name": "sue", "email": None}]
    approval = {
        "rule": "ANY",
        "title": "Change orders",
        "body": "",
        "options": ["APPROVED", "REJECTED"],
        "recipients": people,
        "due_at": DUE_AT,
        "prevent_self_approval": True,
        "require_comment_on": ["REJECTED"],
    }
    state = {"approval": approval, "tell": ["sam", "sue"]}
    return _result("ask", Outcome.WAITING, at, state=state, continue_at=at - 10, continue_cause="TELL")


def _told(at: int) -> Result:
    return _result("ask", Outcome.WAITING, at, step=1, state={"tell": []})


def _command(number: int, action: str, by: str, role: str, at: int, **members: Any) -> Command:
    body = {
        "v": 1,
        "id": f"c{number}",
        "action": action,
        "task": None,
        "arguments": {},
        "by": by,
        "as": role,
        "at": at,
        "comment": None,
        **members,
    }
    return Command(f"command-{number}", f"{GUID}/c{number}", body)


def _decides(number: int, by: str, action: str, at: int, comment: str | None = None) -> Command:
    arguments = {"action": action, "item": f"{GUID}/ask/0/0/{by}"}
    return _command(number, "decide", by, "recipient", at, task="ask", arguments=arguments, comment=comment)


def _mailed(task: str, at: int, **members: Any) -> Result:
    entity = EntityWrite(type_name="Table", qualified_name="db/orders", attributes={"name": "orders"})
    return _result(task, Outcome.SUCCEEDED, at, output={"sent": ["ann@example.org"]}, entities=(entity,), **members)


def _asked(*after: Step) -> History:
    opening = (Step(T0 + 100, (_opens(T0 + 100),)), Step(T0 + 200, (_told(T0 + 200), _opens(T0 + 100))))
    return History(_request("olga"), (*opening, *after))


_NO_MAIL: Final = ErrorInfo(name="Mail.Connection", message="the mail server doesn't answer")
_EXPIRES_AT: Final = DUE_AT + 7_000

HISTORIES: Final[dict[str, History]] = {
    "auto-approved": History(_request("ann"), (Step(T0 + 300, (_mailed("approved", T0 + 300),)),)),
    "approved-on-the-second-mail": _asked(
        Step(
            T0 + 5000,
            (_decides(1, "sam", "APPROVED", T0 + 4900, "go ahead"), _decides(2, "sue", "REJECTED", T0 + 4950)),
        ),
        Step(T0 + 6000, (_result("approved", Outcome.FAILED, T0 + 6000, error=_NO_MAIL),)),
        Step(T0 + 40_000, (Tick(T0 + 40_000),)),
        Step(T0 + 50_000, (_result("approved", Outcome.EXTEND, T0 + 50_000, attempt=2),)),
        Step(T0 + 60_000, (_mailed("approved", T0 + 60_000, attempt=2),)),
        Step(T0 + 61_000, (_mailed("approved", T0 + 61_000),)),
    ),
    "rejected-on-the-item": _asked(
        Step(T0 + 5000, (ItemDecision(ITEM, "REJECTED", "sam", T0 + 4900, "not for audits"),)),
        Step(T0 + 6000, (_mailed("rejected", T0 + 6000),)),
    ),
    "expired": _asked(
        Step(_EXPIRES_AT - 1, (Tick(_EXPIRES_AT - 1),)),
        Step(_EXPIRES_AT, (_decides(1, "sam", "APPROVED", DUE_AT + 1), Tick(_EXPIRES_AT))),
        Step(_EXPIRES_AT + 100_000, (Tick(_EXPIRES_AT + 100_000),)),
        Step(_EXPIRES_AT + 100_500, (_mailed("rejected", _EXPIRES_AT + 100_500),)),
    ),
    "withdrawn": _asked(
        Step(T0 + 5000, (_command(1, "withdraw", "ann", "requester", T0 + 4900, comment="changed my mind"),)),
        Step(T0 + 6000, (_decides(2, "sam", "APPROVED", T0 + 5900),)),
    ),
    "a-large-output": History(
        _large_request(),
        (
            Step(T0 + 300, (_result("fetch", Outcome.SUCCEEDED, T0 + 300, output={"n": 7, "text": "x" * 5000}),)),
            Step(T0 + 400, (_result("use", Outcome.SUCCEEDED, T0 + 400, output=7),)),
        ),
    ),
    "refused-by-the-store": History(
        _request("ann"),
        (Step(T0 + 300, (_mailed("approved", T0 + 300), Refused("approved", "The store has no type Table."))),),
    ),
}


def lines_of(history: History) -> bytes:
    """The file of a history: its request, then for each step the time, the inputs and what they led to."""
    evaluator = CelEvaluator()
    run = start(parse_request(history.request, NAME), GUID, evaluator).run
    lines = [{"request": history.request, **_after(run, ())}]
    for step in history.steps:
        made = apply(run, step.inputs, now_ms=step.now, evaluator=evaluator)
        run = made.run
        inputs = [_input_json(entry) for entry in step.inputs]
        lines.append({"now": step.now, "inputs": inputs, **_after(run, made.effects)})
    return b"".join(encode(line) + b"\n" for line in lines)


def history_of(recorded: bytes) -> History:
    """The request and the inputs of a recorded file."""
    first, *rest = (decode(line) for line in recorded.splitlines())
    steps = (Step(line["now"], tuple(_input_of(entry) for entry in line["inputs"])) for line in rest)
    return History(first["request"], tuple(steps))


def _after(run: Run, effects: Sequence[Effect]) -> dict[str, Any]:
    sent = dispatches(run, evaluator=CelEvaluator(), shards=4)
    return {
        "document": to_document(run),
        "effects": [{"effect": type(effect).__name__, **_effect_json(effect)} for effect in effects],
        "dispatches": [message.model_dump(mode="json", exclude_none=True) for message in sent],
    }


def _effect_json(effect: Effect) -> dict[str, Any]:
    if isinstance(effect, WriteEntity):
        return {"task": effect.task, "entity": effect.entity.model_dump(mode="json", exclude_none=True)}
    return {name: value for name, value in asdict(effect).items() if value is not None}


def _input_json(entry: Input) -> dict[str, Any]:
    if isinstance(entry, Result):
        return {"Result": entry.model_dump(mode="json", exclude_none=True)}
    body = asdict(entry)
    if body.get("name") == ErrorName.METADATA_REFUSED:
        del body["name"]  # came later; this is what its absence meant
    if body.get("groups", ...) is None:
        del body["groups"]  # came with groups whose members nobody knows: what was recorded before has none
    return {type(entry).__name__: body}


_TYPES: Final[dict[str, type[Command | ItemDecision | Refused | Tick]]] = {
    "Command": Command,
    "ItemDecision": ItemDecision,
    "Refused": Refused,
    "Tick": Tick,
}


def _input_of(body: Mapping[str, Any]) -> Input:
    ((kind, members),) = body.items()
    if kind == "Result":
        return Result.model_validate_json(encode(members))
    return _TYPES[kind](**members)
