"""The pynumaflow server of a runner's vertex, the same for every block."""

import logging
from typing import Final

from pynumaflow.mapper import Datum, MapAsyncServer, Message, Messages

from pipeline.blocks.shell import RunnerShell
from pipeline.process.metrics import Handling

_LOG: Final = logging.getLogger("blockline.runner")


def build_server(shell: RunnerShell, *, sock_path: str, info_path: str) -> MapAsyncServer:
    """A server that isn't started; may be called again for the same shell, as after a restart.

    ``sock_path`` is the Unix socket to listen on, ``info_path`` where pynumaflow writes what it is.
    """
    handling = Handling(shell.vertex)

    async def handle(keys: list[str], datum: Datum) -> Messages:
        del keys  # a message's tag says where it goes, not its keys
        try:
            with handling.time():
                answer = await shell.handle(datum.value)
        except Exception:  # noqa: BLE001  (what leaves a handler ends the server, and the platform's sidecar with it)
            _LOG.exception("%s can't handle a message", shell.vertex, extra={"vertex": shell.vertex})
            answer = shell.refuse(datum.value, "the runner failed at this message: its log says how")
        return Messages(Message.to_drop() if answer is None else Message(answer.payload, tags=[answer.tag]))

    return MapAsyncServer(handle, sock_path=sock_path, server_info_file=info_path)
