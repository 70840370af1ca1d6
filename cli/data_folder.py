"""The folder of everything that survives a restart: who holds it, and the engine's key in it."""

import os
import secrets
from pathlib import Path
from typing import Final, Self

from pipeline.core.errors import BlocklineError
from pipeline.process.folder_lock import FILE_MODE, FolderHeldError, FolderLock

LOCK: Final = "up.lock"
KEY: Final = "engine.key"
KEY_BYTES: Final = 32


class DataFolderError(BlocklineError):
    """The folder can't be used; the sentence says why."""


def read_key(path: Path) -> bytes | None:
    """The engine's key in that file; None where there is none that could be one."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None
    return key if len(key) >= KEY_BYTES else None


class DataFolder:
    """Held by one process at a time, by a lock that the kernel takes back with the process."""

    def __init__(self, path: Path) -> None:
        """Nothing is made before :meth:`hold`."""
        self.path = path
        self._lock = FolderLock(path, LOCK)

    @property
    def database(self) -> Path:
        """Entities, users, outbox."""
        return self.path / "atlas.sqlite3"

    @property
    def mailbox(self) -> Path:
        """The journal of sent mail, and the local outbox."""
        return self.path / "mail.sqlite3"

    def hold(self) -> Self:
        """Make the folder if need be, and take its lock.

        Raises:
            DataFolderError: another process holds it, or it can't be made.
        """
        try:
            self._lock.take()
        except FolderHeldError:
            raise DataFolderError(f"Another `blockline up` is running on the data in {self.path}.") from None
        except OSError as error:
            raise DataFolderError(f"The data folder {self.path} can't be used: {error.strerror}.") from None
        return self

    def release(self) -> None:
        """Let others have it; may be called twice."""
        self._lock.release()

    def engine_key(self) -> bytes:
        """The key that signs everything; made at the first start, readable by its owner only.

        Raises:
            DataFolderError: it is there and isn't a key: without the right one no run can go on.
        """
        path = self.path / KEY
        if not path.exists():
            return self._new_key(path)
        key = read_key(path)
        if key is None:
            raise DataFolderError(f"{path} isn't an engine key; put the right one back from your backup.")
        return key

    def _new_key(self, path: Path) -> bytes:
        key = secrets.token_bytes(KEY_BYTES)
        fresh = path.with_suffix(".new")
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(file, "w", encoding="ascii") as writer:
            writer.write(key.hex() + "\n")
            writer.flush()
            os.fsync(writer.fileno())
        fresh.replace(path)
        return key
