"""The inbox: questions to the caller, and their answers."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field
from starlette.responses import Response

from api import shapes
from api.bodies import Body
from api.commands import ask
from api.paging import Page, offset_of, paged
from api.problems import ApiError, not_found
from api.questions import (
    approval_of,
    check_member,
    groups_that_matter,
    is_recipient,
    item_of,
    item_view,
    items_for,
    json_of,
    question_of,
    refuse,
    text_of,
)
from api.rights import Role, has_role
from api.route import Call, Route, reply
from api.run_documents import read
from api.run_views import may_see, seen
from pipeline.core.limits import COMMENT_CHARS_MAX
from pipeline.core.statuses import ItemStatus
from pipeline.spec.form import check_filled
from pipeline.store import types
from pipeline.store.port import Entity, Filter


class Tasks(Page):
    """Query of the inbox."""

    status: Literal["OPEN", "DECIDED", "EXPIRED", "CLOSED"] = "OPEN"
    run: str | None = Field(default=None, max_length=200)


class DecideBody(Body):
    """A decision; what counts as a rejection needs a comment, and a question with a form its form."""

    action: str = Field(min_length=1, max_length=100)
    comment: str | None = Field(default=None, max_length=COMMENT_CHARS_MAX)
    form: dict[str, Any] | None = None


class DelegateBody(Body):
    """Who is to decide instead."""

    to: str = Field(min_length=1, max_length=128)
    comment: str | None = Field(default=None, max_length=COMMENT_CHARS_MAX)


class OverrideBody(Body):
    """An administrator's decision in everybody's place."""

    action: str = Field(min_length=1, max_length=100)
    comment: str | None = Field(default=None, max_length=COMMENT_CHARS_MAX)


async def show_all(call: Call) -> Response:
    """The caller's inbox, newest first: what asks them, and what asks a group of theirs that anybody of it may take."""
    query: Tasks = call.query
    offset = offset_of(query.cursor)
    filters = [Filter(types.ITEM_STATUS, "eq", query.status)]
    if query.run:
        filters.append(Filter(types.ITEM_RUN_GUID, "eq", query.run))
    found = await items_for(call.services, call.caller, filters, limit=query.limit + 1, offset=offset)
    page, cursor = paged(found, query.limit, offset)
    return reply({"items": [item_view(item) for item in page], "next_cursor": cursor})


async def show(call: Call) -> Response:
    """One item, for its recipient and whoever may see its run."""
    return reply(item_view(await seen_item(call)))


async def seen_item(call: Call) -> Entity:
    """The item that the path names, if the caller may see it.

    Raises:
        ApiError: 404.
    """
    item = await item_of(call)
    if not is_recipient(call.caller, item) and not has_role(call.caller, Role.ADMIN):
        run = await read(call.services, text_of(item, types.ITEM_RUN_GUID))
        if not await may_see(call.services, call.caller, run):
            raise not_found("task")
    return item


async def decide(call: Call) -> Response:
    """The recipient's answer."""
    body: DecideBody = call.body
    item = await _own_item(call)
    _check_words(body, item)
    approval = await question_of(call, item)
    check_member(call.caller, item, approval)
    _check_answer(body, item, approval)
    arguments: dict[str, Any] = {"action": body.action, "item": item.qualified_name}
    if body.form:
        arguments["form"] = body.form
    return await _say(call, item, approval, "decide", arguments, body.comment)


async def delegate(call: Call) -> Response:
    """The recipient hands the question to somebody else, who is told."""
    body: DelegateBody = call.body
    item = await _own_item(call)
    approval = await question_of(call, item)
    check_member(call.caller, item, approval)
    person = await call.services.directory.person(body.to)
    if person is None:
        raise refuse("/to", f"There is no user {body.to}.")
    arguments = {"to": person.name, "email": person.email, "item": item.qualified_name}
    return await _say(call, item, approval, "delegate", arguments, body.comment)


async def override(call: Call) -> Response:
    """An administrator decides in everybody's place."""
    body: OverrideBody = call.body
    run = await seen(call.services, call.caller, call.path("guid"))
    task = call.path("name")
    options = approval_of(run.document, task).get("options")
    if options is not None and body.action not in options:
        raise refuse("/action", f"`{body.action}` isn't one of the answers: {', '.join(options)}.")
    asked = {
        "action": "override",
        "task": task,
        "arguments": {"action": body.action},
        "by": call.caller.name,
        "as": "admin",
        "comment": body.comment,
    }
    return await ask(call, run.guid, asked, is_over=run.is_over)


async def _own_item(call: Call) -> Entity:
    item = await item_of(call)
    if not is_recipient(call.caller, item):
        raise ApiError("forbidden", "This question was put to somebody else.")
    return item


async def _say(  # noqa: PLR0917  (what a command is made of)
    call: Call,
    item: Entity,
    approval: Mapping[str, Any],
    action: str,
    arguments: Mapping[str, Any],
    comment: str | None,
) -> Response:
    """The caller's command about their item."""
    is_open = text_of(item, types.ITEM_STATUS) == ItemStatus.OPEN
    if call.request.headers.get("idempotency-key") is None:
        _check_state(call, item)
    asked = {
        "action": action,
        "task": text_of(item, types.ITEM_TASK),
        "arguments": arguments,
        "by": call.caller.name,
        "as": "recipient",
        "comment": comment,
        "groups": groups_that_matter(call.caller, approval),
    }
    return await ask(call, text_of(item, types.ITEM_RUN_GUID), asked, is_over=not is_open)


def _check_state(call: Call, item: Entity) -> None:
    status = text_of(item, types.ITEM_STATUS)
    due_at = int(item.attributes.get(types.ITEM_DUE_AT) or 0)
    if status == ItemStatus.DECIDED:
        raise ApiError("conflict", "You have decided this already.")
    if status == ItemStatus.EXPIRED or (due_at and call.services.clock.now_ms() > due_at):
        raise ApiError("conflict", "The time to decide this is over.")
    if status != ItemStatus.OPEN:
        raise ApiError("conflict", "This question is settled.")


def _check_words(body: DecideBody, item: Entity) -> None:
    options = json_of(item, types.ITEM_OPTIONS) or []
    if body.action not in options:
        raise refuse("/action", f"`{body.action}` isn't one of the answers: {', '.join(options)}.")
    if body.action == "REJECTED" and not (body.comment or "").strip():
        raise refuse("/comment", "Say why: a rejection needs a comment.")


def _check_answer(body: DecideBody, item: Entity, approval: Mapping[str, Any]) -> None:
    """What the run's document says of its answers: which want a reason, and what goes into the form."""
    is_rejection = approval.get("means", {}).get(body.action, body.action) == "REJECTED"
    needs_comment = is_rejection or body.action in approval.get("require_comment_on", ())
    if needs_comment and not (body.comment or "").strip():
        raise refuse("/comment", "Say why: this answer needs a comment.")
    schema = approval.get("form", json_of(item, types.ITEM_FORM))
    problems = check_filled(schema, body.form, is_needed=not is_rejection)
    if problems:
        raise ApiError("unprocessable", " ".join(problem.detail for problem in problems), errors=problems)


_ANSWERS: Final[Mapping[int, type[shapes.Shape] | str]] = {
    200: shapes.Command,
    202: shapes.Command,
    403: "not a recipient",
    409: "decided or closed already",
}
ROUTES: Final = (
    Route("GET", "/tasks", show_all, "The caller's inbox", "tasks", query=Tasks, answers={200: shapes.TaskList}),
    Route("GET", "/tasks/{guid}", show, "Show a question", "tasks", answers={200: shapes.Task}),
    Route("POST", "/tasks/{guid}/decide", decide, "Answer a question", "tasks", body=DecideBody,
          headers=("Idempotency-Key",),
          answers={**_ANSWERS, 422: "unknown option, a missing comment, or a form that isn't right"}, is_long=True),
    Route("POST", "/tasks/{guid}/delegate", delegate, "Hand a question to somebody else", "tasks", body=DelegateBody,
          headers=("Idempotency-Key",), answers={**_ANSWERS, 422: "there is no such user"}, is_long=True),
    Route("POST", "/runs/{guid}/tasks/{name:path}/override", override, "Decide in everybody's place", "runs",
          Role.ADMIN, body=OverrideBody, headers=("Idempotency-Key",),
          answers={**_ANSWERS, 403: "administrators only", 422: "unknown option"}, is_long=True),
)  # fmt: skip
