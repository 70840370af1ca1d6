"""The product as a child process: what end-to-end tests and benchmarks start, ask, kill and start again."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from pipeline.process.clock import SystemClock

START_TIMEOUT_S: Final = 200.0
STOP_TIMEOUT_S: Final = 20.0
_POLL_S: Final = 0.02


class ProductError(Exception):
    """The product didn't do what was asked; the text holds the end of its output."""


class Product:
    """``blockline up`` on a data folder and a free port; may be started again after it was stopped or killed.

    Its output goes to ``<folder>/up.log``. Passwords: ``admin`` gets :attr:`password` by
    ``BLOCKLINE_ADMIN_PASSWORD``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        environment: dict[str, str] | None = None,
        arguments: tuple[str, ...] = (),
        password: str = "admin-of-the-tests",
        sources: Path | None = None,
    ) -> None:
        """``environment`` is added to this process' own, ``arguments`` to ``up``; ``password`` is admin's. ``sources``:
        a folder with a copy of the packages to run in place of this checkout's.
        """
        self._sources = sources
        self.folder = folder
        self.password = password
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "up.log"
        self._environment = {**os.environ, **(environment or {}), "BLOCKLINE_ADMIN_PASSWORD": self.password}
        self.arguments = arguments
        """Of the next start."""
        self._process: subprocess.Popen[bytes] | None = None
        self._clock = SystemClock()

    @property
    def pid(self) -> int:
        """Process id of the running product."""
        if self._process is None:
            msg = "the product isn't running"
            raise ProductError(msg)
        return self._process.pid

    def start(self) -> float:
        """Start it and wait until it is ready; seconds until then.

        Raises:
            ProductError: it exited, or wasn't ready in time (it is killed then).
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        began = self._clock.monotonic_s()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "cli", "up"),
                    *("--data", str(self.folder / "data"), "--port", str(self.port)),
                    *self.arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._sources,
                start_new_session=True,
            )
        while self._clock.monotonic_s() - began < START_TIMEOUT_S:
            if self._process.poll() is not None:
                msg = f"the product exited with {self._process.returncode}: {self.tail()}"
                raise ProductError(msg)
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == httpx.codes.OK:
                    return self._clock.monotonic_s() - began
            time.sleep(_POLL_S)  # noqa: TID251  (polls with a deadline)
        self.kill()
        msg = f"the product wasn't ready after {START_TIMEOUT_S:.0f} s: {self.tail()}"
        raise ProductError(msg)

    def kill(self) -> None:
        """``kill -9`` of the whole process tree, as a power cut would."""
        self._signal_all(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """Ask it to stop (SIGTERM); its exit code.

        Raises:
            ProductError: it didn't stop in time (it is killed then).
        """
        if self._process is None:
            return 0
        process = self._process
        process.terminate()
        try:
            code = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            msg = f"the product didn't stop within {STOP_TIMEOUT_S:.0f} s: {self.tail()}"
            raise ProductError(msg) from None
        self._process = None
        return code

    def client(self, user: str = "admin", password: str | None = None, *, timeout_s: float = 30) -> httpx.Client:
        """A client of the API, as ``user``."""
        return httpx.Client(
            base_url=f"{self.url}/api/v1",
            auth=(user, self.password if password is None else password),
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )

    def tail(self, characters: int = 3000) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def printed_passwords(self) -> dict[str, str]:
        """The passwords of the default users, as printed at the first start."""
        return dict(re.findall(r"^\s*(\w+)\s+password:?\s+(\S+)", self.log.read_text(errors="replace"), re.MULTILINE))

    def __enter__(self) -> Self:
        """Started."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stopped; killed when the test has failed already."""
        if error is None:
            self.stop()
        else:
            self.kill()

    def _signal_all(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
