"""Mail by SMTP, encrypted where the settings ask for it, with a journal that keeps a repeat from being sent."""

import asyncio
import logging
import re
import ssl
from typing import Final

import aiosmtplib

from pipeline.mail.compose import compose
from pipeline.mail.port import Mail, MailConnectionError, MailJournal, MailRefusedError, Receipt, Via, is_address
from pipeline.mail.settings import MailSettingsError, SmtpSettings, StartTls

SMTP_TIMEOUT_S: Final = 20.0
"""For each answer of the server."""
SMTP_CONNECTIONS_MAX: Final = 8
"""At a time and process: mail servers refuse who opens many."""
_REASON_CHARS_MAX: Final = 200
_ROUNDS_TO_CLOSE: Final = 2
"""Of the event loop, from abort() to a closed socket: one, and one more under TLS."""
_REFUSED_FROM: Final = 500
"""SMTP: 4xx is for now, 5xx for good (RFC 5321, 4.2.1)."""
_LOG: Final = logging.getLogger("blockline.mail")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")


class SmtpMailer:
    """A connection a mail. One instance belongs to one event loop."""

    def __init__(self, settings: SmtpSettings, sender: str, journal: MailJournal) -> None:
        """``sender`` is the From address.

        Raises:
            MailSettingsError: ``sender`` isn't an address, or the file of certificates can't be read.
        """
        if not is_address(sender):
            raise MailSettingsError("BLOCKLINE_MAIL_FROM must be a mail address, like blockline@example.com")
        self._settings = settings
        self._sender = sender
        self._journal = journal
        self._tls = _tls(settings)
        self._places = asyncio.Semaphore(SMTP_CONNECTIONS_MAX)

    async def send(self, mail: Mail) -> Receipt:
        """See :class:`pipeline.mail.port.Mailer`."""
        async with self._places:
            via = await self._journal.sent(mail.message_id)
            if via is not None:
                return Receipt(via, is_repeat=True)
            client = await self._connected()
            transport = client.transport
            try:
                await self._deliver(client, mail)
                # Right after the 250, before the good-bye: what stands in the journal is what the server took.
                await self._record(mail)
                await _say_good_bye(client)
            finally:
                await _hang_up(client, transport)
        return Receipt(Via.SMTP)

    async def _record(self, mail: Mail) -> None:
        try:
            await self._journal.record(mail, Via.SMTP)
        except Exception:  # noqa: BLE001  (the mail is out: failing would send it again)
            _LOG.exception("a mail was sent and can't be entered in the journal")

    async def _connected(self) -> aiosmtplib.SMTP:
        """A session up to the log-in. What goes wrong here says nothing about a mail, so it is worth repeating."""
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            local_hostname=self._sender.rpartition("@")[2] or "localhost",
            timeout=SMTP_TIMEOUT_S,
            use_tls=settings.is_tls,
            start_tls={StartTls.REQUIRE: True, StartTls.OFFERED: None, StartTls.NEVER: False}[settings.starttls],
            tls_context=self._tls,
        )
        try:
            await client.connect()
            await self._log_in(client)
        except aiosmtplib.SMTPAuthenticationError as error:
            raise MailConnectionError(f"the mail server refused the log-in: {self._reason(error)}") from None
        except aiosmtplib.SMTPResponseException as error:
            raise MailConnectionError(f"the mail server isn't ready: {self._reason(error)}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailConnectionError(_why_no_session(error)) from None
        return client

    async def _log_in(self, client: aiosmtplib.SMTP) -> None:
        """Apart from connecting: who is refused by ``connect`` can't be hung up on."""
        if self._settings.user is None:
            return
        try:
            await client.login(self._settings.user, self._settings.password or "", timeout=SMTP_TIMEOUT_S)
        except BaseException:
            await _hang_up(client, client.transport)
            raise

    async def _deliver(self, client: aiosmtplib.SMTP, mail: Mail) -> None:
        try:
            await client.send_message(
                compose(mail, self._sender), sender=self._sender, recipients=[mail.recipient], timeout=SMTP_TIMEOUT_S
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise self._refusal(error.recipients[0]) from None
        except aiosmtplib.SMTPResponseException as error:
            raise self._refusal(error) from None
        except aiosmtplib.SMTPNotSupported:
            raise MailRefusedError("the mail server can't take an address of this kind") from None
        except (aiosmtplib.SMTPException, OSError):
            raise MailConnectionError("the connection to the mail server broke before it accepted the mail") from None

    def _refusal(self, error: aiosmtplib.SMTPResponseException) -> MailConnectionError | MailRefusedError:
        if error.code >= _REFUSED_FROM:
            return MailRefusedError(f"the mail server refused it: {self._reason(error)}")
        return MailConnectionError(f"the mail server asked to try later: {self._reason(error)}", is_server_away=False)

    def _reason(self, error: aiosmtplib.SMTPResponseException) -> str:
        """The server's own words, on one line; a server that repeats the password is not repeated."""
        text = _UNPRINTABLE.sub(" ", error.message)
        if self._settings.password:
            text = text.replace(self._settings.password, "***")
        return f"{error.code} {text}"[:_REASON_CHARS_MAX].strip()


async def _hang_up(client: aiosmtplib.SMTP, transport: asyncio.BaseTransport | None) -> None:
    """Nothing of the session is open afterwards. A close under TLS, as after QUIT, waits for the server's own."""
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
    client.close()
    for _ in range(_ROUNDS_TO_CLOSE):
        await asyncio.sleep(0)


def _tls(settings: SmtpSettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if settings.cafile:
        try:
            context.load_verify_locations(cafile=settings.cafile)
        except (OSError, ssl.SSLError):
            raise MailSettingsError("cafile in BLOCKLINE_SMTP_URL isn't a file of PEM certificates") from None
    return context


def _why_no_session(error: Exception) -> str:
    """A sentence without the server's place: that is the operator's."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"the mail server's certificate can't be trusted: {seen.verify_message}"
        if isinstance(seen, ssl.SSLError):
            return "the encrypted connection to the mail server failed"
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, aiosmtplib.SMTPException) and "STARTTLS" in error.message:
        return "the mail server offers no STARTTLS, which BLOCKLINE_SMTP_URL requires"
    if isinstance(error, aiosmtplib.SMTPException) and "AUTH" in error.message:
        return "the mail server offers no way to log in"
    if isinstance(error, aiosmtplib.SMTPTimeoutError):
        return "the mail server doesn't answer"
    return "the mail server can't be reached"


async def _say_good_bye(client: aiosmtplib.SMTP) -> None:
    try:
        await client.quit(timeout=1)
    except (aiosmtplib.SMTPException, OSError):
        return  # the mail is accepted; a server that hangs up first has had its way
