"""Ctrl-C and SIGTERM of a process that serves: whenever they come, it ends in peace with the exit code 0."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def ending_in_peace() -> Iterator[None]:
    """While nothing was started that has to be stopped, whoever asks gets it at once. Once all was stopped, asking
    again changes nothing: the process is about to end. Where it raises, the signals mean what they meant before.

    Most of a start is imports. An exception in the middle of one can be swallowed or end in a trace; and the kernel
    takes back what is held so far, a lock and a port.
    """
    before = {number: signal.signal(number, _end) for number in _SIGNALS}
    try:
        yield
    except BaseException:
        for number, handler in before.items():
            signal.signal(number, handler)
        raise
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def asked_to_stop(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    """Set once somebody asks; the signals are the loop's until it is closed."""
    asked = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, asked.set)
    return asked


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    os._exit(0)
