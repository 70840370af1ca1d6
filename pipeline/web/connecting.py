"""Connections that go to the very address that was checked.

A name is looked up here, once, and each of its addresses is checked; the connection is made to the number, so an
answer of the name server that changes in between changes nothing. TLS still asks for the name.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import httpcore

from pipeline.core.limits import HTTP_ADDRESSES_MAX, HTTP_LOOK_UPS_MAX
from pipeline.web.permits import Address, Permits

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, as numbers; raises OSError where there are none."""
SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class NotPermittedError(Exception):
    """None of the addresses of a host may be called."""


class UnknownHostError(Exception):
    """A host has no address."""


class SystemLookUp:
    """Asks the system, in threads of its own: names that hang don't take those that others need."""

    def __init__(self) -> None:
        """Threads are started as they are needed."""
        self._threads = ThreadPoolExecutor(HTTP_LOOK_UPS_MAX, thread_name_prefix="look-up")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """See :data:`LookUp`."""
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _addresses, host, port)
        return list(dict.fromkeys(found))


def _addresses(host: str, port: int) -> list[str]:
    return [str(sockaddr[0]) for *_, sockaddr in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Looks up, checks, connects."""

    def __init__(self, permits: Permits, look_up: LookUp) -> None:
        """``permits`` says what may be reached."""
        self._permits = permits
        self._look_up = look_up
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's signature)
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first permitted address that takes it within ``timeout`` seconds.

        Raises:
            NotPermittedError: none of its addresses may be called.
            UnknownHostError: it has none.
            httpcore.ConnectError: none takes it (``ConnectTimeout``: in time).
        """
        addresses = await self._permitted(host, port)
        refused: Exception | None = None
        for address in addresses[:HTTP_ADDRESSES_MAX]:
            try:
                return await self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refused = error
        assert refused is not None, "there is an address, or _permitted raises"  # noqa: S101  (for the impossible)
        raise refused

    async def _permitted(self, host: str, port: int) -> list[str]:
        try:
            found = await self._look_up(host, port)
        except (OSError, UnicodeError):
            found = ()
        if not found:
            raise UnknownHostError
        permitted = [text for text in found if _is_permitted(self._permits, host, port, text)]
        if not permitted:
            raise NotPermittedError
        return permitted

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's signature)
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never: a socket is no web service.

        Raises:
            NotPermittedError: always.
        """
        del path, timeout, socket_options
        raise NotPermittedError

    async def sleep(self, seconds: float) -> None:
        """See httpcore; only its own retries ask for it, and there are none."""
        await self._sockets.sleep(seconds)


def _is_permitted(permits: Permits, host: str, port: int, text: str) -> bool:
    try:
        address: Address = ip_address(text)
    except ValueError:
        return False  # with a zone: the machine's own network
    return permits.may_connect(host, port, address)
