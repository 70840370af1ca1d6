"""Drafts, versions, publishing: what authors do."""

import asyncio
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints
from starlette.responses import Response

from api import shapes
from api.bodies import Body, parse, read_json
from api.countable import uncountable
from api.locks import Locks
from api.paging import Page, offset_of, paged
from api.ports import Checked
from api.problems import ApiError, invalid, not_found, problems_json
from api.rights import Role, has_role
from api.route import Call, Route, empty, reply
from api.workflow_texts import (
    NAME_CHARS_MAX,
    SEEN,
    Stored,
    by_guid,
    by_name,
    draft_of,
    draft_write,
    latest_version,
    status_write,
    version_write,
    versions,
)
from pipeline.core.errors import Problem
from pipeline.core.limits import SPEC_BYTES_MAX
from pipeline.messages.canonical import encode
from pipeline.spec.model import digest
from pipeline.store import types
from pipeline.store.port import Filter, Query

VERSIONS_MAX: Final = 1_000
DESCRIPTION_CHARS_MAX: Final = 4_000
LABELS_MAX: Final = 50
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=NAME_CHARS_MAX, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]+$"),
]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class WorkflowBody(Body):
    """A draft as an author writes it; ``incomplete`` keeps one that isn't valid yet."""

    name: Name
    spec: Any
    description: str | None = Field(default=None, max_length=DESCRIPTION_CHARS_MAX)
    labels: dict[Label, Label] = Field(default_factory=dict, max_length=LABELS_MAX)
    incomplete: bool = False


class ChangedWorkflowBody(WorkflowBody):
    """As at the creation; a name may be left out, since it can't change."""

    name: Name | None = None  # type: ignore[assignment]


class ValidateBody(Body):
    """A spec to look at."""

    spec: Any


class Workflows(Page):
    """Query of the list."""

    status: Literal["DRAFT", "PUBLISHED", "DISABLED"] | None = None
    q: str | None = Field(default=None, max_length=NAME_CHARS_MAX)


async def create(call: Call) -> Response:
    """Store a new draft."""
    body: WorkflowBody = call.body
    spec, spec_digest = await _checked(call, body)
    store = call.services.store
    async with _lock(call.services.locks, body.name):
        if await by_name(store, body.name) is not None:
            raise ApiError("conflict", f"There is a workflow named {body.name} already.")
        write = draft_write(
            body.name,
            spec=spec,
            digest=spec_digest,
            description=body.description,
            labels=body.labels,
            owner=call.caller.name,
            status="DRAFT",
        )
        await store.upsert([write])
        call.services.hub.workflows_changed()
    stored = await by_name(store, body.name)
    if stored is None:
        raise not_found("workflow")
    headers = {"ETag": stored.etag, "Location": f"/api/v1/workflows/{stored.entity.guid}"}
    return reply(_whole(stored), 201, headers)


async def show_all(call: Call) -> Response:
    """Workflows by name; requesters see what they may start."""
    query: Workflows = call.query
    offset = offset_of(query.cursor)
    filters = [Filter(types.WORKFLOW_VERSION, "eq", 0)]
    if not has_role(call.caller, Role.AUTHOR):
        filters.append(Filter(types.WORKFLOW_STATUS, "eq", "PUBLISHED"))
    if query.status:
        filters.append(Filter(types.WORKFLOW_STATUS, "eq", query.status))
    if query.q:
        filters.append(Filter("name", "contains", query.q))
    found = await call.services.store.find(
        Query(
            types.WORKFLOW,
            filters=tuple(filters),
            sort_by="name",
            limit=query.limit + 1,
            offset=offset,
            attributes=SEEN,
        )
    )
    page, cursor = paged([Stored(entity) for entity in found], query.limit, offset)
    latest = await asyncio.gather(*(latest_version(call.services.store, stored) for stored in page))
    items = [stored.summary() | {"version": _number(last)} for stored, last in zip(page, latest, strict=True)]
    return reply({"items": items, "next_cursor": cursor})


async def show(call: Call) -> Response:
    """A draft or a version, with its spec."""
    stored = await _seen(call)
    body = _whole(stored)
    if not stored.version:
        last = await latest_version(call.services.store, stored)
        body["version"] = _number(last)
        body["has_unpublished_changes"] = last is None or last.digest != stored.digest
    return reply(body, headers={"ETag": stored.etag})


async def change(call: Call) -> Response:
    """Change a draft that nobody else changed since it was read."""
    body: ChangedWorkflowBody = call.body
    wanted = call.request.headers.get("if-match")
    if not wanted:
        raise ApiError("precondition-required", "Send the ETag of the workflow you have read as If-Match.")
    name = (await _own_draft(call)).name
    if body.name not in {None, name}:
        raise invalid([Problem("/name", "Workflow.Renamed", "The name of a workflow can't be changed.")])
    spec, spec_digest = await _checked(call, body)
    async with _lock(call.services.locks, name):
        stored = await _own_draft(call)
        _require_match(wanted, stored)
        write = draft_write(name, spec=spec, digest=spec_digest, description=body.description, labels=body.labels)
        await call.services.store.upsert([write])
        call.services.hub.workflows_changed()
        stored = await _own_draft(call)
    return reply(_whole(stored), headers={"ETag": stored.etag})


async def remove(call: Call) -> Response:
    """Delete a workflow with its versions; runs hold a snapshot and go on."""
    name = (await _own_draft(call)).name
    async with _lock(call.services.locks, name):
        stored = await _own_draft(call)
        wanted = call.request.headers.get("if-match")
        if wanted:
            _require_match(wanted, stored)
        numbered = await versions(call.services.store, stored, limit=VERSIONS_MAX)
        await call.services.store.delete([*(version.entity.guid for version in numbered), stored.entity.guid])
        call.services.hub.workflows_changed()
    return empty()


async def publish(call: Call) -> Response:
    """Make the draft an immutable version, unless the latest is the same."""
    name = (await _own_draft(call)).name
    store = call.services.store
    async with _lock(call.services.locks, name):
        draft = await _own_draft(call)
        checked = await _check(call, draft.spec)
        if checked.normalised is None:
            raise invalid(checked.errors)
        if problems := await uncountable(checked.normalised, call.services.directory):
            raise invalid(problems)
        spec_digest = digest(checked.normalised)
        latest = await latest_version(store, draft)
        if latest is not None and latest.digest == spec_digest and latest.status == "PUBLISHED":
            return reply(latest.summary() | {"workflow_guid": draft.entity.guid, "unchanged": True})
        number = _number(latest) + 1
        if number > VERSIONS_MAX:
            raise ApiError("conflict", f"A workflow has {VERSIONS_MAX} versions at most; start a new one.")
        write = version_write(draft, number, checked.normalised, spec_digest)
        guids = await store.upsert([write, status_write(draft, "PUBLISHED")])
        call.services.hub.workflows_changed()
        version = await by_guid(store, guids[write.qualified_name])
    if version is None:
        raise not_found("version")
    return reply(version.summary() | {"workflow_guid": draft.entity.guid, "unchanged": False})


async def disable(call: Call) -> Response:
    """Nothing of it is started any more; runs go on."""
    name = (await _own_draft(call)).name
    store = call.services.store
    async with _lock(call.services.locks, name):
        draft = await _own_draft(call)
        numbered = await versions(store, draft, limit=VERSIONS_MAX)
        if not numbered:
            raise ApiError("conflict", "This workflow was never published, so there is nothing to disable.")
        open_ones = [draft, *(version for version in numbered if version.status == "PUBLISHED")]
        await store.upsert([status_write(stored, "DISABLED") for stored in open_ones])
        call.services.hub.workflows_changed()
        draft = await _own_draft(call)
    return reply(draft.summary() | {"version": _number(numbered[0])})


async def show_versions(call: Call) -> Response:
    """Versions, the latest first."""
    query: Page = call.query
    offset = offset_of(query.cursor)
    stored = await _seen(call)
    draft = await draft_of(call.services.store, stored)
    if draft is None:
        raise not_found("workflow")
    found = await versions(call.services.store, draft, limit=query.limit + 1, offset=offset)
    page, cursor = paged(found, query.limit, offset)
    return reply({"items": [version.summary() for version in page], "next_cursor": cursor})


async def validate(call: Call) -> Response:
    """What publish would say; also about a text that isn't JSON."""
    try:
        value = await read_json(call.request)
    except ApiError as error:
        if error.code != "malformed":
            raise
        return reply({"valid": False, "errors": problems_json(error.errors), "warnings": []})
    body = parse(ValidateBody, value)
    checked = await _check(call, body.spec)
    return reply(
        {
            "valid": not checked.errors,
            "errors": problems_json(checked.errors),
            "warnings": problems_json(checked.warnings),
        }
    )


async def _seen(call: Call) -> Stored:
    """The workflow (or version) of the path, if the caller may see it."""
    stored = await by_guid(call.services.store, call.path("guid"))
    is_author = has_role(call.caller, Role.AUTHOR)
    if stored is None or (not is_author and stored.status != "PUBLISHED"):
        raise not_found("workflow")
    return stored


async def _own_draft(call: Call) -> Stored:
    """The draft of the path, if the caller may change it."""
    stored = await _seen(call)
    if stored.owner != call.caller.name and not has_role(call.caller, Role.ADMIN):
        raise ApiError("forbidden", f"This workflow is {stored.owner}'s; only they or an administrator may change it.")
    if stored.version:
        raise ApiError("conflict", "A published version never changes; change the draft and publish it again.")
    return stored


async def _checked(call: Call, body: WorkflowBody) -> tuple[Any, str]:
    """The spec to store and its digest; an unfinished one as it is, without a digest."""
    checked = await _check(call, body.spec)
    if checked.normalised is not None:
        return checked.normalised, digest(checked.normalised)
    if not body.incomplete:
        raise invalid(checked.errors)
    if not isinstance(body.spec, dict) or len(encode(body.spec)) > SPEC_BYTES_MAX:
        raise invalid(checked.errors)
    return body.spec, ""


async def _check(call: Call, spec: Any) -> Checked:
    """Off the event loop: a large spec takes tens of milliseconds."""
    return await asyncio.to_thread(call.services.catalog.check, spec)


def _require_match(wanted: str, stored: Stored) -> None:
    given = {tag.strip().removeprefix("W/") for tag in wanted.split(",")}
    if stored.etag not in given and "*" not in given:
        raise ApiError(
            "precondition-failed",
            "Somebody has changed this workflow since you read it; read it again and repeat your change.",
            headers={"ETag": stored.etag},
        )


def _whole(stored: Stored) -> dict[str, Any]:
    return stored.summary() | {"spec": stored.spec}


def _number(version: Stored | None) -> int:
    return 0 if version is None else version.version


def _lock(locks: Locks, name: str) -> Any:
    return locks.hold(f"workflow {name}")


_BAD: Final = "every finding, nothing stored"
ROUTES: Final = (
    Route("POST", "/workflows", create, "Store a draft", "workflows", Role.AUTHOR, body=WorkflowBody,
          answers={201: shapes.Workflow, 400: _BAD, 409: "the name is taken"}),
    Route("GET", "/workflows", show_all, "List workflows", "workflows", query=Workflows,
          answers={200: shapes.WorkflowList}),
    Route("POST", "/workflows/validate", validate, "Check a spec", "workflows", body=ValidateBody, is_raw=True,
          answers={200: shapes.Validation}),
    Route("GET", "/workflows/{guid}", show, "Show a workflow or a version", "workflows",
          answers={200: shapes.Workflow}),
    Route("PUT", "/workflows/{guid}", change, "Change a draft", "workflows", Role.AUTHOR, body=ChangedWorkflowBody,
          headers=("If-Match",),
          answers={200: shapes.Workflow, 400: _BAD, 412: "somebody else changed it", 428: "no If-Match"}),
    Route("DELETE", "/workflows/{guid}", remove, "Delete a workflow", "workflows", Role.AUTHOR,
          headers=("If-Match",), answers={204: "deleted"}),
    Route("POST", "/workflows/{guid}/publish", publish, "Publish the draft", "workflows", Role.AUTHOR,
          answers={200: shapes.PublishedWorkflow, 400: _BAD}),
    Route("POST", "/workflows/{guid}/disable", disable, "Disable a workflow", "workflows", Role.AUTHOR,
          answers={200: shapes.WorkflowSummary, 409: "never published"}),
    Route("GET", "/workflows/{guid}/versions", show_versions, "List versions", "workflows", query=Page,
          answers={200: shapes.WorkflowList}),
)  # fmt: skip
