"""What follows from a redirect (RFC 9110, 15.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import httpx

from pipeline.core.errors import ErrorName
from pipeline.core.limits import HTTP_URL_CHARS_MAX
from pipeline.web.port import WebError

_FOLLOWED: Final = frozenset({301, 302, 303, 307, 308})
_SEE_OTHER: Final = 303
_OLD_HABIT: Final = frozenset({301, 302})
"""Where a POST has always become a GET."""
_OF_CONTENT: Final = frozenset({"content-type", "content-encoding", "content-language", "content-location"})
_CARRIED: Final = frozenset({"accept", "accept-language", "user-agent", "idempotency-key", *_OF_CONTENT})
"""Headers that go on to another origin. Any other may hold a credential."""
_ELSEWHERE: Final = "the redirect of "
_PORT_MAX: Final = 65535


@dataclass(frozen=True, slots=True)
class Hop:
    """One of the requests that a call may take. ``shown`` names its host in sentences: where a service redirected to
    is none of the reader's business.
    """

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    content: bytes | None
    shown: str

    @property
    def port(self) -> int:
        """The one that is connected to."""
        return self.url.port or {"http": 80, "https": 443}.get(self.url.scheme, 0)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: who is trusted with a credential."""
        return self.url.scheme, self.url.host, self.port


def parse_url(text: str) -> httpx.URL:
    """An absolute address without a user's name in it.

    Raises:
        WebError: ``Validation.Input``, it isn't one; the sentence doesn't repeat it.
    """
    if len(text) > HTTP_URL_CHARS_MAX:
        raise WebError(ErrorName.VALIDATION_INPUT, f"the address is longer than {HTTP_URL_CHARS_MAX} characters")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    if not url.scheme or not url.host or "%" in url.host or not 0 < (url.port or 1) <= _PORT_MAX:
        raise WebError(ErrorName.VALIDATION_INPUT, "the address isn't one like https://service.example/path")
    if url.userinfo:
        raise WebError(
            ErrorName.VALIDATION_INPUT, "the address holds a name or a password before the @: use `auth` for them"
        )
    return url.copy_with(fragment=None)


def next_hop(hop: Hop, status: int, answered: Mapping[str, str]) -> Hop | None:
    """Where an answer with this status and these headers sends the call; None if it is the last.

    Raises:
        WebError: ``Http.Connection``, it sends it nowhere.
    """
    location = answered.get("location")
    if status not in _FOLLOWED or not location:
        return None
    try:
        url = parse_url(str(hop.url.join(location)))
    except (WebError, httpx.InvalidURL, ValueError):
        detail = f"{hop.shown} redirects to something that isn't an address"
        raise WebError(ErrorName.HTTP_CONNECTION, detail) from None
    method, content, headers = hop.method, hop.content, hop.headers
    if (status == _SEE_OTHER and method != "HEAD") or (status in _OLD_HABIT and method == "POST"):
        method, content = "GET", None
        headers = {name: value for name, value in headers.items() if name.lower() not in _OF_CONTENT}
    onward = Hop(method, url, headers, content, hop.shown)
    if onward.origin == hop.origin:
        return onward
    carried = {name: value for name, value in headers.items() if name.lower() in _CARRIED}
    shown = hop.shown if hop.shown.startswith(_ELSEWHERE) else _ELSEWHERE + hop.shown
    return replace(onward, headers=carried, shown=shown)
