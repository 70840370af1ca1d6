"""The sink as a pynumaflow server; the last place where anything can be caught."""

import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, Final

from pynumaflow.sinker import Response, Responses, SinkAsyncServer

from sinks.atlas.answers import Answer, Fallback, Ok
from sinks.atlas.leased import Handles

_LOG: Final = logging.getLogger("blockline.sink")


def build_server(handler: Handles, sock_path: str, info_path: str) -> SinkAsyncServer:
    """A server on a Unix socket that is yet to be started (``aexec`` or ``start``)."""
    return SinkAsyncServer(_answering(handler), sock_path=sock_path, server_info_file=info_path)


def _answering(handler: Handles) -> Callable[[AsyncIterable[Any]], Awaitable[Responses]]:
    async def handle(datums: AsyncIterable[Any]) -> Responses:
        batch = [(datum.id, datum.value) async for datum in datums]
        responses = Responses()
        try:
            answers = await handler.handle(batch)
        except Exception:  # noqa: BLE001  (logged; the batch comes again)
            # Nothing of the handler raises; if it does all the same, the batch comes again and the server lives on.
            _LOG.exception("a batch of %s failed", len(batch))
            answers = {}
        for ident, _ in batch:
            responses.append(_response(ident, answers.get(ident)))
        return responses

    return handle


def _response(ident: str, answer: Answer | None) -> Any:
    if isinstance(answer, Ok):
        return Response.as_success(ident)
    if isinstance(answer, Fallback):
        letter = answer.letter
        _LOG.warning("refused for good: %s", letter.reason, extra={"vertex": letter.vertex, "run": letter.run_guid})
        return Response.as_fallback(ident)
    return Response.as_failure(ident, "failed" if answer is None else answer.reason)
