"""Mail in memory: a journal for a process without a data folder, and a mailer that tests and examples script."""

from pipeline.mail.port import Mail, MailConnectionError, MailRefusedError, Receipt, Via


class MemoryMailJournal:
    """Remembers as long as the process lives: enough against a repeated dispatch, not against a restart."""

    def __init__(self) -> None:
        """Empty."""
        self._sent: dict[str, Via] = {}

    async def sent(self, message_id: str) -> Via | None:
        """See :class:`pipeline.mail.port.MailJournal`."""
        return self._sent.get(message_id)

    async def record(self, mail: Mail, via: Via) -> None:
        """See :class:`pipeline.mail.port.MailJournal`."""
        self._sent.setdefault(mail.message_id, via)


class MemoryMailer:
    """Keeps what it sent in ``mails``; ``is_away`` and ``refused`` (addresses, ``*`` for all) can be changed."""

    def __init__(self, *, is_away: bool = False, refused: frozenset[str] = frozenset()) -> None:
        """Accepts everything unless told otherwise."""
        self.is_away = is_away
        self.refused = refused
        self.mails: list[Mail] = []
        self._journal = MemoryMailJournal()

    async def send(self, mail: Mail) -> Receipt:
        """See :class:`pipeline.mail.port.Mailer`."""
        if await self._journal.sent(mail.message_id):
            return Receipt(Via.SMTP, is_repeat=True)
        if self.is_away:
            raise MailConnectionError("the mail server can't be reached")
        if {mail.recipient, "*"} & self.refused:
            raise MailRefusedError("the mail server refused it: 550 no such user")
        self.mails.append(mail)
        await self._journal.record(mail, Via.SMTP)
        return Receipt(Via.SMTP)
