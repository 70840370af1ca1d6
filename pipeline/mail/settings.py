"""What ``BLOCKLINE_SMTP_URL`` says."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import Final, Self
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pipeline.core.errors import BlocklineError

_PORTS: Final = {"smtp": 587, "smtps": 465}
_SHAPE: Final = "BLOCKLINE_SMTP_URL looks like smtp://user:password@host:port or smtps://host"


class MailSettingsError(BlocklineError):
    """The URL of the mail server can't be used; the text never repeats it, since it holds the password."""


class StartTls(StrEnum):
    """REQUIRE: without it nothing is sent. OFFERED: used where the server has it. NEVER: not used."""

    REQUIRE = "require"
    OFFERED = "offered"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """A mail server. Certificates are always verified, with those of ``cafile`` (PEM) beside the system's."""

    host: str
    port: int
    is_tls: bool = False
    starttls: StartTls = StartTls.OFFERED
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    cafile: str | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Settings of ``smtp://user:password@host:port?starttls=require&cafile=FILE`` or ``smtps://…``.

        User and password are percent-decoded. Without ``starttls`` it is used where it is offered, and required
        where a password would otherwise cross a network in clear.

        Raises:
            MailSettingsError: not such a URL, or asking for a password without encryption.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise MailSettingsError(_SHAPE) from None
        if parts.scheme not in _PORTS or not parts.hostname or parts.path not in {"", "/"} or parts.fragment:
            raise MailSettingsError(_SHAPE)
        options = _options(parts)
        starttls = _starttls(options.get("starttls"), parts)
        return cls(
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            is_tls=parts.scheme == "smtps",
            starttls=starttls,
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            cafile=options.get("cafile"),
        )


def _options(parts: SplitResult) -> dict[str, str]:
    options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    unknown = sorted(options.keys() - {"starttls", "cafile"})
    if unknown:
        raise MailSettingsError(f"BLOCKLINE_SMTP_URL takes starttls and cafile after the ?, not {', '.join(unknown)}")
    return options


def _starttls(asked: str | None, parts: SplitResult) -> StartTls:
    if parts.scheme == "smtps":
        if asked is not None:
            raise MailSettingsError("smtps:// is encrypted from the start: leave starttls out of BLOCKLINE_SMTP_URL")
        return StartTls.NEVER
    is_exposed = bool(parts.password) and not _is_loopback(parts.hostname or "")
    if asked is None:
        return StartTls.REQUIRE if is_exposed else StartTls.OFFERED
    if asked not in set(StartTls):
        raise MailSettingsError("starttls in BLOCKLINE_SMTP_URL is require, offered or never")
    if is_exposed and asked != StartTls.REQUIRE:
        raise MailSettingsError("BLOCKLINE_SMTP_URL has a password: use starttls=require, or smtps://")
    return StartTls(asked)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
