"""The one way to Atlas: an httpx transport under pyatlan and under the adapter's own reads.

It knows what pyatlan mustn't: Apache Atlas' paths and login, what an answer means for a caller of the port, and
nothing of retries: those are the caller's. So pyatlan sees good answers only, and neither waits, nor retries, nor
fetches a new token.
"""

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from pipeline.core.errors import BlocklineError
from pipeline.core.limits import ERROR_MESSAGE_CHARS_MAX, STORE_WRITE_TIMEOUT_S
from pipeline.messages.canonical import MalformedError, decode, encode
from pipeline.store.counting import REQUEST_SECONDS
from pipeline.store.port import StoreRefusedError, StoreUnavailableError, StoreUnknownError

PYATLAN_PATH: Final = "/api/meta/"
PYATLAN_URL: Final = "http://atlas.invalid"
"""What pyatlan is told: it refuses addresses without a top-level domain, as ``http://atlas:21000`` in a cluster."""
APACHE_PATH: Final = "/api/atlas/v2/"
CONNECT_TIMEOUT_S: Final = 2.0
KEEP_ALIVE_S: Final = 3.0
"""Shorter than uvicorn's 5 s and Jetty's 30 s: a connection that the server has just closed loses a write's answer."""
CONNECTIONS_MAX: Final = 64

_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
PURGE_PATH: Final = "admin/purge"
"""As the adapter says it; Atlas' calls for administrators have no version in their address."""
_ADMIN_PATH: Final = "/api/atlas/admin/"
_BULK: Final = "entity/bulk"
_SEARCH: Final = "search/basic"
_CLASSIFICATION: Final = "/classification"
"""In the address of the calls that put classifications on an entity, change them and take them off."""


class DeniedError(BlocklineError):
    """403: this account may not do that; what it means depends on what was asked."""


class MissingError(StoreRefusedError):
    """404 by Atlas itself: what was named isn't there. ``code`` is Atlas' own."""

    def __init__(self, text: str, code: str) -> None:
        """``text`` is Atlas' sentence."""
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class AtlasAccess:
    """Where Atlas is (scheme, host and port) and how to log in; made by :meth:`basic` or :meth:`bearer`."""

    url: str
    path: str
    authorization: str = field(repr=False)

    @classmethod
    def basic(cls, url: str, user: str, password: str) -> "AtlasAccess":
        """A real Apache Atlas: ``/api/atlas/v2`` and Basic login."""
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        return cls(url.rstrip("/"), APACHE_PATH, f"Basic {login}")

    @classmethod
    def bearer(cls, url: str, token: str) -> "AtlasAccess":
        """The way of pyatlan, as the embedded Atlas and Atlan have it: ``/api/meta`` and a token."""
        return cls(url.rstrip("/"), PYATLAN_PATH, f"Bearer {token}")


class AtlasTransport(httpx.AsyncBaseTransport):
    """Rewrites requests for the Atlas at hand, and turns every answer that isn't a good one into the port's errors."""

    def __init__(self, access: AtlasAccess, inner: httpx.AsyncBaseTransport | None = None) -> None:
        """``inner``: what sends; by default connections over the network."""
        self._access = access
        self._inner = inner or httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=KEEP_ALIVE_S)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it once.

        Raises:
            StoreUnavailableError: nothing was written, for certain.
            StoreUnknownError: a write's answer was lost.
            StoreRefusedError: Atlas refused what is in it (MissingError: it isn't there).
            DeniedError: Atlas refused who asked.
        """
        is_bulk = request.url.path.rstrip("/").endswith(_BULK) and request.method != "GET"
        path = request.url.path
        is_write = is_bulk or _CLASSIFICATION in path or path.endswith(PURGE_PATH)
        self._rewrite(request)
        try:
            response, body = await self._timed(request, _kind(path, is_bulk=is_bulk))
        except _NOT_SENT as error:
            raise StoreUnavailableError(f"Atlas can't be reached ({type(error).__name__}).") from error
        except httpx.HTTPError as error:
            raise _lost(is_write, f"Atlas' answer was lost ({type(error).__name__}).") from error
        whole = httpx.Response(response.status_code, headers=_plain(response.headers), content=body, request=request)
        await response.aclose()
        _check(whole, is_write=is_write)
        return _trimmed(whole, request) if is_bulk else whole

    async def _timed(self, request: httpx.Request, kind: str) -> tuple[httpx.Response, bytes]:
        """Its answer with the body; what it took is counted, however it ends."""
        loop = asyncio.get_running_loop()
        began_s, outcome = loop.time(), "failed"
        try:
            response = await self._inner.handle_async_request(request)
            body = await response.aread()
            if response.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                outcome = "done"
        finally:
            REQUEST_SECONDS.labels(kind, outcome).observe(loop.time() - began_s)
        return response, body

    async def aclose(self) -> None:
        """Close all connections; may be called twice."""
        await self._inner.aclose()

    def _rewrite(self, request: httpx.Request) -> None:
        request.headers["authorization"] = self._access.authorization
        request.extensions["timeout"] = {
            "connect": CONNECT_TIMEOUT_S,
            "read": STORE_WRITE_TIMEOUT_S,
            "write": STORE_WRITE_TIMEOUT_S,
            "pool": STORE_WRITE_TIMEOUT_S,
        }
        raw = request.url.raw_path
        if request.url.path.endswith(PURGE_PATH):
            raw = raw.replace(f"{PYATLAN_PATH}admin/".encode(), _ADMIN_PATH.encode(), 1)
        raw = raw.replace(PYATLAN_PATH.encode(), self._access.path.encode(), 1)
        there = httpx.URL(self._access.url)
        request.url = there.copy_with(raw_path=raw)
        request.headers["host"] = there.netloc.decode()


class AtlasSession(httpx.AsyncClient):
    """What pyatlan is handed as its session."""

    async def request(self, method: str, url: httpx.URL | str, **request: Any) -> httpx.Response:
        """As the base class; pyatlan's text of a body comes under a name that httpx has deprecated for it."""
        if isinstance(request.get("data"), str):
            request["content"] = request.pop("data").encode()
        return await super().request(method, url, **request)


def _kind(path: str, *, is_bulk: bool) -> str:
    """What a request is among those that are counted."""
    if is_bulk:
        return "write"
    if path.rstrip("/").endswith(_BULK):
        return "read"
    return "search" if path.endswith(_SEARCH) else "other"


def _plain(headers: httpx.Headers) -> dict[str, str]:
    """The headers of a body that is decoded already."""
    return {"content-type": headers.get("content-type", "")}


def _lost(is_write: bool, sentence: str) -> BlocklineError:  # noqa: FBT001  (what it is about)
    return StoreUnknownError(sentence) if is_write else StoreUnavailableError(sentence)


def _check(response: httpx.Response, *, is_write: bool) -> None:
    status = response.status_code
    if status == httpx.codes.UNAUTHORIZED:
        # Not the message's fault: nothing may end in the dead letters because a password has changed.
        raise StoreUnavailableError("The store refused our credentials.")
    if status in {httpx.codes.BAD_GATEWAY, httpx.codes.GATEWAY_TIMEOUT}:
        raise _lost(is_write, f"A gateway before Atlas lost its answer ({status}).")
    error = _error(response)
    if status < httpx.codes.BAD_REQUEST:
        return
    raise refusal(status, str(error.get("errorCode", "")), _sentence(error, status))


def refusal(status: int, code: str, sentence: str) -> BlocklineError:
    """What an answer of Atlas with this status (400 or more) and code means for a caller of the port."""
    if status == httpx.codes.NOT_IMPLEMENTED:
        return StoreRefusedError(sentence)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS:
        # 500 is mostly a lock conflict of Atlas' graph store; its transaction was rolled back.
        return StoreUnavailableError(sentence)
    if status == httpx.codes.FORBIDDEN:
        return DeniedError(sentence)
    if status == httpx.codes.NOT_FOUND:
        return MissingError(sentence, code)
    return StoreRefusedError(sentence)


def _error(response: httpx.Response) -> dict[str, Any]:
    """The body of an error; of a good answer it is only looked at for being JSON.

    Raises:
        StoreUnavailableError: whoever answered isn't Atlas.
    """
    kind = response.headers.get("content-type", "")
    if "html" in kind:
        raise StoreUnavailableError(
            f"The address of the store answers with a web page ({response.status_code}), not as Atlas does."
        )
    if response.status_code < httpx.codes.BAD_REQUEST:
        return {}
    try:
        body = decode(response.content)
    except MalformedError:
        return {}
    return body if isinstance(body, dict) else {}


def _sentence(error: dict[str, Any], status: int) -> str:
    text = error.get("errorMessage") or error.get("error") or error.get("msgDesc")
    return f"Atlas: {str(text)[:ERROR_MESSAGE_CHARS_MAX]}" if text else f"Atlas answered {status}."


def _trimmed(response: httpx.Response, request: httpx.Request) -> httpx.Response:
    """A write's answer with guids and names only: pyatlan looks up the tags of what is in an answer, by requests."""
    if not response.content:
        return response
    try:
        body = decode(response.content)
        changed = body.get("mutatedEntities") or {}
        trimmed = {
            "guidAssignments": body.get("guidAssignments") or {},
            "mutatedEntities": {how: [_header(header) for header in headers] for how, headers in changed.items()},
        }
    except (MalformedError, AttributeError, TypeError) as error:
        raise StoreUnknownError("Atlas' answer to a write isn't what Atlas answers.") from error
    return httpx.Response(
        response.status_code, headers={"content-type": "application/json"}, content=encode(trimmed), request=request
    )


def _header(header: dict[str, Any]) -> dict[str, Any]:
    name = (header.get("attributes") or {}).get("qualifiedName")
    return {
        "typeName": header.get("typeName"),
        "guid": header.get("guid"),
        "attributes": {"qualifiedName": name} if name else {},
    }
