"""The palette: which blocks there are and what they take."""

from typing import Final

from starlette.responses import Response

from api import shapes
from api.problems import not_found
from api.route import Call, Route, reply


async def show_all(call: Call) -> Response:
    """All installed blocks, by type."""
    return reply({"items": list(call.services.catalog.palette()), "next_cursor": None})


async def show(call: Call) -> Response:
    """One block."""
    wanted = call.path("type")
    for block in call.services.catalog.palette():
        if block["type"] == wanted:
            return reply(block)
    raise not_found("block")


ROUTES: Final = (
    Route("GET", "/blocks", show_all, "List the blocks", "blocks", answers={200: shapes.BlockList}),
    Route("GET", "/blocks/{type}", show, "Show a block", "blocks", answers={200: shapes.Block}),
)
