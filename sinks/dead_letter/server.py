"""The dead letters' sink, also used as the fallback of the other sinks, as a pynumaflow server."""

import logging
from collections.abc import AsyncIterable
from typing import Any, Final

from pynumaflow.sinker import Response, Responses, SinkAsyncServer

from pipeline.process.metrics import Handling
from sinks.dead_letter.handler import VERTEX, DeadLetterHandler

_LOG: Final = logging.getLogger("blockline.dead_letter")
AWAY: Final = "the store didn't take it yet"


def build_server(handler: DeadLetterHandler, sock_path: str, info_path: str) -> SinkAsyncServer:
    """A server on a Unix socket that is yet to be started (``aexec`` or ``start``)."""
    handling = Handling(VERTEX)

    async def handle(datums: AsyncIterable[Any]) -> Responses:
        batch = [(datum.id, datum.value) async for datum in datums]
        responses = Responses()
        try:
            with handling.time():
                kept = await handler.handle(batch)
        except Exception:  # noqa: BLE001  (logged; the batch comes again)
            _LOG.exception("%s dead letters failed", len(batch))
            kept = {}
        for ident, _ in batch:
            responses.append(Response.as_success(ident) if kept.get(ident) else Response.as_failure(ident, AWAY))
        return responses

    return SinkAsyncServer(handle, sock_path=sock_path, server_info_file=info_path)
