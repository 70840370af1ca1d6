"""A mail as text, as HTML, and as the message that goes over the wire."""

import html
import re
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from pipeline.mail.port import Mail

SUBJECT_CHARS_MAX: Final = 200
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_PARAGRAPH: Final = re.compile(r"\n[ \t]*\n\s*")
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body style="margin:0;padding:24px;background:#f4f5f7;color:#1d2433;\
font:16px/1.5 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif">
<div style="max-width:560px;margin:0 auto;padding:28px 32px;background:#ffffff;\
border:1px solid #e3e6eb;border-radius:8px">
<h1 style="margin:0 0 16px;font-size:20px;line-height:1.3">{title}</h1>
{body}{button}
</div>
<p style="max-width:560px;margin:12px auto 0;color:#5d6675;font-size:13px">Sent by Blockline</p>
</body>
</html>
"""
_BUTTON: Final = (
    '\n<p style="margin:24px 0 0"><a href="{url}" style="display:inline-block;padding:10px 18px;background:#2457d6;'
    'color:#ffffff;text-decoration:none;border-radius:6px">{label}</a></p>'
)


def subject_of(mail: Mail) -> str:
    """The title on one line: control characters can't start a header of their own."""
    return _CONTROL.sub(" ", mail.title).strip()[:SUBJECT_CHARS_MAX] or "Blockline"


def text_of(mail: Mail) -> str:
    """The text part."""
    parts = [mail.description.replace("\r\n", "\n").strip()]
    if mail.link:
        parts.append(f"{mail.link.label}: {mail.link.url}")
    return "\n\n".join(part for part in parts if part) + "\n"


def html_of(mail: Mail) -> str:
    """The HTML part; everything but ``mail.html`` is escaped."""
    return _PAGE.format(
        title=html.escape(subject_of(mail)),
        body=mail.html if mail.html is not None else _paragraphs(mail.description),
        button=_BUTTON.format(url=html.escape(mail.link.url), label=html.escape(mail.link.label)) if mail.link else "",
    )


def compose(mail: Mail, sender: str) -> EmailMessage:
    """The message: text and HTML, its Message-ID and Date from the mail, so a repeat is the same to the byte
    (boundaries included).
    """
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = sender
    message["To"] = mail.recipient
    message["Subject"] = subject_of(mail)
    message["Date"] = format_datetime(datetime.fromtimestamp(mail.at_ms / 1000, UTC))
    message["Message-ID"] = mail.message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's out-of-office answers it
    message.set_content(text_of(mail))
    message.add_alternative(html_of(mail), subtype="html")
    message.set_boundary("=_" + mail.message_id.strip("<>").partition("@")[0])
    return message


def _paragraphs(text: str) -> str:
    parts = _PARAGRAPH.split(text.replace("\r\n", "\n").strip())
    return "\n".join(f'<p style="margin:0 0 12px">{html.escape(part).replace(chr(10), "<br>")}</p>' for part in parts)
