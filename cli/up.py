"""``blockline up``: the whole product on one port, in one process or in one a vertex."""

import asyncio
import contextlib
import gc
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final

from cli.context import Context
from cli.data_folder import DataFolder
from cli.stopping import asked_to_stop, ending_in_peace
from pipeline.core.errors import BlocklineError
from pipeline.process.clock import SystemClock
from pipeline.process.logs import configure
from pipeline.process.settings import ServerSettings, server_settings

STOP_S: Final = 3
"""Requests under way may take this long at a stop; event streams and waits are told to end."""
BACKLOG: Final = 2048
LISTENING_S: Final = 0.005
KEEP_ALIVE_S: Final = 30
GARBAGE_LOOKS: Final = (20_000, 20, 10)
"""Objects that may come before Python looks for garbage that holds itself, and how many looks make a deeper one.

Its own 700 are a look every 2 ms under load, for next to no such garbage; a look at 20,000 takes about 2 ms.
"""
_FLAGS: Final = {name: name for name in ("data", "host", "port", "atlas", "kafka", "transport", "shards")}
_LOG: Final = logging.getLogger("blockline.up")


class UpError(BlocklineError):
    """It can't be started as asked."""


def up(context: Context) -> int:
    """Run until Ctrl-C or SIGTERM, however early it comes; 0 then, and 1 when something ended that shouldn't have."""
    with ending_in_peace():
        return _up(context)


def _up(context: Context) -> int:
    flags = {name: context.argument(argument) for name, argument in _FLAGS.items()}
    settings = server_settings(context.environment, {**flags, "is_isolated": context.argument("isolated")})
    _refuse(settings)
    folder = DataFolder(Path(settings.data)).hold()
    try:
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # else it tells of every start of a child process
        listener = _listener(settings)
        configure(settings.log_level, settings.log_format)
        # It takes as long as everything else together; beside the embedded Atlas hardly anything needs it.
        loaded = _load_pyatlan() if settings.atlas else None
        import uvloop  # noqa: PLC0415  (who only wants to know why it can't start shouldn't wait)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(context, settings, folder, listener, loaded))
    finally:
        folder.release()


async def _serve(
    context: Context,
    settings: ServerSettings,
    folder: DataFolder,
    listener: socket.socket,
    loaded: "Future[None] | None",
) -> int:
    from cli.machine import Machine  # noqa: PLC0415  (imports the rest of the product)

    stopping = asked_to_stop(asyncio.get_running_loop())
    clock = SystemClock()
    began_s = clock.monotonic_s()
    address = _address(settings, listener)
    machine = Machine(
        settings,
        folder,
        clock,
        environment=context.environment,
        tell_passwords=partial(_tell_passwords, context),
    )
    try:
        starting = asyncio.create_task(machine.start(address, loaded))
        app = await _unless(stopping, starting)
        if app is None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return 0
        server = _server(app)
        serving = asyncio.create_task(server.serve([listener]))
        failing = asyncio.create_task(machine.watch())
        while not server.started and not serving.done():
            await clock.sleep(LISTENING_S)
        # What was made by the start lives as long as the process: it needn't be looked through again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE_LOOKS)
        outbox = f"; mails stay here: {address}/outbox" if machine.has_outbox else ""
        context.say(f"Blockline is ready at {address} ({clock.monotonic_s() - began_s:.1f} s){outbox}")
        code = await _until_stopped(stopping, serving, failing)
        machine.hub.close()
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)
        failing.cancel()
        await asyncio.gather(failing, return_exceptions=True)
    finally:
        await machine.stop()
    return code


def _tell_passwords(context: Context, passwords: Mapping[str, str]) -> None:
    if passwords:
        context.say("First start: these users were made. Their passwords are shown this once:")
    for name, password in passwords.items():
        context.say(f"  {name:<10} password: {password}")


async def _until_stopped(stopping: asyncio.Event, *tasks: "asyncio.Task[Any]") -> int:
    """The exit code: 0 when it was asked to stop, 1 when something ended that shouldn't have."""
    try:
        await _unless(stopping, *tasks)
    except Exception:  # noqa: BLE001  (logged: the rest is still to be stopped)
        _LOG.exception("something that should go on has ended, so all of it ends")
    return 0 if stopping.is_set() else 1


async def _unless(stopping: asyncio.Event, *tasks: "asyncio.Task[Any]") -> Any:
    """The first task's result, or None if it was asked to stop before; the tasks that failed raise."""
    stopped = asyncio.create_task(stopping.wait())
    try:
        done, _ = await asyncio.wait((stopped, *tasks), return_when=asyncio.FIRST_COMPLETED)
        if stopped in done and tasks[0] not in done:
            return None
        return next(task for task in tasks if task in done).result()
    finally:
        stopped.cancel()


def _server(app: Any) -> Any:
    import uvicorn  # noqa: PLC0415  (as above)

    class Server(uvicorn.Server):
        """Leaves signals to us: the rest is to be stopped as well."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
    )
    return Server(config)


def _refuse(settings: ServerSettings) -> None:
    if settings.atlas:
        from cli.atlas import refuse_unusable  # noqa: PLC0415  (imports much of the product)

        refuse_unusable(settings)


def _listener(settings: ServerSettings) -> socket.socket:
    """The port, taken before anything is started.

    Raises:
        UpError: somebody has it, or the address isn't this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise UpError(f"Port {settings.port} of {settings.host} can't be taken: {error.strerror}.") from None
    listener.setblocking(False)
    return listener


def _address(settings: ServerSettings, listener: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}"


def _load_pyatlan() -> "Future[None]":
    from pipeline.store.pyatlan_client import load_in_a_thread  # noqa: PLC0415  (as above)

    return load_in_a_thread()
