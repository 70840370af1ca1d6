"""The transport to servers in processes of their own, each started by its container's command.

A process has a session and a folder of its own: its socket is in the folder, and whatever it starts is in the session,
whose end is the end of all of it. It ends with this process, however that ends.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.core.clock import Clock
from pipeline.local.plane.line import Line, Link
from pipeline.local.plane.links import ServerEndedError
from pipeline.local.plane.manifest import Kind

START_S: Final = 180.0
"""A process that doesn't serve by then is ended, and another one is started."""
STOP_S: Final = 8.0
"""Between the request to end and the end by force: a sink gives its lease back when its batch is written."""
LOOK_S: Final = 0.02
LINE_CHARS_MAX: Final = 4_000
_LINES_KEPT: Final = 3
_READ_BYTES: Final = 64 * 1024
_CHILD: Final = Path(__file__).parents[1] / "child.py"
_FILES: Final = {
    Kind.SOURCE: ("source.sock", "sourcer-server-info"),
    Kind.MAP: ("map.sock", "mapper-server-info"),
    Kind.SINK: ("sink.sock", "sinker-server-info"),
}


@dataclass(frozen=True, slots=True)
class Command:
    """How a vertex's process is started. Its folder is told it as ``folder_variable``."""

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder_variable: str


class ProcessHost:
    """See :class:`~pipeline.local.plane.links.Host`: a new process each time. Belongs to one event loop, whose thread
    must live as long as this process (the kernel ends a process with the *thread* that started it).
    """

    def __init__(self, command: Command, name: str, directory: Path, clock: Clock, tell: Callable[[str], None]) -> None:
        """Nothing is started; ``directory`` exists and its path is short. ``tell`` gets each line that the process
        writes, to either of its outputs.
        """
        self._command = command
        self._name = name
        self._directory = directory
        self._clock = clock
        self._tell = tell
        self._generation = 0
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._line = Line(name)
        self._last: deque[str] = deque(maxlen=_LINES_KEPT)

    @property
    def pid(self) -> int | None:
        """The process' id while it runs."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    @property
    def _folder(self) -> Path:
        return self._directory / f"{self._name}.{self._generation}"

    async def start(self, kind: Kind) -> Link:
        """See :class:`~pipeline.local.plane.links.Host`.

        Raises:
            ServerEndedError: the process ended, or didn't serve in time; the text has its last words.
        """
        self._generation += 1
        socket_name, info_name = _FILES[kind]
        socket = self._line.path_of(self._folder / socket_name)
        try:
            await self._launch()
            await self._serves(self._folder / info_name)
            return await self._line.open(kind, socket)
        except BaseException:
            await self.stop()
            raise

    async def _launch(self) -> None:
        self._folder.mkdir(mode=0o700)
        self._last.clear()
        command = self._command
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()), command.program, *command.arguments),
            stdin=asyncio.subprocess.PIPE,  # where the kernel can't be asked, the process ends when this closes
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**command.environment, command.folder_variable: str(self._folder)},
            start_new_session=True,
        )
        self._listening = asyncio.create_task(self._listen(process))

    async def _serves(self, info: Path) -> None:
        """Until it has said, as to Numaflow, that it serves."""
        until_s = self._clock.monotonic_s() + START_S
        while not await asyncio.to_thread(info.exists):
            if self._process is None or self._process.returncode is not None:
                raise await self._ended()
            if self._clock.monotonic_s() > until_s:
                raise ServerEndedError(f"it doesn't serve {START_S:.0f} s after its start")
            await self._clock.sleep(LOOK_S)

    async def _ended(self) -> ServerEndedError:
        if self._listening is not None:
            await asyncio.wait((self._listening,), timeout=1)
        code = None if self._process is None else self._process.returncode
        return ServerEndedError(f"its process ended with {code}: {' / '.join(self._last) or 'it said nothing'}")

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Pass on what it says; a line that never ends is cut."""
        if process.stdout is None:
            return
        rest = b""
        while chunk := await process.stdout.read(_READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_CHARS_MAX:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._say(line)
        if rest:
            self._say(rest)

    def _say(self, line: bytes) -> None:
        text = line.decode(errors="replace")[:LINE_CHARS_MAX]
        self._last.append(text)
        self._tell(text)

    async def stop(self) -> None:
        """See :class:`~pipeline.local.plane.links.Host`."""
        await self._line.close()
        if self._process is not None:
            await self._end(self._process)
            self._process = None
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Asked to end, then made to, with all that it started; whoever cancels this gets the latter at once."""
        try:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            self._tell(f"{self._name} doesn't end within {STOP_S:.0f} s, and is ended")
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
