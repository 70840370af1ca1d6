"""The orchestrator as a pynumaflow server."""

from typing import Any

from pynumaflow.mapper import MapAsyncServer, Message, Messages

from pipeline.core.clock import Clock
from pipeline.process.metrics import Handling
from udfs.orchestrator.handler import VERTEX, OrchestratorHandler


def build_server(handler: OrchestratorHandler, clock: Clock, sock_path: str, info_path: str) -> MapAsyncServer:
    """A server on a Unix socket that is yet to be started (``aexec`` or ``start``)."""
    handling = Handling(VERTEX)

    async def handle(keys: list[str], datum: Any) -> Messages:  # noqa: ARG001  (Numaflow's signature)
        with handling.time():
            sent = handler.handle(datum.value, clock.now_ms())
        if not sent:
            return Messages(Message.to_drop())
        return Messages(*(Message(value=tagged.payload, tags=[tagged.tag]) for tagged in sent))

    return MapAsyncServer(handle, sock_path=sock_path, server_info_file=info_path)
