"""Short words for specs, runs and what happens to them; every step checks what must hold after any transition."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.core.ids import EffectKey, item_name
from pipeline.core.statuses import RunPhase, TaskStatus
from pipeline.expressions.cel import CelEvaluator
from pipeline.machine.apply import apply
from pipeline.machine.dispatches import dispatches
from pipeline.machine.document import from_document, to_document
from pipeline.machine.effects import Effect, Transition
from pipeline.machine.inputs import Command, Input, Tick
from pipeline.machine.run import Request, Run, TaskState, parse_request
from pipeline.machine.start import start
from pipeline.messages.canonical import decode, encode
from pipeline.messages.envelopes import Dispatch, ErrorInfo, Outcome, Result
from pipeline.spec.depends import names, parse
from pipeline.spec.expressions import Evaluator

GUID: Final = "7c1a0f6e-0000-4000-8000-000000000001"
CREATED_AT: Final = 1_795_439_555_000
EVALUATOR: Final = CelEvaluator()
HOUR_MS: Final = 60 * 60 * 1000


def task(name: str, depends: str = "", /, type: str = "PASS", **members: Any) -> dict[str, Any]:  # noqa: A002
    body: dict[str, Any] = {"name": name, "type": type, **members}
    if depends:
        body["depends"] = depends
    body.setdefault("arguments", [])
    return body


def condition(name: str, expression: str, depends: str = "", **members: Any) -> dict[str, Any]:
    return task(name, depends, type="CONDITION", arguments=[{"expression": expression}], **members)


def request(*tasks: Mapping[str, Any], exitpoints: Sequence[str] | None = None, **members: Any) -> Request:
    needed = {name for body in tasks for name in names(parse(body.get("depends", "")))}
    leaves = [body["name"] for body in tasks if body["name"] not in needed]
    spec = {
        "dag": {
            "entrypoint": tasks[0]["name"],
            "exitpoints": list(leaves if exitpoints is None else exitpoints),
            "tasks": [dict(body) for body in tasks],
        }
    }
    body = {
        "v": 1,
        "spec": spec,
        "input": {"amount": 3},
        "requester": {"name": "ann", "email": "ann@example.org", "groups": ["analysts"]},
        "asset": {
            "guid": "asset-1",
            "typeName": "Table",
            "attributes": {"name": "orders", "qualifiedName": "db/orders", "description": "all of them"},
            "classifications": [],
        },
        "workflow": None,
        "comment": None,
        "created_at": CREATED_AT,
        "blocks": {},
        **members,
    }
    return parse_request(body, "blockline/runs/1")


def approval(*names: str, due_at: int = CREATED_AT + HOUR_MS, **members: Any) -> dict[str, Any]:
    """The state with which the block asks."""
    asked = {
        "rule": "ANY",
        "title": "Change orders",
        "body": "Please look.",
        "options": ["APPROVED", "REJECTED"],
        "recipients": [{"name": name, "email": f"{name}@example.org"} for name in names],
        "due_at": due_at,
        "prevent_self_approval": True,
        "require_comment_on": ["REJECTED"],
        **members,
    }
    return {"approval": asked, "tell": list(names)}


class Story:
    """One run and its time; ``now`` is set by the test."""

    def __init__(self, asked: Request, evaluator: Evaluator = EVALUATOR) -> None:
        self.evaluator = evaluator
        self.now = CREATED_AT
        self.effects: tuple[Effect, ...] = ()
        self.run = start(asked, GUID, evaluator).run
        check_document(self.run)

    def apply(self, *inputs: Input) -> Transition:
        before = self.run
        made = apply(before, inputs, now_ms=self.now, evaluator=self.evaluator)
        check_step(before, made, self.now)
        again = apply(made.run, inputs, now_ms=self.now, evaluator=self.evaluator)
        assert not again.is_changed, "the same inputs again change nothing"
        assert again.run is made.run
        self.run = made.run
        self.effects = made.effects
        return made

    def wait(self, milliseconds: int) -> Transition:
        self.now += milliseconds
        return self.apply(Tick(self.now))

    def sent(self) -> list[Dispatch | Result]:
        return dispatches(self.run, evaluator=self.evaluator, shards=4)

    def state(self, name: str) -> TaskState:
        return self.run.tasks[name]

    def statuses(self) -> dict[str, str]:
        return {name: state.status.value for name, state in self.run.tasks.items()}

    def result(self, name: str, outcome: Outcome, **members: Any) -> Result:
        """A result of the task's current dispatch, unless ``members`` say otherwise."""
        state = self.state(name)
        members.setdefault("round", state.round)
        members.setdefault("attempt", max(state.attempt, 1))
        members.setdefault("step", state.step)
        members.setdefault("started_at", self.now - 2)
        members.setdefault("ended_at", self.now - 1)
        return Result(run_guid=GUID, task=name, outcome=outcome, **members)

    def succeed(self, name: str, output: Any = None, **members: Any) -> Transition:
        return self.apply(self.result(name, Outcome.SUCCEEDED, output=output, **members))

    def fail(self, name: str, error: str = "Task.Failed", message: str = "it broke", **members: Any) -> Transition:
        retry_after_s = members.pop("retry_after_s", None)
        info = ErrorInfo(name=error, message=message, retry_after_s=retry_after_s)
        return self.apply(self.result(name, Outcome.FAILED, error=info, **members))

    def hold(self, name: str, state: Mapping[str, Any] | None = None, **members: Any) -> Transition:
        return self.apply(self.result(name, Outcome.WAITING, state=state, **members))

    def ask(self, name: str, *names: str, **members: Any) -> Transition:
        """The block opens its question and goes on to tell."""
        asked = approval(*names, **members)
        return self.hold(name, asked, continue_at=self.now, continue_cause="TELL")

    def command(self, action: str, by: str, role: str = "requester", *, id: str = "c1", **members: Any) -> Command:  # noqa: A002
        body = {
            "v": 1,
            "id": id,
            "action": action,
            "task": None,
            "arguments": {},
            "by": by,
            "as": role,
            "at": self.now,
            "comment": None,
            **members,
        }
        return Command(f"guid-of-{id}", f"{GUID}/{id}", body)

    def decision(self, name: str, by: str, action: str = "APPROVED", *, id: str = "c1", **members: Any) -> Command:  # noqa: A002
        item = item_name(EffectKey(GUID, name, 0, 0), by)
        members.setdefault("arguments", {"action": action, "item": item})
        return self.command("decide", by, "recipient", id=id, task=name, **members)


def check_step(before: Run, made: Transition, now_ms: int) -> None:
    """What must hold after every transition, whatever happened."""
    after = made.run
    assert after.revision == before.revision + (1 if made.is_changed else 0)
    if not made.is_changed:
        assert after is before
    for name, state in before.tasks.items():
        if state.is_over:
            assert after.tasks[name].status is state.status, f"{name} left {state.status}"
    if before.is_over:
        assert after.status is before.status
    if after.is_over:
        assert after.wake_at == 0
        assert all(state.is_over for state in after.tasks.values())
    elif made.is_changed:
        assert now_ms < after.wake_at <= now_ms + HOUR_MS
        is_under_way = any(
            not state.is_over and state.status is not TaskStatus.PENDING for state in after.tasks.values()
        )
        assert is_under_way or after.phase is RunPhase.PAUSED
    check_document(after)


def check_document(run: Run) -> None:
    """The document says all of the run, and is JSON."""
    assert from_document(decode(encode(to_document(run))), run.guid) == run
