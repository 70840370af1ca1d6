"""The mailer that the settings ask for, put together in one place."""

from pathlib import Path
from typing import NamedTuple

from pipeline.mail.outbox import OutboxMailer
from pipeline.mail.port import Mailer, Via
from pipeline.mail.settings import SmtpSettings
from pipeline.mail.smtp import SmtpMailer
from pipeline.mail.sqlite import SqliteMailbox


class OpenedMail(NamedTuple):
    """``via`` says whether mails leave this machine; ``mailbox`` is the caller's to close."""

    mailer: Mailer
    mailbox: SqliteMailbox
    via: Via


def open_mailer(smtp_url: str, sender: str, path: Path) -> OpenedMail:
    """A mailer to ``smtp_url``, or into the local outbox where that is empty; journal and outbox are in ``path``.

    Raises:
        MailSettingsError: the URL, or ``sender``, can't be used.
    """
    settings = SmtpSettings.parse(smtp_url) if smtp_url else None
    mailbox = SqliteMailbox(path)
    if settings is None:
        return OpenedMail(OutboxMailer(mailbox), mailbox, Via.OUTBOX)
    return OpenedMail(SmtpMailer(settings, sender, mailbox), mailbox, Via.SMTP)
