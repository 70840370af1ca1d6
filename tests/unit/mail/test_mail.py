"""Settings, identity, composition, journal and outbox."""

import asyncio
import sqlite3
import stat
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.ids import EffectKey
from pipeline.mail import sqlite as sqlite_module
from pipeline.mail.compose import compose, html_of, subject_of, text_of
from pipeline.mail.open import open_mailer
from pipeline.mail.port import Link, Mail, Receipt, Via, is_address, message_id_of
from pipeline.mail.settings import MailSettingsError, SmtpSettings, StartTls
from pipeline.mail.sqlite import JOURNAL_DAYS_MAX, SqliteMailbox

KEY = EffectKey("run", "a task", 0, 0)
MAIL = Mail("ana@example.com", "Title", "Text", message_id_of(KEY, "ana@example.com"), 1_795_439_555_000)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail", SmtpSettings("mail", 587)),
        ("smtp://127.0.0.1:2525/", SmtpSettings("127.0.0.1", 2525)),
        ("smtp://[::1]:25", SmtpSettings("::1", 25)),
        ("smtps://mail", SmtpSettings("mail", 465, is_tls=True, starttls=StartTls.NEVER)),
        ("smtp://mail?starttls=require", SmtpSettings("mail", 587, starttls=StartTls.REQUIRE)),
        ("smtp://mail?starttls=never", SmtpSettings("mail", 587, starttls=StartTls.NEVER)),
        ("smtp://u:p%40%2F@mail", SmtpSettings("mail", 587, starttls=StartTls.REQUIRE, user="u", password="p@/")),
        ("smtp://u:p@localhost:25", SmtpSettings("localhost", 25, user="u", password="p")),
        ("smtps://mail?cafile=/ca.pem", SmtpSettings("mail", 465, True, StartTls.NEVER, cafile="/ca.pem")),
    ],
)
def test_a_url_says_which_server(url: str, expected: SmtpSettings) -> None:
    assert SmtpSettings.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "mail:25",
        "http://s3cret@mail",
        "smtp://",
        "smtp://u:s3cret@",
        "smtp://u:s3cret@mail:port",
        "smtp://u:s3cret@mail/path",
        "smtp://u:s3cret@mail?starttls=never",
        "smtp://u:s3cret@mail?starttls=maybe",
        "smtps://u:s3cret@mail?starttls=require",
        "smtp://u:s3cret@mail?verify=no",
        "smtp://u:s3cret@mail#x",
    ],
)
def test_a_url_that_cant_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(MailSettingsError, match="BLOCKLINE_SMTP_URL") as caught:
        SmtpSettings.parse(url)
    assert "s3cret" not in str(caught.value)


def test_settings_keep_their_password_to_themselves() -> None:
    assert "s3cret" not in repr(SmtpSettings.parse("smtps://u:s3cret@mail"))


def test_an_id_belongs_to_effect_key_and_address() -> None:
    ids = {
        message_id_of(KEY, "a@b"),
        message_id_of(KEY, "A@b"),
        message_id_of(KEY._replace(step=1), "a@b"),
        message_id_of(KEY._replace(task="other"), "a@b"),
    }
    assert len(ids) == 4
    assert message_id_of(KEY, "a@B") == message_id_of(KEY, "a@b"), "a domain has no case"
    assert message_id_of(KEY, "a@b") == "<eefd48d63b3549a6b75336266786be63c4189e3d@blockline.local>", "for ever"


@pytest.mark.parametrize("text", ["a@b", "a.b+c@x-y.example", "o'neil@example.com"])
def test_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\r\nBcc: x@y", "<a@b>", "a@b,c@d", "ä@b", "a@" + "b" * 260, "a@b\n"],
)
def test_what_is_no_address(text: str) -> None:
    assert not is_address(text)


@given(title=st.text(max_size=300), description=st.text(max_size=300))
def test_no_text_can_start_a_header(title: str, description: str) -> None:
    clean = [text.encode("utf-8", "replace").decode() for text in (title, description)]
    raw = compose(replace(MAIL, title=clean[0], description=clean[1]), "a@b").as_bytes()
    read = message_from_bytes(raw, policy=policy.default)
    assert sorted(read.keys()) == sorted(
        ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
    )
    assert read["To"] == "ana@example.com"


def test_a_subject_is_one_line_of_bounded_length() -> None:
    assert subject_of(replace(MAIL, title="a\r\nBcc: x@y\u2028b")) == "a Bcc: x@y b"
    assert subject_of(replace(MAIL, title="\n")) == "Blockline"
    assert len(subject_of(replace(MAIL, title="x" * 999))) == 200


def test_html_escapes_what_is_text_and_keeps_what_is_html() -> None:
    page = html_of(replace(MAIL, title="<i>", description="<b>&\nnext\n\nthird", link=Link("<go>", 'http://x/"')))
    assert "&lt;i&gt;" in page
    assert "&lt;b&gt;&amp;<br>next</p>" in page
    assert ">third</p>" in page
    assert "&lt;go&gt;" in page
    assert 'href="http://x/&quot;"' in page
    assert "<b>{kept}</b>" in html_of(replace(MAIL, html="<b>{kept}</b>"))


def test_the_text_part_shows_the_link() -> None:
    assert text_of(replace(MAIL, link=Link("Open", "http://x"))) == "Text\n\nOpen: http://x\n"


def test_without_a_server_mails_stay_here_once_and_it_says_so(tmp_path: Path) -> None:
    opened = open_mailer("", "a@b", tmp_path / "mail.sqlite3")
    with opened.mailbox:
        assert opened.via is Via.OUTBOX
        assert asyncio.run(opened.mailer.send(MAIL)) == Receipt(Via.OUTBOX)
        assert asyncio.run(opened.mailer.send(MAIL)) == Receipt(Via.OUTBOX, is_repeat=True)
        other = replace(MAIL, message_id="<2@x>", title="Second")
        asyncio.run(opened.mailer.send(other))
        assert [mail.subject for mail in opened.mailbox.list_outbox(10)] == ["Second", "Title"]
        assert [mail.subject for mail in opened.mailbox.list_outbox(1)] == ["Second"]
        assert opened.mailbox.list_outbox(1)[0].text == "Text\n"
    with SqliteMailbox(tmp_path / "mail.sqlite3") as again:
        assert len(again.list_outbox(10)) == 2


def test_what_a_server_took_isnt_put_into_the_outbox_when_the_server_is_taken_away(tmp_path: Path) -> None:
    opened = open_mailer("", "a@b", tmp_path / "mail.sqlite3")
    with opened.mailbox:
        asyncio.run(opened.mailbox.record(MAIL, Via.SMTP))
        assert asyncio.run(opened.mailer.send(MAIL)) == Receipt(Via.SMTP, is_repeat=True)
        assert opened.mailbox.list_outbox(10) == []


def test_an_unusable_url_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(MailSettingsError):
        open_mailer("nonsense", "a@b", tmp_path / "mail.sqlite3")
    assert list(tmp_path.iterdir()) == []


def test_the_mailbox_is_its_owners_alone(tmp_path: Path) -> None:
    with SqliteMailbox(tmp_path / "new" / "mail.sqlite3"):
        assert stat.S_IMODE((tmp_path / "new" / "mail.sqlite3").stat().st_mode) == 0o600


def test_two_processes_share_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "mail.sqlite3"
    with SqliteMailbox(path) as one, SqliteMailbox(path) as two:
        asyncio.run(one.record(MAIL, Via.SMTP))
        assert asyncio.run(two.sent(MAIL.message_id)) is Via.SMTP
        asyncio.run(two.record(MAIL, Via.OUTBOX))
        assert asyncio.run(one.sent(MAIL.message_id)) is Via.SMTP, "the first entry stands"


def test_old_entries_leave(tmp_path: Path) -> None:
    with SqliteMailbox(tmp_path / "mail.sqlite3") as mailbox:
        asyncio.run(mailbox.record(MAIL, Via.SMTP))
        day = 86_400_000
        asyncio.run(
            mailbox.record(replace(MAIL, message_id="<2@x>", at_ms=MAIL.at_ms + JOURNAL_DAYS_MAX * day), Via.SMTP)
        )
        assert asyncio.run(mailbox.sent(MAIL.message_id)) is Via.SMTP
        late = replace(MAIL, message_id="<3@x>", at_ms=MAIL.at_ms + JOURNAL_DAYS_MAX * day + 1)
        asyncio.run(mailbox.record(late, Via.SMTP))
        assert asyncio.run(mailbox.sent(MAIL.message_id)) is None


def test_the_outbox_is_bounded_and_forgets_mails_not_that_they_were_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "OUTBOX_MAILS_MAX", 3)
    with SqliteMailbox(tmp_path / "mail.sqlite3") as mailbox:
        mails = [replace(MAIL, message_id=f"<{n}@x>", title=str(n)) for n in range(5)]
        assert [asyncio.run(mailbox.keep(mail)) for mail in mails] == [True] * 5
        assert [mail.subject for mail in mailbox.list_outbox(10)] == ["4", "3", "2"]
        assert not asyncio.run(mailbox.keep(mails[0]))


def test_a_failed_write_leaves_nothing_half_done(tmp_path: Path) -> None:
    path = tmp_path / "mail.sqlite3"
    with SqliteMailbox(path) as mailbox:
        with sqlite3.connect(path) as other:
            other.execute("DROP TABLE outbox")
        other.close()
        with pytest.raises(sqlite3.OperationalError):
            asyncio.run(mailbox.keep(MAIL))
        assert asyncio.run(mailbox.sent(MAIL.message_id)) is None
