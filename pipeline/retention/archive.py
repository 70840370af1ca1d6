"""The files of the archive: ``YYYY-MM-DD.jsonl.gz``, a line a run, by the day (UTC) on which it was archived.

What is kept is first a part of its day, ``YYYY-MM-DD.NNNNNN.jsonl.gz``: written under another name, fsynced, then
renamed, so that a part is whole or isn't there. At the end of a pass the parts are joined to the file of their day in
the same way. A run may stand in the archive twice (an interruption between the two); whoever reads merges its copies.
``purging.json`` is the journal of what is being removed from the store: all of it is in the archive already.
"""

import gzip
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Self

from pipeline.messages.canonical import MalformedError, decode, encode
from pipeline.process.folder_lock import FILE_MODE, FolderHeldError, FolderLock
from pipeline.retention.records import ArchivedRun, ArchiveError, merged, parse_line

ENDING: Final = ".jsonl.gz"
JOURNAL: Final = "purging.json"
LOCK: Final = "retention.lock"
_FRESH: Final = ".new"
_DAY_CHARS: Final = len("2000-01-01")
_LEVEL: Final = 6


class Archive:
    """One folder. Who writes holds it; who reads needn't. Methods block."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made before :meth:`hold`."""
        self.folder = folder
        self._lock = FolderLock(folder, LOCK)

    def hold(self) -> Self:
        """Make the folder if need be, take its lock, and clear away what an interruption left half written.

        Raises:
            ArchiveError: another process archives into it, or it can't be made.
        """
        try:
            self._lock.take()
        except FolderHeldError:
            sentence = "Another process is archiving into this folder; `blockline up` does it by itself."
            raise ArchiveError(sentence) from None
        except OSError as error:
            raise ArchiveError(f"The archive can't be used: {error.strerror}.") from None
        for left in self.folder.glob(f"*{_FRESH}"):
            left.unlink(missing_ok=True)
        return self

    def release(self) -> None:
        """Let others write; may be called twice."""
        self._lock.release()

    def keep(self, day: str, runs: Iterable[ArchivedRun]) -> None:
        """Put runs into the archive: they are on disk when this returns.

        Raises:
            ArchiveError: they aren't, for a full disk as a rule; nothing half written is left.
        """
        numbers = [int(part.name[_DAY_CHARS + 1 :].partition(".")[0]) for part in self._parts(day)]
        number = max(numbers, default=0) + 1
        packed = gzip.compress(b"".join(run.line() for run in runs), compresslevel=_LEVEL, mtime=0)
        self._write(self.folder / f"{day}.{number:06d}{ENDING}", lambda writer: writer.write(packed))

    def fold(self) -> None:
        """Join the parts of each day to the file of that day. May be called twice.

        Raises:
            ArchiveError: as :meth:`keep`; the parts stay, and are read.
        """
        for day in sorted({part.name[:_DAY_CHARS] for part in self._parts("*")}):
            parts, whole = self._parts(day), self.folder / (day + ENDING)
            self._write(whole, partial(_join, [*([whole] if whole.exists() else []), *parts]))
            for part in parts:
                part.unlink(missing_ok=True)

    def runs(self, day: str = "*") -> Iterator[tuple[str, ArchivedRun]]:
        """Everything in it by day, the oldest first; copies as they come.

        Raises:
            ArchiveError: a file is damaged.
        """
        for path in sorted(self.folder.glob(f"{day}{ENDING}")):
            own_day = path.name[:_DAY_CHARS]
            try:
                yield from ((own_day, run) for run in _runs_in(path))
            except FileNotFoundError:  # joined meanwhile to the file of its day
                yield from ((own_day, run) for run in _runs_in(self.folder / (own_day + ENDING)))

    def run(self, guid: str, day: str) -> ArchivedRun | None:
        """The run of that guid, archived on that day or (``*``) any; its copies merged.

        Raises:
            ArchiveError: a file is damaged.
        """
        return merged(run for _, run in self.runs(f"{day}*" if day != "*" else day) if run.guid == guid)

    def being_purged(self) -> list[str]:
        """Guids that an interruption may have left in the store, and that are to leave it: the journal.

        Raises:
            ArchiveError: it can't be read.
        """
        try:
            guids = decode((self.folder / JOURNAL).read_bytes())["guids"]
        except FileNotFoundError:
            return []
        except (OSError, MalformedError, KeyError, TypeError) as error:
            raise ArchiveError(f"{JOURNAL} of the archive can't be read; put it back from your backup.") from error
        return [str(guid) for guid in guids]

    def purging(self, guids: list[str]) -> None:
        """Note down what is about to leave the store; an empty list: it has.

        Raises:
            ArchiveError: as :meth:`keep`.
        """
        path = self.folder / JOURNAL
        if guids:
            journal = encode({"format": 1, "guids": guids})
            self._write(path, lambda writer: writer.write(journal))
        else:
            path.unlink(missing_ok=True)
            self._sync()

    def _parts(self, day: str) -> list[Path]:
        return sorted(self.folder.glob(f"{day}.[0-9][0-9][0-9][0-9][0-9][0-9]{ENDING}"))

    def _write(self, path: Path, fill: Callable[[BinaryIO], object]) -> None:
        """The file with what ``fill`` writes, whole or not at all."""
        fresh = path.with_name(path.name + _FRESH)
        try:
            with _new_file(fresh) as writer:
                fill(writer)
                writer.flush()
                os.fsync(writer.fileno())
            fresh.replace(path)
            self._sync()
        except OSError as error:
            fresh.unlink(missing_ok=True)
            sentence = f"The archive can't be written ({error.strerror}), so nothing leaves the store."
            raise ArchiveError(sentence) from None

    def _sync(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _join(paths: Iterable[Path], writer: BinaryIO) -> None:
    for path in paths:
        with path.open("rb") as reader:
            shutil.copyfileobj(reader, writer)


def _new_file(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE), "wb")


def _runs_in(path: Path) -> Iterator[ArchivedRun]:
    try:
        with gzip.open(path, "rb") as lines:
            yield from map(parse_line, lines)
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise ArchiveError(f"{path.name} of the archive is damaged; put it back from your backup.") from error
