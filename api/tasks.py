"""The inbox: questions to the caller, and their answers."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field
from starlette.responses import Response

from api import shapes
from api.bodies import Body
from api.commands import ask
from api.paging import Page, offset_of, paged, rfc3339
from api.problems import ApiError, not_found
from api.rights import Role, has_role
from api.route import Call, Route, reply
from api.run_documents import read
from api.run_views import may_see
from pipeline.core.errors import Problem
from pipeline.core.limits import COMMENT_CHARS_MAX
from pipeline.core.statuses import ItemStatus
from pipeline.directory.port import Person
from pipeline.messages.canonical import MalformedError, decode
from pipeline.spec.templates import has_template
from pipeline.store import types
from pipeline.store.port import Entity, Filter, Query

_TEXTS: Final = (
    "description",
    types.ITEM_RUN_GUID,
    types.ITEM_TASK,
    types.ITEM_STATUS,
    types.ITEM_OPENED_AT,
    types.ITEM_BODY,
    types.ITEM_ASSET,
    types.ITEM_OPTIONS,
    types.ITEM_RECIPIENT,
    types.ITEM_REQUESTER,
    types.ITEM_DUE_AT,
    types.ITEM_ACTION,
    types.ITEM_COMMENT,
)


class Tasks(Page):
    """Query of the inbox."""

    status: Literal["OPEN", "DECIDED", "EXPIRED", "CLOSED"] = "OPEN"
    run: str | None = Field(default=None, max_length=200)


class DecideBody(Body):
    """A decision; REJECTED needs a comment."""

    action: str = Field(min_length=1, max_length=100)
    comment: str | None = Field(default=None, max_length=COMMENT_CHARS_MAX)
    form: dict[str, Any] | None = None


async def show_all(call: Call) -> Response:
    """The caller's inbox, newest first."""
    query: Tasks = call.query
    offset = offset_of(query.cursor)
    filters = [Filter(types.ITEM_RECIPIENT, "eq", call.caller.name), Filter(types.ITEM_STATUS, "eq", query.status)]
    if query.run:
        filters.append(Filter(types.ITEM_RUN_GUID, "eq", query.run))
    found = await call.services.store.find(
        Query(
            types.ITEM,
            filters=tuple(filters),
            sort_by=types.ITEM_OPENED_AT,
            is_descending=True,
            limit=query.limit + 1,
            offset=offset,
            attributes=_TEXTS,
        )
    )
    page, cursor = paged(found, query.limit, offset)
    return reply({"items": [item_view(item) for item in page], "next_cursor": cursor})


async def show(call: Call) -> Response:
    """One item, for its recipient and whoever may see its run."""
    item = await _item(call)
    if not _is_recipient(call, item) and not has_role(call.caller, Role.ADMIN):
        run = await read(call.services, _text(item, types.ITEM_RUN_GUID))
        if not await may_see(call.services, call.caller, run):
            raise not_found("task")
    return reply(item_view(item))


async def decide(call: Call) -> Response:
    """The recipient's answer."""
    body: DecideBody = call.body
    item = await _item(call)
    if not _is_recipient(call, item):
        raise ApiError("forbidden", "This question was put to somebody else.")
    _check_words(body, item)
    await _check_question(call, item)
    is_open = _text(item, types.ITEM_STATUS) == ItemStatus.OPEN
    if call.request.headers.get("idempotency-key") is None:
        _check_state(call, item)
    asked = {
        "action": "decide",
        "task": _text(item, types.ITEM_TASK),
        "arguments": {"action": body.action, "item": item.qualified_name},
        "by": call.caller.name,
        "as": "recipient",
        "comment": body.comment,
    }
    return await ask(call, _text(item, types.ITEM_RUN_GUID), asked, is_over=not is_open)


def _check_state(call: Call, item: Entity) -> None:
    status = _text(item, types.ITEM_STATUS)
    due_at = int(item.attributes.get(types.ITEM_DUE_AT) or 0)
    if status == ItemStatus.DECIDED:
        raise ApiError("conflict", "You have decided this already.")
    if status == ItemStatus.EXPIRED or (due_at and call.services.clock.now_ms() > due_at):
        raise ApiError("conflict", "The time to decide this is over.")
    if status != ItemStatus.OPEN:
        raise ApiError("conflict", "This question is settled.")


def _check_words(body: DecideBody, item: Entity) -> None:
    options = _json(item, types.ITEM_OPTIONS) or []
    if body.action not in options:
        _refuse("/action", f"`{body.action}` isn't one of the answers: {', '.join(options)}.")
    if body.action == "REJECTED" and not (body.comment or "").strip():
        _refuse("/comment", "Say why: a rejection needs a comment.")
    if body.form:
        _refuse("/form", "This question has no form.")


async def _check_question(call: Call, item: Entity) -> None:
    """What the item doesn't say but the run's document does: who is asked, and which answers want a reason."""
    body: DecideBody = call.body
    run = await read(call.services, _text(item, types.ITEM_RUN_GUID))
    tasks = run.document["dag"]["tasks"] if run.document else []
    asked: Mapping[str, Any] = next((one for one in tasks if one["name"] == _text(item, types.ITEM_TASK)), {})
    if not _is_still_asked(call.caller, asked):
        raise ApiError("forbidden", "You were asked as a member of a group that you have left.")
    approval = asked.get("engine", {}).get("approval") or {}
    if body.action in approval.get("require_comment_on", ()) and not (body.comment or "").strip():
        _refuse("/comment", "Say why: this answer needs a comment.")


def _is_still_asked(caller: Person, asked: Mapping[str, Any]) -> bool:
    """By name, or by a group they are in now; True where the run decided by a template whom to ask."""
    approvers = next((entry["approvers"] for entry in asked.get("arguments", ()) if "approvers" in entry), None)
    if not isinstance(approvers, dict) or has_template(approvers):
        return True
    is_named = caller.name in (approvers.get("users") or ())
    return is_named or not set(caller.groups).isdisjoint(approvers.get("groups") or ())


def _refuse(pointer: str, detail: str) -> None:
    raise ApiError("unprocessable", detail, errors=[Problem(pointer, "Request.Invalid", detail)])


async def _item(call: Call) -> Entity:
    guid = call.path("guid")
    item = (await call.services.store.get([guid])).get(guid)
    if item is None or item.is_deleted or item.type_name != types.ITEM:
        raise not_found("task")
    return item


def _is_recipient(call: Call, item: Entity) -> bool:
    return _text(item, types.ITEM_RECIPIENT) == call.caller.name


def item_view(item: Entity) -> dict[str, Any]:
    """What callers see of an inbox item."""
    return {
        "guid": item.guid,
        "run": _text(item, types.ITEM_RUN_GUID),
        "task": _text(item, types.ITEM_TASK),
        "title": _text(item, "description"),
        "body": _text(item, types.ITEM_BODY) or None,
        "asset": _json(item, types.ITEM_ASSET),
        "requester": _text(item, types.ITEM_REQUESTER),
        "recipient": _text(item, types.ITEM_RECIPIENT),
        "options": _json(item, types.ITEM_OPTIONS) or [],
        "form": None,
        "status": _text(item, types.ITEM_STATUS),
        "decision": _text(item, types.ITEM_ACTION) or None,
        "comment": _text(item, types.ITEM_COMMENT) or None,
        "due_at": rfc3339(int(item.attributes.get(types.ITEM_DUE_AT) or 0)),
        "opened_at": rfc3339(int(item.attributes.get(types.ITEM_OPENED_AT) or 0)),
    }


def _text(item: Entity, attribute: str) -> str:
    return str(item.attributes.get(attribute) or "")


def _json(item: Entity, attribute: str) -> Any:
    text = _text(item, attribute)
    try:
        return decode(text) if text else None
    except MalformedError:
        return None


ROUTES: Final = (
    Route("GET", "/tasks", show_all, "The caller's inbox", "tasks", query=Tasks, answers={200: shapes.TaskList}),
    Route("GET", "/tasks/{guid}", show, "Show a question", "tasks", answers={200: shapes.Task}),
    Route("POST", "/tasks/{guid}/decide", decide, "Answer a question", "tasks", body=DecideBody,
          headers=("Idempotency-Key",),
          answers={200: shapes.Command, 202: shapes.Command, 403: "not a recipient",
                   409: "decided or closed already", 422: "unknown option, or a comment is missing"}, is_long=True),
)  # fmt: skip
