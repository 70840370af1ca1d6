"""Inbox items as the API knows them: whom they ask, and the question in the run's document behind them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from api.paging import rfc3339
from api.problems import ApiError, not_found
from api.recipients import names_of
from api.route import Call
from api.run_documents import read
from api.services import Services
from pipeline.core.errors import Problem
from pipeline.core.ids import GROUP_PREFIX
from pipeline.directory.port import Person
from pipeline.messages.canonical import MalformedError, decode
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
    types.ITEM_FORM,
    types.ITEM_RECIPIENT,
    types.ITEM_REQUESTER,
    types.ITEM_DUE_AT,
    types.ITEM_ACTION,
    types.ITEM_COMMENT,
)


async def items_for(
    services: Services, caller: Person, filters: Sequence[Filter], *, limit: int, offset: int = 0
) -> list[Entity]:
    """Items that ask the caller, newest first."""

    def query(name: str, start: int, count: int) -> Query:
        return Query(
            types.ITEM,
            filters=(Filter(types.ITEM_RECIPIENT, "eq", name), *filters),
            sort_by=types.ITEM_OPENED_AT,
            is_descending=True,
            limit=count,
            offset=start,
            attributes=_TEXTS,
        )

    names = names_of(caller)
    if len(names) == 1:
        return await services.store.find(query(names[0], offset, limit))
    # One sequence out of several: each has to be read from its beginning.
    found = await asyncio.gather(*(_first(services, query, name, offset + limit) for name in names))
    newest = sorted((item for part in found for item in part), key=_opened_at, reverse=True)
    return newest[offset : offset + limit]


async def _first(services: Services, query: Any, name: str, count: int) -> list[Entity]:
    found: list[Entity] = []
    while len(found) < count:
        wanted = min(1000, count - len(found))
        page = await services.store.find(query(name, len(found), wanted))
        found += page
        if len(page) < wanted:
            break
    return found


def _opened_at(item: Entity) -> tuple[int, str]:
    return int(item.attributes.get(types.ITEM_OPENED_AT) or 0), item.guid


async def item_of(call: Call) -> Entity:
    """The item that the path names.

    Raises:
        ApiError: 404.
    """
    guid = call.path("guid")
    item = (await call.services.store.get([guid])).get(guid)
    if item is None or item.is_deleted or item.type_name != types.ITEM:
        raise not_found("task")
    return item


def is_recipient(caller: Person, item: Entity) -> bool:
    """Whether the item asks the caller, or a group they are in."""
    recipient = text_of(item, types.ITEM_RECIPIENT)
    return recipient == caller.name or recipient in {f"{GROUP_PREFIX}{group}" for group in caller.groups}


async def question_of(call: Call, item: Entity) -> Mapping[str, Any]:
    """The question in the run's document; empty where the run's texts can't be read."""
    run = await read(call.services, text_of(item, types.ITEM_RUN_GUID))
    return approval_of(run.document, text_of(item, types.ITEM_TASK))


def approval_of(document: Mapping[str, Any] | None, task: str) -> Mapping[str, Any]:
    """What a task of a document asks; empty where it asks nothing."""
    tasks = document["dag"]["tasks"] if document else []
    found: Mapping[str, Any] = next((one for one in tasks if one["name"] == task), {})
    return found.get("engine", {}).get("approval") or {}


def groups_that_matter(caller: Person, approval: Mapping[str, Any]) -> list[str]:
    """Of the caller's groups, those that somebody is asked by."""
    asked: set[str] = set()
    for recipient in approval.get("recipients", ()):
        asked.update(recipient.get("groups", ()))
        asked.update([recipient["group"]] if "group" in recipient else [])
    return sorted(asked.intersection(caller.groups))


def check_member(caller: Person, item: Entity, approval: Mapping[str, Any]) -> None:
    """Who was asked as a member of a group must still be in one of the groups.

    Raises:
        ApiError: 403.
    """
    recipients = approval.get("recipients", ())
    nobody: Mapping[str, Any] = {}
    recipient = next((one for one in recipients if one["item"] == item.qualified_name), nobody)
    groups = recipient.get("groups")
    if groups is not None and set(groups).isdisjoint(caller.groups):
        raise ApiError("forbidden", "You were asked as a member of a group that you have left.")


def refuse(pointer: str, detail: str) -> ApiError:
    """422 for one member of the request."""
    return ApiError("unprocessable", detail, errors=[Problem(pointer, "Request.Invalid", detail)])


def item_view(item: Entity) -> dict[str, Any]:
    """What callers see of an inbox item."""
    recipient = text_of(item, types.ITEM_RECIPIENT)
    is_group = recipient.startswith(GROUP_PREFIX)
    return {
        "guid": item.guid,
        "run": text_of(item, types.ITEM_RUN_GUID),
        "task": text_of(item, types.ITEM_TASK),
        "title": text_of(item, "description"),
        "body": text_of(item, types.ITEM_BODY) or None,
        "asset": json_of(item, types.ITEM_ASSET),
        "requester": text_of(item, types.ITEM_REQUESTER),
        "recipient": recipient.removeprefix(GROUP_PREFIX),
        "is_for_group": is_group,
        "options": json_of(item, types.ITEM_OPTIONS) or [],
        "form": json_of(item, types.ITEM_FORM),
        "status": text_of(item, types.ITEM_STATUS),
        "decision": text_of(item, types.ITEM_ACTION) or None,
        "comment": text_of(item, types.ITEM_COMMENT) or None,
        "due_at": rfc3339(int(item.attributes.get(types.ITEM_DUE_AT) or 0)),
        "opened_at": rfc3339(int(item.attributes.get(types.ITEM_OPENED_AT) or 0)),
    }


def text_of(item: Entity, attribute: str) -> str:
    """A text of an item; empty where it has none."""
    return str(item.attributes.get(attribute) or "")


def json_of(item: Entity, attribute: str) -> Any:
    """A JSON value of an item; None where it has none."""
    text = text_of(item, attribute)
    try:
        return decode(text) if text else None
    except MalformedError:
        return None
