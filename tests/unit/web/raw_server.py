"""A server of bytes on 127.0.0.1: it says what a test tells it to, HTTP or not."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.errors import ErrorName
from pipeline.web.client import HttpcoreWebClient
from pipeline.web.permits import Permits
from pipeline.web.port import WebError, WebRequest

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
DEADLINE_S = 20.0


@dataclass
class RawServer:
    """``seen`` holds the heads of the requests, with their bodies behind them."""

    port: int = 0
    seen: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Hands each request, head and body, to ``serve``; then hangs up."""
    server = RawServer()
    tasks: set[asyncio.Task[Any]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
            )
            request = head + await reader.readexactly(length)
            server.seen.append(request)
            await serve(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()


def saying(*pieces: bytes) -> Serve:
    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.write_eof() if writer.can_write_eof() else None

    return serve


def answering(status: str = "200 OK", body: bytes = b"", **headers: str) -> Serve:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    return saying(head.encode(), body)


def for_ever(head: bytes, piece: bytes) -> Serve:
    """One piece after another, as fast as they are taken."""

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return serve


def client(allow: str = "127.0.0.1", plain: str = "*", **options: Any) -> HttpcoreWebClient:
    return HttpcoreWebClient(Permits.parse(allow, plain), **options)


def within(story: Coroutine[Any, Any, Any]) -> Any:
    """The story's result; a story that hangs fails."""

    async def limited() -> Any:
        async with asyncio.timeout(DEADLINE_S):
            return await story

    return asyncio.run(limited())


async def fails(web: HttpcoreWebClient, url: str, bytes_max: int = 1000) -> tuple[ErrorName, str]:
    """The name and the sentence that a GET ends with."""
    try:
        async with web.send(WebRequest("GET", url)) as answer:
            body = await answer.read(bytes_max)
    except WebError as error:
        return error.name, str(error)
    raise AssertionError(f"it answered {answer.status} {body!r}")
