"""Asks the server; the standard library only, so that a command starts in a blink."""

import base64
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import orjson

from cli.context import AnsweredError, Context, UsageError
from pipeline.core.errors import BlocklineError
from pipeline.process.settings import client_settings

TIMEOUT_S: Final = 75.0
"""Longer than the longest wait the server grants."""
LINE_BYTES_MAX: Final = 4 * 1024 * 1024
_REFUSED_FROM: Final = 400


class UnreachableError(BlocklineError):
    """No server answered."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said; ``body`` is None for an empty one."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Client:
    """One server, one user."""

    def __init__(self, context: Context) -> None:
        """Reads ``BLOCKLINE_URL``, ``BLOCKLINE_USER``, ``BLOCKLINE_PASSWORD``.

        Raises:
            UsageError: no user, or the address isn't one.
        """
        settings = client_settings(context.environment, {"url": context.argument("url")})
        parts = urlsplit(settings.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError("BLOCKLINE_URL is an address like http://127.0.0.1:8080.")
        if not settings.password:
            raise UsageError("Set BLOCKLINE_USER and BLOCKLINE_PASSWORD to sign in.")
        self._parts = parts
        self._url = settings.url
        credentials = base64.b64encode(f"{settings.user}:{settings.password}".encode()).decode()
        self._authorization = f"Basic {credentials}" if settings.user else f"Bearer {settings.password}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request.

        Raises:
            AnsweredError: the server refused it.
            UnreachableError: nobody answered.
        """
        raw = None if body is None else orjson.dumps(body)
        connection = self._connection()
        try:
            response = self._send(connection, method, _target(path, query), raw, headers or {})
            text = response.read()
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()
        answer = Answer(response.status, _decoded(text), {name.lower(): value for name, value in response.getheaders()})
        if answer.status >= _REFUSED_FROM:
            raise AnsweredError(_problem(answer))
        return answer

    def look(self, target: str, body: Any = None) -> Answer:
        """``GET``, with a ``body`` ``POST``, of what is outside ``/api/v1``, whatever its status; what isn't JSON
        is text.

        Raises:
            UnreachableError: nobody answered.
        """
        connection = self._connection()
        try:
            sent = None if body is None else orjson.dumps(body)
            response = self._send(connection, "GET" if sent is None else "POST", target, sent, {"Accept": "*/*"})
            raw = response.read()
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()
        found = _decoded(raw)
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, raw.decode("utf-8", "replace") if found is None else found, headers)

    def stream(self, path: str, *, after: int | None) -> Iterator[tuple[int, Any]]:
        """Server-Sent Events as ``(id, data)`` until the server ends the stream.

        Raises:
            AnsweredError: the server refused it.
            UnreachableError: nobody answered, or the connection broke.
        """
        headers = {"Accept": "text/event-stream"} | ({} if after is None else {"Last-Event-ID": str(after)})
        connection = self._connection()
        try:
            response = self._send(connection, "GET", _target(path, None), None, headers)
            if response.status >= _REFUSED_FROM:
                raise AnsweredError(_problem(Answer(response.status, _decoded(response.read()), {})))
            yield from _events(response)
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    def everything(self, path: str, query: Mapping[str, Any], limit: int) -> list[Any]:
        """Up to ``limit`` items of a list, page by page."""
        items: list[Any] = []
        cursor: str | None = None
        while len(items) < limit:
            page = self.ask("GET", path, query={**query, "limit": min(limit - len(items), 200), "cursor": cursor}).body
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return items

    def _connection(self) -> HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return HTTPSConnection(host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        return HTTPConnection(host, port, timeout=TIMEOUT_S)

    def _send(
        self, connection: HTTPConnection, method: str, target: str, raw: bytes | None, headers: Mapping[str, str]
    ) -> HTTPResponse:
        all_headers = {"Authorization": self._authorization, "Accept": "application/json", **headers}
        if raw is not None:
            all_headers["Content-Type"] = "application/json"
        connection.request(method, self._parts.path.rstrip("/") + target, body=raw, headers=all_headers)
        return connection.getresponse()

    def _unreachable(self, error: Exception) -> UnreachableError:
        if isinstance(error, TimeoutError | socket.timeout):
            return UnreachableError(f"{self._url} didn't answer in time.")
        return UnreachableError(f"No answer from {self._url}: is `blockline up` running, and is BLOCKLINE_URL right?")


def segment(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def _target(path: str, query: Mapping[str, Any] | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return f"/api/v1{path}" + (f"?{urlencode(given)}" if given else "")


def _decoded(text: bytes) -> Any:
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None


def _problem(answer: Answer) -> Mapping[str, Any]:
    if isinstance(answer.body, dict):
        return answer.body
    return {"detail": f"The server answered {answer.status}, and not as Blockline does.", "status": answer.status}


def _events(response: HTTPResponse) -> Iterator[tuple[int, Any]]:
    ident, data = 0, b""
    while line := response.readline(LINE_BYTES_MAX):
        name, _, value = line.rstrip(b"\r\n").partition(b": ")
        if name == b"id":
            ident = int(value)
        elif name == b"data":
            data = value
        elif not line.strip() and data:
            yield ident, orjson.loads(data)
            data = b""
