"""A real SMTP server on 127.0.0.1, with TLS or STARTTLS under a certificate made for the test."""

import asyncio
import datetime as dt
import ipaddress
import ssl
import threading
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.product import free_port

USER = "engine@example.com"
PASSWORD = "p@ss:w/rd"


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for ``host``; ``path`` (PEM with key) also serves as the CA file."""

    path: Path

    @classmethod
    def make(cls, folder: Path, host: str = "127.0.0.1") -> "Certificate":
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(start)
            .not_valid_after(start.replace(year=2100))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        path = folder / f"{host}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return cls(path)

    @property
    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path)
        return context


class _TidyController(Controller):  # type: ignore[misc]  # aiosmtpd has no types
    """Closes its connections before its loop ends: aiosmtpd leaves them to the garbage collector."""

    def stop(self, no_assert: bool = False) -> None:  # noqa: FBT001, FBT002  (aiosmtpd's signature)
        asyncio.run_coroutine_threadsafe(self._close_all(), self.loop).result(5)
        super().stop(no_assert=no_assert)

    async def _close_all(self) -> None:
        # The loop's own list: a connection whose TLS handshake failed never became a session.
        for transport in list(self.loop._transports.values()):
            transport.abort()
        # abort() closes the socket in the loop's next round; what is under TLS takes one more.
        for _ in range(3):
            await asyncio.sleep(0)


class MailServer:
    """Accepts everything until told otherwise; the port stays the same when it goes away and comes back.

    ``tls``: ``None``, ``"implicit"`` or ``"starttls"``. ``answers`` gives what to say to a recipient (``rcpt``) or to
    a mail (``data``) instead of accepting, e.g. ``451 try later``; ``hang_up`` breaks the connection after DATA.
    """

    def __init__(
        self, *, tls: str | None = None, certificate: Certificate | None = None, has_login: bool = False
    ) -> None:
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.answers: dict[str, str] = {}
        self.is_hanging_up = False
        self.raw: list[bytes] = []
        self.were_encrypted: list[bool] = []
        self.logins: list[bool] = []
        self._lock = threading.Lock()
        self._controller: Controller | None = None
        self._options: dict[str, Any] = {}
        if tls == "implicit":
            assert certificate is not None
            self._options["ssl_context"] = certificate.context
        if tls == "starttls":
            assert certificate is not None
            self._options |= {"tls_context": certificate.context, "require_starttls": True}
        if has_login:
            self._options |= {"authenticator": self._authenticate, "auth_require_tls": False}

    async def handle_RCPT(  # noqa: N802  (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "rcpt" in self.answers:
            return self.answers["rcpt"]
        if f"rcpt {address}" in self.answers:
            return self.answers[f"rcpt {address}"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  (aiosmtpd's)
        if "data" in self.answers:
            return self.answers["data"]
        if self.is_hanging_up:
            assert server.transport is not None
            server.transport.abort()
            return "250 never arrives"
        content = envelope.content
        assert isinstance(content, bytes)
        assert server.transport is not None
        with self._lock:
            self.raw.append(content)
            self.were_encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
            self.logins.append(session.authenticated is True)
        return "250 accepted"

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth_data: LoginPassword
    ) -> AuthResult:
        is_right = auth_data.login == USER.encode() and auth_data.password == PASSWORD.encode()
        return AuthResult(success=is_right, handled=False)

    def mails(self) -> list[EmailMessage]:
        """All mails accepted so far, oldest first."""
        with self._lock:
            return [message_from_bytes(raw, policy=policy.default) for raw in self.raw]

    def start(self) -> None:
        """Listen (again)."""
        self._controller = _TidyController(self, hostname="127.0.0.1", port=self.port, **self._options)
        self._controller.start()

    def stop(self) -> None:
        """Go away."""
        if self._controller is not None:
            self._controller.stop(no_assert=True)
            self._controller = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
