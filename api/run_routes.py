"""Runs: start, list, show, follow, and what has happened."""

from collections.abc import AsyncIterator
from typing import Any, Final

from pydantic import Field
from starlette.responses import Response, StreamingResponse

from api import shapes
from api.bodies import Body
from api.commands import command_view, commands_of
from api.outputs import with_outputs
from api.paging import rfc3339
from api.problems import ApiError
from api.route import Call, Route, empty, reply
from api.run_lists import Runs, show_all
from api.run_views import seen, view
from api.run_waiting import may_have_ended, stream, until_over
from api.starts import RunBody, create

WAIT_S_MAX: Final = 60
AUDIT_MAX: Final = 1_000


class Wait(Body):
    """Query of one run."""

    wait_s: float = Field(default=0, ge=0, le=WAIT_S_MAX)


async def show(call: Call) -> Response:
    """One run as it is, or when it has ended or the time is up."""
    query: Wait = call.query
    guid = call.path("guid")
    if not query.wait_s:
        run = await seen(call.services, call.caller, guid)
        return reply(view(call.caller, await with_outputs(call.services, run)))
    with call.services.hub.watch(guid, matters=may_have_ended) as watch:
        run = await seen(call.services, call.caller, guid)
        run = await until_over(call.services, run, watch, query.wait_s)
    return reply(view(call.caller, await with_outputs(call.services, run)))


async def events(call: Call) -> Response:
    """A stream of the run's revisions; one that has ended and was received says so with 204."""
    guid = call.path("guid")
    after = _last_event_id(call)
    watch = call.services.hub.watch(guid)
    watch.__enter__()
    try:
        run = await seen(call.services, call.caller, guid)
    except BaseException:
        watch.__exit__(None, None, None)
        raise
    if run.is_over and after is not None and run.revision <= after:
        watch.__exit__(None, None, None)
        return empty()

    async def body() -> AsyncIterator[bytes]:
        try:
            async for piece in stream(call.services, call.caller, run, watch, after):
                yield piece
        finally:
            watch.__exit__(None, None, None)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


async def audit(call: Call) -> Response:
    """Who changed what when: the store's own record, joined with what was asked of the run."""
    run = await seen(call.services, call.caller, call.path("guid"))
    recorded = await call.services.audit(run.guid)
    commands = await commands_of(call.services, run.guid, AUDIT_MAX)
    entries: list[tuple[int, dict[str, Any]]] = [
        (entry.at, {"at": rfc3339(entry.at), "by": entry.by, "action": entry.action, "source": "store"})
        for entry in recorded
    ]
    entries += [
        (command.created_at, {**command_view(call.services, command), "source": "command"}) for command in commands
    ]
    return reply({"items": [entry for _, entry in sorted(entries, key=lambda pair: pair[0])], "next_cursor": None})


def _last_event_id(call: Call) -> int | None:
    text = call.request.headers.get("last-event-id")
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 18:  # noqa: PLR2004  (fits 64 bits)
        raise ApiError("malformed", "Last-Event-ID is the number of a revision.")
    return int(text)


ROUTES: Final = (
    Route("POST", "/runs", create, "Start a run", "runs", body=RunBody, headers=("Idempotency-Key",),
          answers={201: shapes.Run, 200: shapes.Run, 400: "every finding, nothing started",
                   409: "not published, or disabled", 422: "the key was used for another start"}),
    Route("GET", "/runs", show_all, "List runs, newest first", "runs", query=Runs, answers={200: shapes.RunList}),
    Route("GET", "/runs/{guid}", show, "Show a run, or wait for its end", "runs", query=Wait,
          answers={200: shapes.Run}, is_long=True),
    Route("GET", "/runs/{guid}/events", events, "Follow a run (Server-Sent Events)", "runs",
          headers=("Last-Event-ID",), answers={200: "text/event-stream", 204: "it has ended"}, is_long=True),
    Route("GET", "/runs/{guid}/audit", audit, "Who did what when", "runs", answers={200: shapes.AuditList}),
)  # fmt: skip
