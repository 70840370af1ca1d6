"""A run as the store keeps it: the normalised spec with each task's state beside it, plus ``run`` and ``engine``.

``from_document`` after ``to_document`` is the identity. Members without a value are left out.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from pydantic import ValidationError

from pipeline.core.statuses import RunPhase, RunStatus, TaskStatus
from pipeline.machine.run import Request, Run, StoredOutput, TaskError, TaskState, spec_by_digest
from pipeline.messages.canonical import MalformedError, encode
from pipeline.messages.envelopes import Requester
from pipeline.spec.depends import DependsError
from pipeline.spec.model import digest, without_engine

VERSION: Final = 1

_OPTIONAL: Final = (
    "dispatched_revision",
    "dispatched_at",
    "lease_until",
    "first_dispatched_at",
    "due_at",
    "continue_at",
    "cause",
    "state",
    "approval",
    "waited",
)
"""Members of a task's ``engine`` that are left out when they are ``None``."""
_PLAIN: Final = frozenset(field.name for field in fields(TaskState)) - {
    "status",
    "stored",
    "error",
    "retries",
    "applied",
    "late",
}
"""Members of a task's state that stand in the document as they are."""


def to_document(run: Run) -> dict[str, Any]:
    """The document of a run, unsigned: JSON values, shared with the run; don't change them."""
    source = run.spec.source
    dag = source["dag"]
    states = run.tasks
    tasks = [{**task, **_task_body(states[task["name"]])} for task in dag["tasks"]]
    request = run.request
    return {
        **source,
        "v": VERSION,
        "dag": {**dag, "tasks": tasks},
        "run": {
            "input": request.input,
            "requester": {
                "name": request.requester.name,
                "email": request.requester.email,
                "groups": list(request.requester.groups),
            },
            "asset": request.asset,
            "workflow": request.workflow,
            "comment": request.comment,
            "created_at": request.created_at,
            "name": request.name,
        },
        "engine": _engine_body(run),
    }


def document_bytes(run: Run) -> int:
    """The size of a run's document without its signature."""
    return len(encode(to_document(run)))


def grown_bytes(before: Run, after: Run) -> int:
    """By how much the document grew between two revisions of a run, counted from what changed alone."""
    grown = len(encode(_engine_body(after))) - len(encode(_engine_body(before)))
    for name, state in after.tasks.items():
        old = before.tasks[name]
        if state is not old:
            grown += len(encode(_task_body(state))) - len(encode(_task_body(old)))
    return grown


def _engine_body(run: Run) -> dict[str, Any]:
    body: dict[str, Any] = {
        "revision": run.revision,
        "status": run.status.value,
        "phase": run.phase.value,
        "run_round": run.run_round,
        "updated_at": run.updated_at,
        "wake_at": run.wake_at,
        "spec_digest": run.request.spec_digest,
        "blocks": run.request.blocks,
    }
    if run.outcome is not None:
        body["outcome"] = run.outcome
    if run.error is not None:
        body["error"] = run.error.as_json()
    if run.ended_at is not None:
        body["ended_at"] = run.ended_at
    if run.paused is not None:
        body["paused"] = run.paused
    if run.actions:
        body["actions"] = list(run.actions)
    if run.ended_by is not None:
        body["ended_by"] = run.ended_by
    if run.refusals:
        body["refusals"] = list(run.refusals)
    return body


def _task_body(state: TaskState) -> dict[str, Any]:
    body: dict[str, Any] = {
        "status": state.status.value,
        "updated_at": state.updated_at,
        "attempt": state.attempt,
        "round": state.round,
        "engine": _task_engine(state),
    }
    if state.output is not None:
        body["output"] = state.output
    if state.error is not None:
        body["error"] = state.error.as_json()
    if state.started_at is not None:
        body["started_at"] = state.started_at
    if state.ended_at is not None:
        body["ended_at"] = state.ended_at
    return body


def _task_engine(state: TaskState) -> dict[str, Any]:
    engine: dict[str, Any] = {"step": state.step}
    if state.attempt:  # else it was never begun: nothing of what follows is set
        engine["dispatches"] = state.dispatches
        for name in _OPTIONAL:
            value = getattr(state, name)
            if value is not None:
                engine[name] = value
        for name in ("retries", "applied"):
            value = getattr(state, name)
            if value:
                engine[name] = list(value)
        if state.stored is not None:
            engine["stored"] = state.stored.as_json()
    if state.late:
        engine["late"] = list(state.late)
    return engine


def from_document(body: Mapping[str, Any], run_guid: str) -> Run:
    """The run of an opened document; ``body`` is kept and must not be changed.

    Raises:
        MalformedError: it isn't a document of version 1.
    """
    try:
        if body["v"] != VERSION:
            raise MalformedError(f"not a run's document: version {body['v']!r} isn't known here")
        return _run_of(body, run_guid)
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError, DependsError) as error:
        raise MalformedError(f"not a run's document: {type(error).__name__} while it was read") from error


def _run_of(body: Mapping[str, Any], run_guid: str) -> Run:
    engine = body["engine"]
    asked = body["run"]
    spec_digest = engine.get("spec_digest") or digest(without_engine(body))
    request = Request(
        name=asked["name"],
        spec=spec_by_digest(spec_digest, body),
        spec_digest=spec_digest,
        requester=Requester.model_validate(asked["requester"]),
        created_at=asked["created_at"],
        input=asked.get("input") or {},
        asset=asked.get("asset"),
        workflow=asked.get("workflow"),
        comment=asked.get("comment"),
        blocks=engine.get("blocks") or {},
    )
    return Run(
        guid=run_guid,
        request=request,
        tasks={task["name"]: _task_of(task) for task in body["dag"]["tasks"]},
        revision=engine["revision"],
        status=RunStatus(engine["status"]),
        phase=RunPhase(engine["phase"]),
        run_round=engine["run_round"],
        outcome=engine.get("outcome"),
        error=_error_of(engine.get("error")),
        updated_at=engine["updated_at"],
        ended_at=engine.get("ended_at"),
        wake_at=engine["wake_at"],
        paused=engine.get("paused"),
        actions=tuple(engine.get("actions", ())),
        ended_by=engine.get("ended_by"),
        refusals=tuple(engine.get("refusals", ())),
    )


def _task_of(task: Mapping[str, Any]) -> TaskState:
    engine = task["engine"]
    members: dict[str, Any] = {name: engine[name] for name in engine if name in _PLAIN}
    return TaskState(
        status=TaskStatus(task["status"]),
        updated_at=task["updated_at"],
        attempt=task["attempt"],
        round=task["round"],
        output=task.get("output"),
        stored=_stored_of(engine.get("stored")),
        error=_error_of(task.get("error")),
        started_at=task.get("started_at"),
        ended_at=task.get("ended_at"),
        retries=tuple(engine.get("retries", ())),
        applied=tuple(engine.get("applied", ())),
        late=tuple(engine.get("late", ())),
        **members,
    )


def _stored_of(body: Mapping[str, Any] | None) -> StoredOutput | None:
    return None if body is None else StoredOutput(body["sha256"], body["bytes"])


def _error_of(body: Mapping[str, str] | None) -> TaskError | None:
    return None if body is None else TaskError(body["name"], body.get("message", ""))
