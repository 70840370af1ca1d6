"""A folder that one process has at a time, by a lock on a file in it: the kernel takes it back when its holder ends."""

import fcntl
import os
from pathlib import Path
from typing import Final

from pipeline.core.errors import BlocklineError

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


class FolderHeldError(BlocklineError):
    """Another process has it."""


class FolderLock:
    """Not held at first."""

    def __init__(self, folder: Path, name: str) -> None:
        """``name`` of the file in ``folder``."""
        self._folder = folder
        self._name = name
        self._file: int | None = None

    def take(self) -> None:
        """Make the folder if need be, readable by its owner only, and take the lock without waiting.

        Raises:
            FolderHeldError: another process has it.
            OSError: the folder or the file can't be made.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        file = os.open(self._folder / self._name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise FolderHeldError("Another process has this folder.") from None
        self._file = file

    def is_held(self) -> bool:
        """Whether some process has it; makes nothing.

        Raises:
            OSError: the file can't be opened.
        """
        return is_locked(self._folder / self._name)

    def release(self) -> None:
        """Let others have it; may be called twice."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def is_locked(path: Path) -> bool:
    """Whether some process holds a lock on the file that excludes others; where there is no file, nobody does.

    Raises:
        OSError: the file can't be opened.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
