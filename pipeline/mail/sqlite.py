"""The journal of sent mail and the local outbox, in one SQLite file."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from pipeline.mail.compose import html_of, subject_of, text_of
from pipeline.mail.port import Mail, Via

JOURNAL_DAYS_MAX: Final = 90
"""Entries are kept this long; a dispatch is repeated for minutes, a task's retriers for hours."""
OUTBOX_MAILS_MAX: Final = 10_000
"""The oldest leave first."""
_DAY_MS: Final = 86_400_000
_BUSY_S: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sent (
    message_id TEXT PRIMARY KEY, recipient TEXT NOT NULL, via TEXT NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sent_at ON sent (at);
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE, recipient TEXT NOT NULL,
    subject TEXT NOT NULL, text TEXT NOT NULL, html TEXT NOT NULL, at INTEGER NOT NULL
);
PRAGMA user_version = 1;
"""


@dataclass(frozen=True, slots=True)
class OutboxMail:
    """A mail that stayed here; ``at`` in Unix milliseconds."""

    message_id: str
    recipient: str
    subject: str
    text: str
    html: str
    at: int


class SqliteMailbox:
    """Journal (:class:`pipeline.mail.port.MailJournal`) and outbox; may be shared by threads and processes.

    Written before ``record`` and ``keep`` return, without a pause in between, so that a cancelled attempt can't
    part the server's 250 from its entry. A killed process loses nothing; a power cut may lose the last entries, and
    then a mail is sent twice under one Message-ID.
    """

    def __init__(self, path: Path) -> None:
        """``path`` is created where it isn't there, readable by its owner only."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    async def sent(self, message_id: str) -> Via | None:
        """See :class:`pipeline.mail.port.MailJournal`."""
        with self._lock:
            row = self._db.execute("SELECT via FROM sent WHERE message_id = ?", (message_id,)).fetchone()
        return Via(row[0]) if row else None

    async def record(self, mail: Mail, via: Via) -> None:
        """See :class:`pipeline.mail.port.MailJournal`."""
        with self._transaction():
            self._record(mail, via)

    async def keep(self, mail: Mail) -> bool:
        """Put a mail into the outbox, and into the journal with it; False where it had been sent or kept before."""
        with self._transaction():
            if not self._record(mail, Via.OUTBOX):
                return False
            self._db.execute(
                "INSERT INTO outbox (message_id, recipient, subject, text, html, at) VALUES (?, ?, ?, ?, ?, ?)",
                (mail.message_id, mail.recipient, subject_of(mail), text_of(mail), html_of(mail), mail.at_ms),
            )
            self._db.execute("DELETE FROM outbox WHERE id <= (SELECT MAX(id) FROM outbox) - ?", (OUTBOX_MAILS_MAX,))
        return True

    def list_outbox(self, limit: int) -> list[OutboxMail]:
        """The mails of the outbox, newest first, ``limit`` of them at most."""
        with self._lock:
            rows = self._db.execute(
                "SELECT message_id, recipient, subject, text, html, at FROM outbox ORDER BY id DESC LIMIT ?", (limit,)
            ).fetchall()
        return [OutboxMail(*row) for row in rows]

    def close(self) -> None:
        """May be called twice."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _record(self, mail: Mail, via: Via) -> bool:
        """Whether the entry is new."""
        added = self._db.execute(
            "INSERT INTO sent (message_id, recipient, via, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (mail.message_id, mail.recipient, via, mail.at_ms),
        ).rowcount
        self._db.execute("DELETE FROM sent WHERE at < ?", (mail.at_ms - JOURNAL_DAYS_MAX * _DAY_MS,))
        return added == 1

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
