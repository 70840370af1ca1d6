"""What was refused for good, for administrators; and sending it again."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import Field
from starlette.responses import Response

from api import shapes
from api.paging import Page, offset_of, paged, rfc3339
from api.problems import ApiError, not_found
from api.rights import Role
from api.route import Call, Route, reply
from pipeline.core.ids import DEAD_LETTER_PREFIX
from pipeline.core.statuses import ReplayStatus
from pipeline.store import types
from pipeline.store.mapping import replay_write
from pipeline.store.port import Entity, Filter, Query

_LISTED: Final = (
    types.DEAD_LETTER_REASON,
    types.DEAD_LETTER_VERTEX,
    types.DEAD_LETTER_RUN_GUID,
    types.DEAD_LETTER_BYTES,
    types.DEAD_LETTER_SHA256,
    types.DEAD_LETTER_OFFSET,
    types.DEAD_LETTER_AT,
    types.DEAD_LETTER_REPLAY_STATUS,
    types.DEAD_LETTER_REPLAY_BY,
    types.DEAD_LETTER_REPLAY_AT,
    types.DEAD_LETTER_REPLAYED_AT,
    types.DEAD_LETTER_REPLAY_NOTE,
)
_CUT: Final = "Only a part of this message was kept, so it can't be sent again; its offset says where it stood."
_LOST: Final = "The bytes of this message weren't kept, so it can't be sent again."


class DeadLetters(Page):
    """Query of the list."""

    vertex: str | None = Field(default=None, max_length=200)
    run: str | None = Field(default=None, max_length=200)


async def show_all(call: Call) -> Response:
    """Dead letters, newest first, without their bytes."""
    query: DeadLetters = call.query
    offset = offset_of(query.cursor)
    filters: list[Filter] = []
    if query.vertex:
        filters.append(Filter(types.DEAD_LETTER_VERTEX, "eq", query.vertex))
    if query.run:
        filters.append(Filter(types.DEAD_LETTER_RUN_GUID, "eq", query.run))
    found = await call.services.store.find(
        Query(
            types.DEAD_LETTER,
            filters=tuple(filters),
            sort_by=types.DEAD_LETTER_AT,
            is_descending=True,
            limit=query.limit + 1,
            offset=offset,
            attributes=_LISTED,
        )
    )
    page, cursor = paged(found, query.limit, offset)
    return reply({"items": [_view(letter) for letter in page], "next_cursor": cursor})


async def show(call: Call) -> Response:
    """One dead letter, with its bytes as text where they are text."""
    letter = await _letter(call)
    payload = str(letter.attributes.get(types.DEAD_LETTER_PAYLOAD) or "")
    return reply(_view(letter) | {"payload_base64": payload, "text": _text(payload)})


async def replay(call: Call) -> Response:
    """Ask that a dead letter is sent through the pipeline again; asking again while it is under way changes nothing.

    The timer finds the request within five seconds.
    """
    letter = await _letter(call)
    async with call.services.locks.hold(f"replay {letter.qualified_name}"):
        letter = (await call.services.store.get([letter.guid]))[letter.guid]
        if letter.attributes.get(types.DEAD_LETTER_REPLAY_STATUS) != ReplayStatus.ASKED:
            _require_bytes(letter)
            write = replay_write(letter, by=call.caller.name, at=call.services.clock.now_ms(), seal=call.services.seal)
            await call.services.store.upsert([write])
            letter = replace(letter, attributes={**letter.attributes, **write.attributes})
    return reply(_view(letter), 202)


def _require_bytes(letter: Entity) -> None:
    """Raises: ApiError: 409, what would be sent isn't what was refused."""
    given = letter.attributes
    try:
        payload = base64.b64decode(str(given.get(types.DEAD_LETTER_PAYLOAD) or ""), validate=True)
    except (binascii.Error, ValueError):
        payload = b""
    if not payload:
        raise ApiError("conflict", _LOST)
    if hashlib.sha256(payload).hexdigest() != given.get(types.DEAD_LETTER_SHA256):
        raise ApiError("conflict", _CUT)


async def _letter(call: Call) -> Entity:
    name = DEAD_LETTER_PREFIX + call.path("id")
    letter = await call.services.store.get_by_name(types.DEAD_LETTER, name)
    if letter is None:
        letter = (await call.services.store.get([call.path("id")])).get(call.path("id"))
    if letter is None or letter.type_name != types.DEAD_LETTER or letter.is_deleted:
        raise not_found("dead letter")
    return letter


def _view(letter: Entity) -> dict[str, Any]:
    given = letter.attributes
    return {
        "id": letter.qualified_name.removeprefix(DEAD_LETTER_PREFIX),
        "guid": letter.guid,
        "reason": given.get(types.DEAD_LETTER_REASON),
        "vertex": given.get(types.DEAD_LETTER_VERTEX),
        "run": given.get(types.DEAD_LETTER_RUN_GUID) or None,
        "bytes": given.get(types.DEAD_LETTER_BYTES),
        "sha256": given.get(types.DEAD_LETTER_SHA256),
        "source_offset": given.get(types.DEAD_LETTER_OFFSET) or None,
        "at": rfc3339(given.get(types.DEAD_LETTER_AT)),
        "replay": _replay_view(given),
    }


def _replay_view(given: Mapping[str, Any]) -> dict[str, Any] | None:
    status = given.get(types.DEAD_LETTER_REPLAY_STATUS)
    if not status:
        return None
    asked_at, done_at = given.get(types.DEAD_LETTER_REPLAY_AT) or 0, given.get(types.DEAD_LETTER_REPLAYED_AT)
    is_over = status != ReplayStatus.ASKED
    return {
        "status": status,
        "by": given.get(types.DEAD_LETTER_REPLAY_BY),
        "at": rfc3339(asked_at),
        "done_at": rfc3339(done_at) if is_over else None,
        "note": given.get(types.DEAD_LETTER_REPLAY_NOTE) if is_over else None,
        "is_refused_again": (given.get(types.DEAD_LETTER_AT) or 0) >= asked_at,
    }


def _text(payload: str) -> str | None:
    try:
        return base64.b64decode(payload).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


ROUTES: Final = (
    Route("GET", "/dead-letters", show_all, "List what was refused for good", "dead letters", Role.ADMIN,
          query=DeadLetters, answers={200: shapes.DeadLetterList}),
    Route("GET", "/dead-letters/{id}", show, "Show a dead letter", "dead letters", Role.ADMIN,
          answers={200: shapes.DeadLetter}),
    Route("POST", "/dead-letters/{id}/replay", replay, "Send a dead letter through the pipeline again", "dead letters",
          Role.ADMIN, answers={202: shapes.DeadLetter, 409: "its bytes weren't kept, so it can't be sent again"}),
)  # fmt: skip
