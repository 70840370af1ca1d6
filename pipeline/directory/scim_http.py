"""SCIM 2.0 over HTTP (RFC 7644), as far as it is read: one resource, or all pages of what a filter finds."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from pipeline.core.errors import BlocklineError
from pipeline.core.limits import DIRECTORY_ANSWER_BYTES_MAX, DIRECTORY_PAGES_MAX, DIRECTORY_TIMEOUT_S
from pipeline.directory.port import DirectoryUnavailableError
from pipeline.messages.canonical import MalformedError, decode, encode

PAGE: Final = 100
"""Resources asked for at a time; a server may send fewer."""
CONNECTIONS_MAX: Final = 16
KEEP_ALIVE_S: Final = 3.0
"""Shorter than what servers keep, so that hardly a request meets a connection that was just closed."""
_ACCEPT: Final = "application/scim+json, application/json"


class ScimSettingError(BlocklineError):
    """The directory's settings can't be used; the sentence says which, and repeats no secret."""


class UnsupportedFilterError(BlocklineError):
    """The server can't search by this; RFC 7644 leaves it free to refuse any filter."""


@dataclass(frozen=True, slots=True)
class ScimAccess:
    """Where the service is (the address above ``/Users``) and the token it wants; ``authorities`` is a PEM file."""

    url: str
    token: str = field(repr=False)
    authorities: str = ""

    @classmethod
    def of(cls, url: str, token: str, authorities: str = "") -> "ScimAccess":
        """From the settings.

        Raises:
            ScimSettingError: they don't make an address with a token.
        """
        try:
            there = httpx.URL(url)
        except httpx.InvalidURL:
            there = httpx.URL()
        if there.scheme not in {"http", "https"} or not there.host or there.userinfo or there.query or there.fragment:
            raise ScimSettingError("BLOCKLINE_DIRECTORY_URL is the address of a SCIM service, as https://HOST/scim/v2.")
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ScimSettingError("BLOCKLINE_DIRECTORY_TOKEN is the token that the SCIM service wants.")
        return cls(url.rstrip("/"), token, authorities)


class ScimClient:
    """Reads only; follows no redirects and asks no proxies. May be used concurrently; belongs to one event loop."""

    def __init__(self, access: ScimAccess, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """``transport``: what sends; by default connections over the network.

        Raises:
            ScimSettingError: the file of authorities can't be used.
        """
        self._url = access.url
        self._http = httpx.AsyncClient(
            transport=transport,
            verify=_context(access.authorities),
            timeout=DIRECTORY_TIMEOUT_S,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=KEEP_ALIVE_S),
            trust_env=False,
            headers={"Authorization": f"Bearer {access.token}", "Accept": _ACCEPT},
        )

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._http.aclose()

    async def resource(self, path: str) -> dict[str, Any] | None:
        """One resource, as ``/Users/<id>`` (the id percent-encoded); None where there is none.

        Raises:
            DirectoryUnavailableError: no answer, or not one of SCIM.
        """
        return await self._get(path, {})

    async def found(self, path: str, query: Mapping[str, str], at_most: int) -> list[dict[str, Any]]:
        """What a query finds, each resource once, ``at_most`` of them.

        Raises:
            DirectoryUnavailableError: no answer, not one of SCIM, or more pages than are ever read.
            UnsupportedFilterError: the server doesn't search by that.
        """
        found: dict[str, dict[str, Any]] = {}
        async for resource in self._pages(path, query, min(PAGE, at_most)):
            found.setdefault(str(resource["id"]), resource)
            if len(found) == at_most:
                break
        return list(found.values())

    async def _pages(self, path: str, query: Mapping[str, str], count: int) -> AsyncIterator[dict[str, Any]]:
        start, seen = 1, set[str]()
        for _ in range(DIRECTORY_PAGES_MAX):
            answer = await self._get(path, {**query, "startIndex": str(start), "count": str(count)})
            if answer is None:
                raise DirectoryUnavailableError(
                    "The directory's address isn't that of a SCIM service: there is no list."
                )
            resources, total = _list(answer)
            # A server that takes no notice of startIndex sends the first page for ever.
            is_new = {str(resource["id"]) for resource in resources} - seen
            for resource in resources:
                yield resource
            seen |= is_new
            start += len(resources)
            if not is_new or start > total:
                return
        raise DirectoryUnavailableError("The directory finds more than is ever read; ask for something narrower.")

    async def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        try:
            async with (
                asyncio.timeout(DIRECTORY_TIMEOUT_S),
                self._http.stream("GET", self._url + path, params=query) as response,
            ):
                body = await _limited(response)
        except (TimeoutError, httpx.TimeoutException):
            raise DirectoryUnavailableError("The directory doesn't answer in time.") from None
        except httpx.HTTPError as error:
            raise DirectoryUnavailableError(_unreachable(error)) from None
        return _checked(response, body, query)


def quoted(text: str) -> str:
    """A text as a value in a filter: RFC 7644 takes JSON's form."""
    return encode(text).decode()


def _context(authorities: str) -> ssl.SSLContext | bool:
    if not authorities:
        return True
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(authorities)
    except OSError:  # ssl.SSLError too
        raise ScimSettingError("BLOCKLINE_DIRECTORY_AUTHORITIES can't be read as a PEM file.") from None
    return context


async def _limited(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > DIRECTORY_ANSWER_BYTES_MAX:
            raise DirectoryUnavailableError(f"The directory's answer is over {DIRECTORY_ANSWER_BYTES_MAX} bytes.")
    return bytes(body)


def _unreachable(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "The certificate of the directory doesn't verify: see BLOCKLINE_DIRECTORY_AUTHORITIES."
    return f"The directory can't be reached ({type(error).__name__})."


def _checked(response: httpx.Response, body: bytes, query: Mapping[str, str]) -> dict[str, Any] | None:
    status = response.status_code
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise DirectoryUnavailableError(
            "The directory refuses our token: BLOCKLINE_DIRECTORY_TOKEN must be one that may read users and groups."
        )
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise DirectoryUnavailableError("The directory is asked too often; it answers again in a while.")
    if "html" in response.headers.get("content-type", ""):
        raise DirectoryUnavailableError(
            f"The directory's address answers with a web page ({status}), not as SCIM does."
        )
    if status in {httpx.codes.BAD_REQUEST, httpx.codes.NOT_IMPLEMENTED} and "filter" in query:
        raise UnsupportedFilterError("The directory can't search by this.")
    if status == httpx.codes.NOT_FOUND:
        return None
    if not response.is_success:
        raise DirectoryUnavailableError(f"The directory answered {status}.")
    try:
        answer = decode(body)
    except MalformedError:
        answer = None
    if not isinstance(answer, dict):
        raise DirectoryUnavailableError("The directory's answer isn't one of SCIM.")
    return answer


def _list(answer: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Resources that can be told apart, and how many there are; a list without any leaves ``Resources`` out."""
    total, resources = answer.get("totalResults"), answer.get("Resources") or []
    if type(total) is not int or not isinstance(resources, list):
        raise DirectoryUnavailableError("The directory's answer isn't a list of SCIM.")
    if not all(isinstance(resource, dict) and resource.get("id") for resource in resources):
        raise DirectoryUnavailableError("The directory's answer holds something without an id.")
    return resources, total
