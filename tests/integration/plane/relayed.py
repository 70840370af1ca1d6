"""The plane's host of processes, each of which relays to a server in the test's own process."""

import os
import sys
from pathlib import Path
from typing import Any

from pipeline.core.clock import Clock
from pipeline.local.plane.direct import ServerFactory
from pipeline.local.plane.manifest import Kind
from pipeline.local.plane.processes import Command, ProcessHost
from pipeline.local.plane.sockets import SocketHost
from pipeline.process.clock import SystemClock

RELAY = Path(__file__).with_name("relay.py")


class RelayedHost(SocketHost):
    """The server as in ``sockets``, and the plane's way to it through a process that may be killed."""

    def __init__(self, factory: ServerFactory, name: str, directory: Path, clock: Clock | None = None) -> None:
        super().__init__(factory, name, directory)
        self._clock = clock or SystemClock()
        self._folder = directory
        self.process: ProcessHost | None = None
        self.lines: list[str] = []

    async def start(self, kind: Kind) -> Any:
        self._generation += 1
        self._filter.install()
        await self._serve(str(self._path), kind)
        arguments = ("-I", "-S", str(RELAY), str(self._path))
        command = Command(sys.executable, arguments, {"PATH": os.environ["PATH"]}, "RELAY_FOLDER")
        name = f"{self._name}-{self._generation}"
        self.process = ProcessHost(command, name, self._folder, self._clock, self.lines.append)
        return await self.process.start(kind)

    async def stop(self) -> None:
        if self.process is not None:
            await self.process.stop()
        await super().stop()
