"""What was refused for good, for administrators."""

import base64
import binascii
from typing import Any, Final

from pydantic import Field
from starlette.responses import Response

from api import shapes
from api.paging import Page, offset_of, paged, rfc3339
from api.problems import not_found
from api.rights import Role
from api.route import Call, Route, reply
from pipeline.core.ids import DEAD_LETTER_PREFIX
from pipeline.store import types
from pipeline.store.port import Entity, Filter, Query

_LISTED: Final = (
    types.DEAD_LETTER_REASON,
    types.DEAD_LETTER_VERTEX,
    types.DEAD_LETTER_RUN_GUID,
    types.DEAD_LETTER_BYTES,
    types.DEAD_LETTER_SHA256,
    types.DEAD_LETTER_OFFSET,
    types.DEAD_LETTER_AT,
)


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
    name = DEAD_LETTER_PREFIX + call.path("id")
    letter = await call.services.store.get_by_name(types.DEAD_LETTER, name)
    if letter is None:
        letter = (await call.services.store.get([call.path("id")])).get(call.path("id"))
    if letter is None or letter.type_name != types.DEAD_LETTER or letter.is_deleted:
        raise not_found("dead letter")
    payload = str(letter.attributes.get(types.DEAD_LETTER_PAYLOAD) or "")
    return reply(_view(letter) | {"payload_base64": payload, "text": _text(payload)})


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
)  # fmt: skip
