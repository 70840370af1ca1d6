"""Where mail goes while no mail server is configured."""

from pipeline.mail.port import Mail, Receipt, Via
from pipeline.mail.sqlite import SqliteMailbox


class OutboxMailer:
    """Keeps mails on this machine, where the API shows them; nobody gets one."""

    def __init__(self, mailbox: SqliteMailbox) -> None:
        """``mailbox`` stays the caller's to close."""
        self._mailbox = mailbox

    async def send(self, mail: Mail) -> Receipt:
        """See :class:`pipeline.mail.port.Mailer`; never fails for the mail's sake."""
        is_new = await self._mailbox.keep(mail)
        via = Via.OUTBOX if is_new else await self._mailbox.sent(mail.message_id)
        return Receipt(via or Via.OUTBOX, is_repeat=not is_new)
