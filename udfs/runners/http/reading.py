"""What an answer says: its body, its reason, its patience. Pure."""

import codecs
import email.utils
import re
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

import orjson

from pipeline.core.errors import BlocklineError
from pipeline.core.limits import JSON_DEPTH_MAX, RETRY_DELAY_MAX_S

SHOWN_HEADERS: Final = (
    "content-type",
    "date",
    "etag",
    "last-modified",
    "link",
    "location",
    "retry-after",
    "x-correlation-id",
    "x-request-id",
    "x-total-count",
)
"""Headers that the output holds. Cookies and whatever else a service says to its client alone aren't kept."""
_SHOWN_CHARS_MAX: Final = 1024
_REASON_CHARS_MAX: Final = 200
_PROBLEM: Final = "application/problem+json"
_CHARSET: Final = re.compile(r"""charset\s*=\s*"?([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_CHARSETS: Final = frozenset(
    codecs.lookup(name).name
    for name in (
        *("ascii", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"),
        *(f"iso8859-{part}" for part in (*range(1, 12), 13, 14, 15, 16)),
        *(f"cp{page}" for page in range(1250, 1259)),
        *("big5", "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk", "koi8-r", "koi8-u", "shift_jis"),
    )
)
"""Python knows more, and some of them are no charsets, or take a time that grows with the square of the text."""
_TEXTUAL: Final = re.compile(r"text/.*|application/(?:xml|javascript|x-www-form-urlencoded|x-ndjson|yaml|.*\+xml)")
_JSON: Final = re.compile(r"application/(?:json|.*\+json)|text/json")


class UnreadableError(BlocklineError):
    """A body that isn't what it says, or what was asked for."""


def shown(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that become part of the output."""
    return {name: headers[name][:_SHOWN_CHARS_MAX] for name in SHOWN_HEADERS if name in headers}


def read_body(content: bytes, content_type: str, wanted: str) -> Any:
    """The body as a JSON value: by its content type (``AUTO``), or as ``JSON`` or ``TEXT``; null if it is empty.

    Raises:
        UnreadableError: it can't be read so.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not content and wanted != "TEXT":
        return None
    if wanted == "JSON" or (wanted == "AUTO" and _JSON.fullmatch(kind)):
        return _json(content)
    if wanted == "AUTO" and kind and not _TEXTUAL.fullmatch(kind):
        raise UnreadableError("the answer is neither JSON nor text: take `answer: NONE` to leave it out")
    return _text(content, content_type)


def _json(content: bytes) -> Any:
    try:
        value = orjson.loads(content.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError:
        raise UnreadableError("the answer should be JSON, and isn't") from None
    if _is_deeper(value, JSON_DEPTH_MAX):
        raise UnreadableError(f"the answer is nested more than {JSON_DEPTH_MAX} deep")
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _text(content: bytes, content_type: str) -> str:
    found = _CHARSET.search(content_type)
    try:
        codec = codecs.lookup(found[1] if found else "utf-8-sig").name
    except LookupError:
        codec = ""
    if codec not in _CHARSETS:
        raise UnreadableError("the answer's charset isn't known here")
    try:
        return content.decode(codec)
    except UnicodeError:
        raise UnreadableError("the answer isn't text in the charset it names") from None


def is_problem(headers: Mapping[str, str]) -> bool:
    """Whether a refusal says for people what is wrong, as RFC 9457 asks."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == _PROBLEM


def reason_of(content: bytes) -> str:
    """What such a refusal says, in one line; nothing where it can't be read."""
    try:
        problem = _json(content)
    except UnreadableError:
        return ""
    said = [problem.get(member) for member in ("title", "detail")] if isinstance(problem, dict) else []
    text = ": ".join(" ".join(part.split()) for part in said if isinstance(part, str) and part.strip())
    return "".join(character for character in text if character.isprintable())[:_REASON_CHARS_MAX]


def retry_after_s(headers: Mapping[str, str], now_ms: int) -> float | None:
    """Seconds that the service asks to wait, from a number or a date; None where it doesn't, or not so that it can be
    read. A date counts from the answer's own, whatever our clock says; without one from ``now_ms``.
    """
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdecimal():
        # A number of thousands of digits is one that is far too long in any case.
        return float(min(int(said[:16]), RETRY_DELAY_MAX_S))
    until = _seconds(said)
    if until is None:
        return None
    now = _seconds(headers.get("date", ""))
    wait_s = until - (now_ms / 1000 if now is None else now)
    return min(max(wait_s, 0.0), float(RETRY_DELAY_MAX_S))


def _seconds(date: str) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
