"""The ports to mail, and the names under which one is sent once."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from pipeline.core.errors import BlocklineError
from pipeline.core.ids import EffectKey

ADDRESS_CHARS_MAX: Final = 254
"""RFC 5321, 4.5.3.1.3, less the angle brackets."""
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*", re.ASCII)
_DOMAIN: Final = "blockline.local"


class MailConnectionError(BlocklineError):
    """Not sent, or not known to be: the server is away, or asked to try later. Worth repeating.

    ``is_server_away``: other mails wouldn't go out either.
    """

    def __init__(self, text: str, *, is_server_away: bool = True) -> None:
        """``text`` is one sentence without secrets."""
        super().__init__(text)
        self.is_server_away = is_server_away


class MailRefusedError(BlocklineError):
    """The server refused this mail for good (5xx); the text has its reason."""


class Via(StrEnum):
    """Where a mail went: to a mail server, or into the local outbox since none is configured."""

    SMTP = "SMTP"
    OUTBOX = "OUTBOX"


@dataclass(frozen=True, slots=True)
class Link:
    """A button of a mail; ``url`` is absolute."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one address.

    ``message_id`` (see :func:`message_id_of`) is its identity: the same mail is sent once. ``html`` is a fragment
    that stands for the description in the HTML part; without it the description is shown as escaped text. ``at_ms``
    becomes the Date.
    """

    recipient: str
    title: str
    description: str
    message_id: str
    at_ms: int
    html: str | None = None
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """``is_repeat``: it had been sent before, and nothing was sent now."""

    via: Via
    is_repeat: bool = False


class Mailer(Protocol):
    """Sends a mail once, as far as that can be known; may be called again with the same mail."""

    async def send(self, mail: Mail) -> Receipt:
        """Send it, or do nothing where the journal says that it was sent.

        Raises:
            MailConnectionError: worth repeating; the mail may have been accepted if the connection broke at the end.
            MailRefusedError: repeating it is pointless.
        """
        ...


class MailJournal(Protocol):
    """What was sent; asked before sending, written right after the server's 250. May be shared by processes."""

    async def sent(self, message_id: str) -> Via | None:
        """How a mail of that id was sent; None if it wasn't, as far as is known."""
        ...

    async def record(self, mail: Mail, via: Via) -> None:
        """It was accepted. Recording it again changes nothing."""
        ...


def is_address(text: str) -> bool:
    """Whether this is a mail address in ASCII without quotes or comments: what is accepted as a recipient."""
    return len(text) <= ADDRESS_CHARS_MAX and _ADDRESS.fullmatch(text) is not None


def same_address(text: str) -> str:
    """The form under which two spellings of an address are one: the domain in lower case."""
    local, _, domain = text.rpartition("@")
    return f"{local}@{domain.lower()}"


def message_id_of(key: EffectKey, recipient: str) -> str:
    """The Message-ID of the mail that ``key`` sends to ``recipient``: the same for every delivery and attempt.

    A digest, since a header has no room for a task's name, and a mail shouldn't tell one.
    """
    name = f"{key}\0{same_address(recipient)}"
    return f"<{hashlib.sha256(name.encode()).hexdigest()[:40]}@{_DOMAIN}>"
