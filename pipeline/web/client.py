"""The client that calls what authors name: httpcore over connections that are checked."""

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final

import httpcore

from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.core.limits import HTTP_CONNECT_TIMEOUT_S, HTTP_REDIRECTS_MAX
from pipeline.web.connecting import CheckedBackend, LookUp, NotPermittedError, SystemLookUp, UnknownHostError
from pipeline.web.permits import Permits
from pipeline.web.port import WebError, WebRequest
from pipeline.web.redirects import Hop, next_hop, parse_url
from pipeline.web.unpacking import ACCEPTED, unpacker_of

_TIMEOUTS: Final = {"connect": HTTP_CONNECT_TIMEOUT_S}
_LENGTH: Final = "content-length"
_TRACEPARENT: Final = "traceparent"


class AuthorityError(BlocklineError):
    """The file of certificate authorities can't be used."""


class HttpcoreWebClient:
    """See :class:`pipeline.web.port.WebClient`. Asks neither proxies nor cookies, and keeps nothing."""

    def __init__(self, permits: Permits, *, authorities: str = "", look_up: LookUp | None = None) -> None:
        """``authorities`` is a PEM file of more than the public ones; ``look_up`` finds the addresses of a name.

        Raises:
            AuthorityError: the file can't be read, or isn't PEM.
        """
        self._permits = permits
        self._backend = CheckedBackend(permits, look_up or SystemLookUp())
        self._tls = httpcore.default_ssl_context()
        if authorities:
            try:
                self._tls.load_verify_locations(authorities)
            except (OSError, ssl.SSLError):
                raise AuthorityError("The file of certificate authorities can't be read as PEM.") from None

    @asynccontextmanager
    async def send(self, request: WebRequest) -> AsyncIterator["HttpcoreAnswer"]:
        """See :class:`pipeline.web.port.WebClient`."""
        url = parse_url(request.url)
        hop = Hop(request.method, url, request.headers, request.content, url.host)
        pool = httpcore.AsyncConnectionPool(ssl_context=self._tls, network_backend=self._backend)
        async with pool, AsyncExitStack() as opened:
            for _ in range(HTTP_REDIRECTS_MAX + 1):
                with _named(hop.shown):
                    answer = HttpcoreAnswer(
                        hop, await opened.enter_async_context(self._opened(pool, hop, request.traceparent))
                    )
                onward = next_hop(hop, answer.status, answer.headers) if request.follows_redirects else None
                if onward is None:
                    yield answer
                    return
                hop = onward
                await opened.aclose()
        detail = f"{url.host} redirects more than {HTTP_REDIRECTS_MAX} times"
        raise WebError(ErrorName.HTTP_CONNECTION, detail)

    @asynccontextmanager
    async def _opened(
        self, pool: httpcore.AsyncConnectionPool, hop: Hop, traceparent: str | None
    ) -> AsyncIterator[httpcore.Response]:
        if not self._permits.may_speak(hop.url.scheme, hop.url.host, hop.port):
            detail = f"{hop.shown} may be called by https only; an operator can allow http"
            raise WebError(ErrorName.AUTH_DENIED, detail)
        url = httpcore.URL(scheme=hop.url.raw_scheme, host=hop.url.raw_host, port=hop.url.port, target=hop.url.raw_path)
        ours = {"Host": hop.url.netloc.decode("ascii"), "Accept-Encoding": ACCEPTED}
        given = {name.lower() for name in hop.headers}
        if "user-agent" not in given:
            ours["User-Agent"] = "blockline"
        if traceparent is not None and _TRACEPARENT not in given and self._permits.may_trace(hop.url.host, hop.port):
            ours[_TRACEPARENT] = traceparent
        headers: list[tuple[str | bytes, str | bytes]] = [*ours.items(), *hop.headers.items()]
        async with pool.stream(
            hop.method, url, headers=headers, content=hop.content, extensions={"timeout": _TIMEOUTS}
        ) as response:
            yield response


class HttpcoreAnswer:
    """See :class:`pipeline.web.port.WebAnswer`."""

    def __init__(self, hop: Hop, response: httpcore.Response) -> None:
        """``response`` is open."""
        self._shown = hop.shown
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = _joined(response.headers)

    async def read(self, bytes_max: int) -> bytes:
        """See :class:`pipeline.web.port.WebAnswer`."""
        too_large = WebError(ErrorName.ENGINE_TOO_LARGE, f"the answer of {self._shown} is over {bytes_max} bytes")
        if _said_length(self.headers) > bytes_max:
            raise too_large
        unpacker = unpacker_of(self.headers.get("content-encoding", ""))
        body, packed_bytes = bytearray(), 0
        with _named(self._shown):
            async for piece in self._response.aiter_stream():
                packed_bytes += len(piece)
                body += unpacker.take(piece, bytes_max - len(body))
                if max(packed_bytes, len(body)) > bytes_max:
                    raise too_large
        if body or packed_bytes:
            unpacker.end()
        return bytes(body)


def _said_length(headers: Mapping[str, str]) -> int:
    said = headers.get(_LENGTH, "")
    return int(said) if said.isascii() and said.isdecimal() else 0


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


@contextmanager
def _named(host: str) -> Iterator[None]:
    """Errors of the libraries as ours; what they say may hold addresses and headers, so none of it is repeated."""
    try:
        yield
    except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol, UnicodeError):
        raise WebError(ErrorName.VALIDATION_INPUT, "the request can't be sent: look at method and headers") from None
    except NotPermittedError:
        detail = f"{host} is at an address that may not be called from here; an operator can allow it"
        raise WebError(ErrorName.AUTH_DENIED, detail) from None
    except UnknownHostError:
        raise WebError(ErrorName.HTTP_CONNECTION, f"no address is known for {host}") from None
    except httpcore.RemoteProtocolError:
        detail = f"{host} broke off, or doesn't speak HTTP"
        raise WebError(ErrorName.HTTP_CONNECTION, detail) from None
    except httpcore.ConnectTimeout:
        detail = f"{host} didn't take the connection within {HTTP_CONNECT_TIMEOUT_S:g} s"
        raise WebError(ErrorName.HTTP_CONNECTION, detail) from None
    except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError) as error:
        raise WebError(ErrorName.HTTP_CONNECTION, _why(host, error)) from None


def _why(host: str, error: Exception) -> str:
    cause = _tls_error(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of {host} doesn't verify"
    if cause is not None:
        return f"{host} doesn't speak TLS as it should"
    return f"{host} can't be reached" if isinstance(error, httpcore.ConnectError) else f"the connection to {host} broke"


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """What TLS itself said, however many layers have wrapped it since."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
