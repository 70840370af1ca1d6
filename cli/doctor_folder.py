"""``blockline doctor --data DIR``: looks into a data folder without starting anything on it, and without writing.

A lock is asked for and let go at once, which is how one learns that nobody has it.
"""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import orjson

from cli.data_folder import KEY, LOCK, DataFolder, read_key
from cli.findings import Finding, Grade
from cli.manifests import RUNNERS
from pipeline.blocks.registry import Registry
from pipeline.core.errors import BlocklineError
from pipeline.core.ids import slots_of_shard
from pipeline.core.statuses import RunStatus
from pipeline.messages.seal import Seal, Sealed
from pipeline.process.folder_lock import FolderLock
from pipeline.store import types
from pipeline.store.file_lease import found_leases

ROOM_WARN_BYTES: Final = 1024 * 1024 * 1024
ROOM_FAIL_BYTES: Final = 32 * 1024 * 1024
"""Below it the next checkpoint of the store may not fit."""
RUNS_MAX: Final = 10_000
"""Living runs that are looked at, the newest first."""
_MIB: Final = 1024 * 1024
_BLOCKS_NAMED: Final = 5
_LIVING: Final = "type = ? AND is_deleted = 0 AND json_extract(attributes, ?) = ?"


def folder_findings(path: Path) -> Iterator[Finding]:
    """What is in the folder, one after the other; the first ones say whether there is anything to look at."""
    folder = DataFolder(path)
    if not folder.database.is_file():
        yield Finding("folder", Grade.FAIL, f"{path} holds no data of `blockline up`: is --data right?")
        return
    is_held = FolderLock(path, LOCK).is_held()
    said = "a `blockline up` runs on it: `blockline doctor` without --data asks it more" if is_held else "nothing runs"
    yield Finding("lock", Grade.OK, said)
    yield from leases(path)
    yield room(shutil.disk_usage(path).free)
    key = read_key(path / KEY)
    yield key_finding(path / KEY, key)
    try:
        with closing(_opened(folder.database, is_held=is_held)) as database:
            yield from store_findings(database, key)
    except sqlite3.Error as error:
        yield Finding("store", Grade.FAIL, f"the file of the entities can't be read ({error}): put a backup back")


def leases(path: Path) -> Iterator[Finding]:
    """Who writes which slots of the runs."""
    found = found_leases(path)
    if not found.shards:
        yield Finding("leases", Grade.OK, "no sink has run here yet")
        return
    for shard in sorted({*found.states, *range(found.shards)}):
        state = found.states.get(shard, "new")
        if shard >= found.shards and state == "free":
            continue  # of an earlier, larger number of sinks
        slots = slots_of_shard(shard, found.shards) if shard < found.shards else range(0)
        what = f"slots {slots.start} to {slots.stop - 1}" if slots else "of another number of sinks"
        said = {
            "new": f"sink {shard} takes {what} with its first message",
            "held": f"sink {shard} holds {what}",
            "free": f"sink {shard} gave {what} back",
            "killed": f"sink {shard} was killed while it held {what}: a start takes them over by itself",
        }
        yield Finding("leases", Grade.WARN if state == "killed" else Grade.OK, said[state])


def room(free_bytes: int) -> Finding:
    """What the disk has left."""
    detail = f"{free_bytes // _MIB} MiB are free"
    if free_bytes < ROOM_FAIL_BYTES:
        return Finding("room", Grade.FAIL, f"{detail}: make room, or nothing can be written")
    if free_bytes < ROOM_WARN_BYTES:
        return Finding("room", Grade.WARN, f"{detail}: make room before writes are refused")
    return Finding("room", Grade.OK, detail)


def key_finding(path: Path, key: bytes | None) -> Finding:
    """Whether it is there, and its owner's alone."""
    if key is None:
        return Finding("key", Grade.FAIL, f"{path.name} is missing or no key: put it back, or no run can go on")
    if path.stat().st_mode & 0o077:
        return Finding("key", Grade.WARN, f"others may read {path.name}, and who has it can sign: chmod 600")
    return Finding("key", Grade.OK, f"{path.name} is there, and its owner's alone")


def store_findings(database: sqlite3.Connection, key: bytes | None) -> Iterator[Finding]:
    """What the file of the entities holds."""
    (broken,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if broken != "ok":
        yield Finding("store", Grade.FAIL, f"the file of the entities is damaged ({broken}): put a backup back")
        return
    entities, users, events = (
        database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  (names of ours)
        for table in ("entity", "user", "outbox")
    )
    yield Finding("store", Grade.OK, f"{entities} entities and {users} users, undamaged")
    yield Finding("events", Grade.OK, f"{events} events wait to be handled" + (" at the next start" if events else ""))
    yield from run_findings(database, key)
    (letters,) = database.execute(
        "SELECT count(*) FROM entity WHERE type = ? AND is_deleted = 0 AND json_extract(attributes, ?) IS NULL",
        (types.DEAD_LETTER, f"$.{types.DEAD_LETTER_REPLAY}"),
    ).fetchone()
    detail = f"{letters} weren't sent again: `blockline dead-letter list`, once it runs" if letters else "none waits"
    yield Finding("letters", Grade.WARN if letters else Grade.OK, detail)


def run_findings(database: sqlite3.Connection, key: bytes | None) -> Iterator[Finding]:
    """Runs that live: whether this key signed them, and whether each of their blocks is installed."""
    rows = database.execute(
        f"SELECT guid, json_extract(attributes, ?) FROM entity WHERE {_LIVING} ORDER BY id DESC LIMIT ?",  # noqa: S608  (a constant)
        (f"$.{types.RUN_CONFIG}", types.RUN, f"$.{types.RUN_STATUS}", RunStatus.PENDING, RUNS_MAX),
    ).fetchall()
    documents = [(guid, text) for guid, text in rows if text]
    yield Finding("runs", Grade.OK, f"{len(rows)} live" + (", and more" if len(rows) == RUNS_MAX else ""))
    if key is not None:
        forged = sum(not _is_ours(Seal(key), guid, text) for guid, text in documents)
        detail = f"{forged} living runs weren't signed by this {KEY}: with the right one from your backup they go on"
        yield Finding("signatures", Grade.FAIL, detail) if forged else Finding("signatures", Grade.OK, "all are ours")
    installed = set(Registry.load(RUNNERS).types())
    lacking = Counter(name for _, text in documents for name in _types(text) - installed)
    for name, count in sorted(lacking.items())[:_BLOCKS_NAMED]:
        detail = f"no block of type {name} is installed, and {count} living runs use it: install it before the start"
        yield Finding("blocks", Grade.FAIL, detail)
    if not lacking:
        yield Finding("blocks", Grade.OK, f"{len(installed)} types, and living runs use no others")


def _opened(path: Path, *, is_held: bool) -> sqlite3.Connection:
    """Read only; where nobody writes and nothing is left in the journal, SQLite needn't even make its own files."""
    is_still = not is_held and not path.with_name(path.name + "-wal").exists()
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if is_still else ''}", uri=True)


def _is_ours(seal: Seal, guid: str, text: str) -> bool:
    try:
        seal.open(Sealed.DOCUMENT, guid, text)
    except BlocklineError:
        return False
    return True


def _types(text: str) -> set[str]:
    try:
        document: Any = orjson.loads(text)
        return {str(task["type"]) for task in document["dag"]["tasks"]}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return set()  # `signatures` speaks of it
