"""The SMTP mailer against a real server: encryption, log-in, refusals, outages, and once."""

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from pipeline.core.ids import EffectKey
from pipeline.mail.memory import MemoryMailJournal
from pipeline.mail.port import Mail, MailConnectionError, MailJournal, MailRefusedError, Receipt, Via, message_id_of
from pipeline.mail.settings import MailSettingsError, SmtpSettings
from pipeline.mail.smtp import SmtpMailer
from pipeline.mail.sqlite import SqliteMailbox
from tests.mail_server import PASSWORD, USER, Certificate, MailServer

KEY = EffectKey("run", "notify", 0, 0)
MAIL = Mail(
    recipient="ana@example.com",
    title="Grüße",
    description="Hello.\n\nIt goes ahead.",
    message_id=message_id_of(KEY, "ana@example.com"),
    at_ms=1_795_439_555_000,
)
LOGIN = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"


def send(url: str, mail: Mail = MAIL, journal: MailJournal | None = None) -> Receipt:
    async def scene() -> Receipt:
        settings = SmtpSettings.parse(url)
        return await SmtpMailer(settings, "blockline@localhost", journal or MemoryMailJournal()).send(mail)

    return asyncio.run(scene())


@pytest.fixture(name="certificate")
def _certificate(tmp_path: Path) -> Certificate:
    return Certificate.make(tmp_path)


def test_a_mail_arrives_with_its_identity_and_both_parts() -> None:
    with MailServer() as server:
        assert send(f"smtp://127.0.0.1:{server.port}") == Receipt(Via.SMTP)
        (mail,) = server.mails()
    assert mail["To"] == "ana@example.com"
    assert mail["From"] == "blockline@localhost"
    assert mail["Subject"] == "Grüße"
    assert mail["Message-ID"] == MAIL.message_id
    assert mail["Date"].datetime.timestamp() * 1000 == MAIL.at_ms
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == ["Hello.", "", "It goes ahead."]
    assert ">It goes ahead.</p>" in html.get_content()


def test_a_repeat_sends_nothing(tmp_path: Path) -> None:
    with MailServer() as server, SqliteMailbox(tmp_path / "mail.sqlite3") as journal:
        url = f"smtp://127.0.0.1:{server.port}"
        assert send(url, journal=journal) == Receipt(Via.SMTP)
        assert send(url, journal=journal) == Receipt(Via.SMTP, is_repeat=True)
        assert len(server.mails()) == 1
    with SqliteMailbox(tmp_path / "mail.sqlite3") as journal:  # after a restart, and without a server
        assert send(url, journal=journal) == Receipt(Via.SMTP, is_repeat=True)


def test_without_a_journal_a_repeat_is_the_same_mail_to_the_byte() -> None:
    with MailServer() as server:
        url = f"smtp://127.0.0.1:{server.port}"
        send(url)
        send(url)
        first, second = server.raw
    assert first == second


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_mail_goes_encrypted_and_logged_in(tls: str, certificate: Certificate) -> None:
    scheme, option = ("smtps", "") if tls == "implicit" else ("smtp", "starttls=require&")
    with MailServer(tls=tls, certificate=certificate, has_login=True) as server:
        send(f"{scheme}://{LOGIN}127.0.0.1:{server.port}?{option}cafile={certificate.path}")
        assert server.were_encrypted == [True]
        assert server.logins == [True]


def test_starttls_is_used_where_it_is_offered(certificate: Certificate) -> None:
    with MailServer(tls="starttls", certificate=certificate) as server:
        send(f"smtp://127.0.0.1:{server.port}?cafile={certificate.path}")
        assert server.were_encrypted == [True]


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_certificate_nobody_vouches_for_is_not_trusted(tls: str, certificate: Certificate) -> None:
    with MailServer(tls=tls, certificate=certificate) as server:
        scheme = "smtps" if tls == "implicit" else "smtp"
        with pytest.raises(MailConnectionError, match="certificate can't be trusted"):
            send(f"{scheme}://127.0.0.1:{server.port}")
        assert server.mails() == []


def test_a_certificate_of_another_host_is_not_trusted(tmp_path: Path) -> None:
    other = Certificate.make(tmp_path, "127.0.0.9")
    with MailServer(tls="implicit", certificate=other) as server:
        with pytest.raises(MailConnectionError, match="certificate can't be trusted"):
            send(f"smtps://127.0.0.1:{server.port}?cafile={other.path}")
        assert server.mails() == []


def test_without_the_starttls_that_is_required_nothing_is_sent() -> None:
    with MailServer() as server:
        with pytest.raises(MailConnectionError, match="offers no STARTTLS"):
            send(f"smtp://127.0.0.1:{server.port}?starttls=require")
        assert server.mails() == []


def test_a_wrong_password_is_worth_repeating_and_stays_secret(certificate: Certificate) -> None:
    with (
        MailServer(tls="implicit", certificate=certificate, has_login=True) as server,
        pytest.raises(MailConnectionError, match="refused the log-in: 535") as caught,
    ):
        send(f"smtps://{quote(USER, safe='')}:wr0ng@127.0.0.1:{server.port}?cafile={certificate.path}")
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize("at", ["rcpt", "data"])
def test_for_now_is_worth_repeating_and_for_good_is_not(at: str) -> None:
    with MailServer() as server:
        url = f"smtp://127.0.0.1:{server.port}"
        journal = MemoryMailJournal()
        server.answers[at] = "451 4.7.1 greylisted"
        with pytest.raises(MailConnectionError, match=r"asked to try later: 451 4\.7\.1 greylisted") as later:
            send(url, journal=journal)
        assert not later.value.is_server_away
        server.answers[at] = "550 5.1.1 no such user"
        with pytest.raises(MailRefusedError, match=r"refused it: 550 5\.1\.1 no such user"):
            send(url, journal=journal)
        server.answers.clear()
        assert not send(url, journal=journal).is_repeat, "what wasn't accepted isn't in the journal"


def test_a_server_that_hangs_up_before_its_250_is_worth_repeating() -> None:
    with MailServer() as server:
        server.is_hanging_up = True
        with pytest.raises(MailConnectionError, match="broke before it accepted"):
            send(f"smtp://127.0.0.1:{server.port}")


def test_down_then_up() -> None:
    server = MailServer()
    url = f"smtp://127.0.0.1:{server.port}"
    journal = MemoryMailJournal()
    for _ in range(2):
        with pytest.raises(MailConnectionError, match="can't be reached") as away:
            send(url, journal=journal)
        assert away.value.is_server_away
        assert str(server.port) not in str(away.value), "where the server is, is the operator's business"
        with server:
            send(url, replace(MAIL, message_id=f"<{len(server.raw)}@x>"), journal=journal)
    assert len(server.mails()) == 2


def test_two_mails_at_a_time_dont_mix() -> None:
    mails = [
        replace(MAIL, recipient=f"u{n}@example.com", message_id=message_id_of(KEY, f"u{n}@example.com"))
        for n in range(20)
    ]

    async def scene(url: str) -> None:
        mailer = SmtpMailer(SmtpSettings.parse(url), "blockline@localhost", MemoryMailJournal())
        await asyncio.gather(*(mailer.send(mail) for mail in mails))

    with MailServer() as server:
        asyncio.run(scene(f"smtp://127.0.0.1:{server.port}"))
        assert sorted((mail["To"], mail["Message-ID"]) for mail in server.mails()) == sorted(
            (mail.recipient, mail.message_id) for mail in mails
        )


def test_a_journal_that_cant_be_written_doesnt_send_the_mail_again(caplog: pytest.LogCaptureFixture) -> None:
    class FullDisk(MemoryMailJournal):
        async def record(self, mail: Mail, via: Via) -> None:
            raise OSError("no space left")

    with MailServer() as server:
        assert send(f"smtp://127.0.0.1:{server.port}", journal=FullDisk()) == Receipt(Via.SMTP)
        assert len(server.mails()) == 1
    assert "no space left" in caplog.text


def test_a_sender_that_is_no_address_is_refused() -> None:
    with pytest.raises(MailSettingsError, match="BLOCKLINE_MAIL_FROM"):
        SmtpMailer(SmtpSettings.parse("smtp://h"), "Blockline\r\nBcc: x@y", MemoryMailJournal())


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MailSettingsError, match="cafile") as caught:
        SmtpMailer(SmtpSettings.parse(f"smtps://h?cafile={tmp_path}/none.pem"), "a@b", MemoryMailJournal())
    assert str(tmp_path) not in str(caught.value)
