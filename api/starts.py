"""Starting a run: find the workflow, check the input, take the snapshot, write one entity."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import Field
from starlette.responses import Response

from api.bodies import Body
from api.commands import idempotency_key, told
from api.outputs import with_outputs
from api.problems import ApiError, invalid
from api.rights import Role, require_role
from api.route import Call, reply
from api.run_documents import KnownRun, known, started, with_document
from api.run_views import view
from api.startables import Startable
from pipeline.core.errors import BlocklineError, Problem
from pipeline.core.ids import RUN_PREFIX
from pipeline.core.limits import COMMENT_CHARS_MAX, INPUT_BYTES_MAX
from pipeline.core.statuses import RunStatus
from pipeline.messages.canonical import encode
from pipeline.messages.envelopes import Requester
from pipeline.messages.seal import Sealed
from pipeline.store import types
from pipeline.store.port import Entity
from pipeline.store.starting import build_request, run_write


class RunBody(Body):
    """What to start: a published workflow (by guid or name), or a spec of one's own."""

    workflow: str | None = Field(default=None, min_length=1, max_length=200)
    version: int | None = Field(default=None, ge=1)
    spec: Any = None
    input: dict[str, Any] = Field(default_factory=dict)
    asset_guid: str | None = Field(default=None, min_length=1, max_length=200)
    comment: str | None = Field(default=None, max_length=COMMENT_CHARS_MAX)


async def create(call: Call) -> Response:
    """Start a run; the same Idempotency-Key gives the same run again."""
    body: RunBody = call.body
    if (body.workflow is None) == (body.spec is None):
        raise _wrong("", "Say either `workflow` or `spec`.")
    if body.version is not None and body.workflow is None:
        raise _wrong("/version", "A version belongs to a `workflow`.")
    require_role(call.caller, Role.AUTHOR if body.workflow is None else Role.REQUESTER)
    key = idempotency_key(call)
    if key is None:
        return await _start(call, RUN_PREFIX + call.services.new_id())
    name = RUN_PREFIX + hashlib.sha256(f"{call.caller.name}\0{key}".encode()).hexdigest()[:32]
    async with call.services.locks.hold(name):
        existing = await call.services.store.get_by_name(types.RUN, name)
        if existing is None:
            return await _start(call, name)
        return await _again(call, existing)


async def _start(call: Call, name: str) -> Response:
    services, body, caller = call.services, call.body, call.caller
    startable = await _startable(call, body)
    await _check_input(call, startable, body)
    now = services.clock.now_ms()
    request = await build_request(
        services.store,
        spec=startable.spec,
        input=body.input,
        requester=Requester(name=caller.name, email=caller.email, groups=caller.groups),
        asset_guid=body.asset_guid,
        workflow=startable.workflow,
        comment=body.comment,
        created_at=now,
        blocks=services.catalog.run_defaults(startable.spec),
    )
    signed = services.seal.seal(Sealed.REQUEST, name, request)
    write = run_write(
        qualified_name=name,
        request=signed,
        created_at=now,
        created_by=caller.name,
        workflow_guid=startable.guid,
        asset_guid=body.asset_guid,
    )
    guid = (await services.store.upsert([write]))[name]
    told(call, guid, "start", now, key=name)
    run = KnownRun(guid, started(services, name, guid, signed), caller.name, now, now, RunStatus.PENDING)
    return reply(view(caller, run), 201, _links(guid))


async def _again(call: Call, existing: Entity) -> Response:
    """200 with the run of this key as it is now; 422 if it was asked for in other words."""
    body: RunBody = call.body
    try:
        text = str(existing.attributes.get(types.RUN_REQUEST) or "")
        asked = call.services.seal.open(Sealed.REQUEST, existing.qualified_name, text)
    except BlocklineError:
        asked = {}
    if not asked or not _is_same(call, asked, body):
        raise ApiError("unprocessable", "This Idempotency-Key was used for another start.")
    run = await with_outputs(call.services, known(call.services, existing))
    if run.document is None:
        return reply(view(call.caller, run), 200, _links(existing.guid))
    return reply(view(call.caller, with_document(run, run.document, existing.updated_at)), 200, _links(existing.guid))


def _is_same(call: Call, asked: Mapping[str, Any], body: RunBody) -> bool:
    workflow = asked.get("workflow")
    if body.spec is not None:
        checked = call.services.catalog.check(body.spec)
        is_same_work = workflow is None and checked.normalised == asked["spec"]
    else:
        is_same_work = (
            workflow is not None
            and body.workflow in {workflow["guid"], workflow["name"]}
            and body.version in {None, workflow["version"]}
        )
    asset = asked.get("asset")
    return (
        is_same_work
        and asked.get("input") == body.input
        and asked.get("comment") == body.comment
        and (None if asset is None else asset["guid"]) == body.asset_guid
    )


async def _startable(call: Call, body: RunBody) -> Startable:
    if body.workflow is not None:
        services = call.services
        return await services.startables.find(
            services.store,
            body.workflow,
            body.version,
            epoch=services.hub.workflows_epoch,
            now_s=services.clock.monotonic_s(),
        )
    checked = await asyncio.to_thread(call.services.catalog.check, body.spec)
    if checked.normalised is None:
        raise invalid(checked.errors)
    return Startable(checked.normalised, None)


async def _check_input(call: Call, startable: Startable, body: RunBody) -> None:
    size = len(encode(body.input))
    if size > INPUT_BYTES_MAX:
        raise _wrong("/input", f"The input has {size} bytes; it may have {INPUT_BYTES_MAX}.")
    # A schema may take milliseconds; without one there is nothing worth a thread.
    check = call.services.catalog.check_input
    has_schema = startable.spec.get("input") is not None
    problems = (
        await asyncio.to_thread(check, startable.spec, body.input) if has_schema else check(startable.spec, body.input)
    )
    if problems:
        raise invalid(problems)


def _wrong(pointer: str, detail: str) -> ApiError:
    return invalid([Problem(pointer, "Request.Invalid", detail)])


def _links(guid: str) -> dict[str, str]:
    return {"Location": f"/api/v1/runs/{guid}"}
