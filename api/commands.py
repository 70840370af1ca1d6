"""What people ask of a run: a signed entity, then the verdict of the run's shard."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field
from starlette.responses import Response

from api import shapes
from api.bodies import Body
from api.counting import WAITERS
from api.paging import Page, offset_of, paged, rfc3339
from api.problems import ApiError, not_found
from api.route import Call, Route, reply
from api.run_documents import KnownRun
from api.run_views import may_act, seen
from api.services import Services
from pipeline.core.errors import BlocklineError
from pipeline.core.ids import command_name
from pipeline.core.limits import COMMAND_WAIT_S, COMMENT_CHARS_MAX
from pipeline.core.statuses import CommandStatus
from pipeline.messages.envelopes import EntityWrite
from pipeline.messages.seal import Sealed
from pipeline.store import types
from pipeline.store.port import Entity, Filter, Query
from pipeline.telemetry.traces import TRACEPARENT

KEY_CHARS_MAX: Final = 255
_NO_TASKS: Final[Mapping[str, Any]] = {"dag": {"tasks": ()}}


class ActionBody(Body):
    """Why."""

    comment: str | None = Field(default=None, max_length=COMMENT_CHARS_MAX)


class ResolveBody(ActionBody):
    """How an incident goes on, and why."""

    outcome: Literal["RETRY", "FAIL"]


async def withdraw(call: Call) -> Response:
    """The requester takes their run back."""
    run = await seen(call.services, call.caller, call.path("guid"))
    if run.requester != call.caller.name:
        raise ApiError("forbidden", "Only who started a run may withdraw it; its author may cancel it.")
    return await _act(call, run, "withdraw", "requester")


async def cancel(call: Call) -> Response:
    """The author or an administrator ends the run."""
    return await _as_owner(call, "cancel")


async def terminate(call: Call) -> Response:
    """As cancel, and nothing more runs."""
    return await _as_owner(call, "terminate")


async def pause(call: Call) -> Response:
    """Nothing new is sent to runners until somebody resumes the run."""
    return await _as_owner(call, "pause")


async def resume(call: Call) -> Response:
    """What was held up goes on."""
    return await _as_owner(call, "resume")


async def skip(call: Call) -> Response:
    """A task is SKIPPED, and what follows sees that."""
    return await _as_owner(call, "skip", call.path("name"))


async def resolve(call: Call) -> Response:
    """An incident is tried again, or ends the task."""
    return await _as_owner(call, "resolve", call.path("name"), {"outcome": call.body.outcome})


async def _as_owner(
    call: Call, action: str, task: str | None = None, arguments: Mapping[str, Any] | None = None
) -> Response:
    run = await seen(call.services, call.caller, call.path("guid"))
    acting_as = may_act(call.caller, run)
    if acting_as is None:
        what = "a run" if task is None else "a task of a run"
        raise ApiError("forbidden", f"Only the workflow's author or an administrator may {action} {what}.")
    if task is not None and not any(one["name"] == task for one in (run.document or _NO_TASKS)["dag"]["tasks"]):
        raise not_found("task of this run")
    return await _act(call, run, action, acting_as, task, arguments)


async def _act(  # noqa: PLR0917  (one call more, above)
    call: Call,
    run: KnownRun,
    action: str,
    acting_as: str,
    task: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Response:
    body: ActionBody = call.body
    asked: dict[str, Any] = {
        "action": action,
        "task": task,
        "arguments": arguments or {},
        "by": call.caller.name,
        "as": acting_as,
        "comment": body.comment,
    }
    return await ask(call, run.guid, asked, is_over=run.is_over)


def told(call: Call, run_guid: str, action: str, began_at: int, *, key: str) -> None:
    """What was written stands in the run's trace, if there is one. ``key`` tells it from others of its kind."""
    traces = call.services.traces
    if traces is not None:
        traces.asked(run_guid, action, began_at, key=key, header=call.request.headers.get(TRACEPARENT))


async def ask(call: Call, run_guid: str, asked: Mapping[str, Any], *, is_over: bool) -> Response:
    """Write the command and wait for its verdict: 200, 409 or 202.

    The same Idempotency-Key gives the same command again; ``is_over`` refuses a new one at once.
    """
    services = call.services
    key = idempotency_key(call)
    command_id = services.new_id() if key is None else _derived(key, asked["by"], run_guid)
    name = command_name(run_guid, command_id)
    with services.hub.watch(run_guid) as watch:
        async with services.locks.hold(f"command {name}"):
            existing = None if key is None else await services.store.get_by_name(types.COMMAND, name)
            if existing is None:
                if is_over:
                    raise ApiError("conflict", "This run has ended already.")
                began_at = services.clock.now_ms()
                existing = await _write(services, run_guid, command_id, asked)
                told(call, run_guid, asked["action"], began_at, key=name)
            elif not _is_same(services, existing, asked):
                raise ApiError("unprocessable", "This Idempotency-Key was used for something else.")
        deadline_s = services.clock.monotonic_s() + COMMAND_WAIT_S
        with WAITERS.track_inprogress():
            command = await _verdict(services, existing, watch, deadline_s)
    return _answer(services, command, run_guid)


async def _write(services: Services, run_guid: str, command_id: str, asked: Mapping[str, Any]) -> Entity:
    name = command_name(run_guid, command_id)
    now = services.clock.now_ms()
    request = services.seal.seal(Sealed.COMMAND, name, {"v": 1, "id": command_id, "at": now, **asked})
    attributes = {
        "name": command_id,
        types.COMMAND_RUN_GUID: run_guid,
        types.COMMAND_REQUEST: request,
        types.COMMAND_STATUS: CommandStatus.OPEN.value,
        types.COMMAND_AT: now,
    }
    guids = await services.store.upsert(
        [EntityWrite(type_name=types.COMMAND, qualified_name=name, attributes=attributes)]
    )
    return Entity(types.COMMAND, guids[name], name, attributes, created_at=now, updated_at=now)


async def _verdict(services: Services, command: Entity, watch: Any, deadline_s: float) -> Entity:
    """The command when it is closed or the time is up."""
    while _status(command) == CommandStatus.OPEN and not services.hub.is_closing:
        is_told, told = await watch.next(deadline_s - services.clock.monotonic_s())
        if is_told and told is not None and told.guid != command.guid:
            continue
        if is_told and told is not None and told.attributes.get(types.COMMAND_STATUS) == CommandStatus.OPEN:
            continue
        # One read when the time is up as well: the verdict may stand there although its event was lost.
        command = (await services.store.get([command.guid])).get(command.guid, command)
        if not is_told:
            break
    return command


def _answer(services: Services, command: Entity, run_guid: str) -> Response:
    body = {"run": run_guid, **command_view(services, command)}
    where = f"/api/v1/runs/{run_guid}/commands/{body['id']}"
    match _status(command):
        case CommandStatus.APPLIED:
            return reply(body)
        case CommandStatus.REFUSED:
            raise ApiError("conflict", str(body["reason"] or "The engine refused this."), extra={"command": where})
        case _:
            return reply(body | {"command": where}, 202, {"Location": where})


async def show_all(call: Call) -> Response:
    """Commands of a run, oldest first."""
    query: Page = call.query
    offset = offset_of(query.cursor)
    run = await seen(call.services, call.caller, call.path("guid"))
    found = await commands_of(call.services, run.guid, query.limit + 1, offset)
    page, cursor = paged(found, query.limit, offset)
    return reply({"items": [command_view(call.services, command) for command in page], "next_cursor": cursor})


async def show(call: Call) -> Response:
    """One command and its verdict."""
    run = await seen(call.services, call.caller, call.path("guid"))
    command = await call.services.store.get_by_name(types.COMMAND, command_name(run.guid, call.path("id")))
    if command is None:
        raise not_found("command")
    return reply({"run": run.guid, **command_view(call.services, command)})


async def commands_of(services: Services, run_guid: str, limit: int, offset: int = 0) -> list[Entity]:
    """Commands of a run, oldest first, with their texts."""
    wanted = (types.COMMAND_REQUEST, types.COMMAND_STATUS, types.COMMAND_REASON, types.COMMAND_AT)
    query = Query(
        types.COMMAND,
        filters=(Filter(types.COMMAND_RUN_GUID, "eq", run_guid),),
        sort_by=types.COMMAND_AT,
        limit=limit,
        offset=offset,
        attributes=wanted,
    )
    return await services.store.find(query)


def command_view(services: Services, command: Entity) -> dict[str, Any]:
    """What callers see of a command; one that this engine didn't sign says so."""
    asked = opened(services, command)
    return {
        "id": command.qualified_name.rpartition("/")[2],
        "action": asked.get("action"),
        "task": asked.get("task"),
        "status": _status(command).value,
        "reason": command.attributes.get(types.COMMAND_REASON) or (None if asked else "This engine didn't sign it."),
        "by": asked.get("by"),
        "as": asked.get("as"),
        "comment": asked.get("comment"),
        "at": rfc3339(asked.get("at")),
    }


def opened(services: Services, command: Entity) -> dict[str, Any]:
    """The command's body; empty if it isn't this engine's."""
    try:
        text = str(command.attributes.get(types.COMMAND_REQUEST) or "")
        return services.seal.open(Sealed.COMMAND, command.qualified_name, text)
    except BlocklineError:
        return {}


def idempotency_key(call: Call) -> str | None:
    """The caller's Idempotency-Key.

    Raises:
        ApiError: 400, it is empty or too long.
    """
    key: str | None = call.request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= KEY_CHARS_MAX:
        raise ApiError("malformed", f"An Idempotency-Key has 1 to {KEY_CHARS_MAX} characters.")
    return key


def _derived(key: str, by: str, run_guid: str) -> str:
    return hashlib.sha256(f"{by}\0{run_guid}\0{key}".encode()).hexdigest()[:32]


def _is_same(services: Services, command: Entity, asked: Mapping[str, Any]) -> bool:
    body = opened(services, command)
    return all(body.get(name) == value for name, value in asked.items() if name not in {"as", "groups"})


def _status(command: Entity) -> CommandStatus:
    value = command.attributes.get(types.COMMAND_STATUS)
    return CommandStatus(value) if value in set(CommandStatus) else CommandStatus.OPEN


_ANSWERS: Final[Mapping[int, type[shapes.Shape] | str]] = {
    200: shapes.Command,
    202: shapes.Command,
    403: "not yours to do",
    409: "the run's state forbids it",
}
ROUTES: Final = (
    Route("GET", "/runs/{guid}/commands", show_all, "List what was asked of a run", "runs", query=Page,
          answers={200: shapes.CommandList}),
    Route("GET", "/runs/{guid}/commands/{id}", show, "Show a command and its verdict", "runs",
          answers={200: shapes.Command}),
    Route("POST", "/runs/{guid}/withdraw", withdraw, "Take an own run back", "runs", body=ActionBody,
          headers=("Idempotency-Key",), answers=_ANSWERS, is_long=True),
    Route("POST", "/runs/{guid}/cancel", cancel, "Cancel a run", "runs", body=ActionBody,
          headers=("Idempotency-Key",), answers=_ANSWERS, is_long=True),
    Route("POST", "/runs/{guid}/terminate", terminate, "End a run at once", "runs", body=ActionBody,
          headers=("Idempotency-Key",), answers=_ANSWERS, is_long=True),
    Route("POST", "/runs/{guid}/pause", pause, "Send nothing new to runners", "runs", body=ActionBody,
          headers=("Idempotency-Key",), answers=_ANSWERS, is_long=True),
    Route("POST", "/runs/{guid}/resume", resume, "Go on with a paused run", "runs", body=ActionBody,
          headers=("Idempotency-Key",), answers=_ANSWERS, is_long=True),
    Route("POST", "/runs/{guid}/tasks/{name:path}/skip", skip, "Skip a task", "runs", body=ActionBody,
          headers=("Idempotency-Key",), answers=_ANSWERS, is_long=True),
    Route("POST", "/runs/{guid}/tasks/{name:path}/resolve", resolve, "Resolve an incident", "runs", body=ResolveBody,
          headers=("Idempotency-Key",), answers=_ANSWERS, is_long=True),
)  # fmt: skip
