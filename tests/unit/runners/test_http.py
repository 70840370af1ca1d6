"""HTTP against a server of raw bytes, behind the shell with its time limit."""

import asyncio
from typing import Any

import pytest

from pipeline.blocks.registry import Registry
from pipeline.blocks.shell import RunnerShell
from pipeline.blocks.time_limit import AsyncioTimeLimit
from pipeline.messages.envelopes import Dispatch, Requester, Result
from pipeline.testing.block_suite import ExampleClock
from tests.unit.web.raw_server import Serve, answering, client, for_ever, serving, within

REGISTRY = Registry.load("udfs.runners")


def dispatch(arguments: dict[str, Any], **changes: Any) -> Dispatch:
    body: dict[str, Any] = {
        "run_guid": "g",
        "run_name": "n",
        "task": "call it",
        "type": "HTTP",
        "arguments": arguments,
        "requester": Requester(name="requester"),
        "dispatched_at": 1_795_439_555_000,
        "valid_until": 1_795_439_655_000,
        "shard": 0,
    }
    return Dispatch(**{**body, **changes})


def shell() -> RunnerShell:
    runner = REGISTRY.create("HTTP", {"web": client()})
    return RunnerShell(runner, REGISTRY.manifest("HTTP"), ExampleClock(), time_limit=AsyncioTimeLimit())


def called(serve: Serve, arguments: dict[str, Any] | None = None, **changes: Any) -> tuple[Result, list[bytes]]:
    """The result of one call, and what the server saw."""

    async def story() -> tuple[Result, list[bytes]]:
        async with serving(serve) as server:
            asked = {"url": server.url, **(arguments or {})}
            return await shell().attempt(dispatch(asked, **changes)), server.seen

    result: tuple[Result, list[bytes]] = within(story())
    return result


def error_of(serve: Serve, arguments: dict[str, Any] | None = None, **changes: Any) -> str:
    error = called(serve, arguments, **changes)[0].error
    assert error is not None
    return error.name


JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "kind", "answer", "read"),
    [
        (b'{"a": [1]}', JSON, "AUTO", {"a": [1]}),
        (b"\xef\xbb\xbf1", "application/problem+json; charset=utf-8", "AUTO", 1),
        (b'{"a": 1}', "text/plain", "AUTO", '{"a": 1}'),
        (b'{"a": 1}', "text/html", "JSON", {"a": 1}),
        (b"1", JSON, "TEXT", "1"),
        (b"", JSON, "AUTO", None),
        (b"", "text/plain", "TEXT", ""),
        (b"gr\xfc\xdf", 'text/plain; charset="ISO-8859-1"', "AUTO", "grüß"),
        (b"\x89PNG", "image/png", "NONE", None),
    ],
)
def test_a_body_is_read_by_its_type(body: bytes, kind: str, answer: str, read: Any) -> None:
    result, _ = called(answering(body=body, Content_Type=kind), {"answer": answer})
    assert result.output == {"status": 200, "headers": {"content-type": kind}, "body": read}


@pytest.mark.parametrize(
    ("body", "kind", "answer"),
    [
        (b'{"a": ', JSON, "AUTO"),
        (b"NaN", JSON, "AUTO"),
        (b"<html>", "text/html", "JSON"),
        (b"[" * 100 + b"]" * 100, JSON, "AUTO"),
        (b"[" * 100_000 + b"]" * 100_000, JSON, "AUTO"),
        (b'"\xff"', JSON, "AUTO"),
        (b"\xff", "text/plain", "AUTO"),
        (b"a", "text/plain; charset=klingon", "AUTO"),
        (b"a", "text/plain; charset=punycode", "AUTO"),
        (b"a", "text/plain; charset=zip", "AUTO"),
        (b"\x89PNG", "image/png", "AUTO"),
    ],
)
def test_a_body_that_isnt_what_it_says(body: bytes, kind: str, answer: str) -> None:
    assert error_of(answering(body=body, Content_Type=kind), {"answer": answer}) == "Validation.Output"


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("400 Bad Request", "Http.4xx"),
        ("401 Unauthorized", "Auth.Denied"),
        ("403 Forbidden", "Auth.Denied"),
        ("404 Not Found", "Http.4xx"),
        ("429 Too Many Requests", "Http.429"),
        ("500 Internal Server Error", "Http.5xx"),
        ("503 Service Unavailable", "Http.5xx"),
        ("304 Not Modified", "Validation.Output"),
    ],
)
def test_a_refusal_has_its_name_whatever_its_body(status: str, name: str) -> None:
    assert error_of(answering(status)) == name
    assert error_of(for_ever(f"HTTP/1.1 {status}\r\n\r\n".encode(), b"a")) == name


def test_a_refusal_says_why_where_it_says_it_for_people() -> None:
    problem = b'{"title": "No\\u0000 such\\n type", "detail": "Take Bug", "at": "10.0.0.1"}'
    result, _ = called(answering("422 Unprocessable", problem, Content_Type="application/problem+json"))
    assert result.error is not None
    assert result.error.message == "the service answered 422: No such type: Take Bug"
    result, _ = called(answering("422 Unprocessable", b"at 10.0.0.1", Content_Type="text/plain"))
    assert result.error is not None
    assert result.error.message == "the service answered 422"


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry_After": "20"}, 20),
        ({"Retry_After": "9" * 5000}, 31_622_400),
        ({"Retry_After": "Fri, 27 Nov 2026 10:00:20 GMT", "Date": "Fri, 27 Nov 2026 10:00:00 GMT"}, 20),
        ({"Retry_After": "Mon, 23 Nov 2026 13:13:05 GMT"}, 30),
        ({"Retry_After": "Fri, 27 Nov 2020 10:00:20 GMT"}, 0),
        ({"Retry_After": "soon"}, None),
        ({}, None),
    ],
)
def test_how_long_a_service_asks_to_wait(headers: dict[str, str], wait_s: float | None) -> None:
    result, _ = called(answering("503 Service Unavailable", b"", **headers))
    assert result.error is not None
    assert result.error.retry_after_s == wait_s


@pytest.mark.parametrize("drip", [for_ever(b"HTTP/1.1 200 OK\r\n\r\n", b""), for_ever(b"", b"")])
def test_an_answer_that_never_ends_ends_with_the_time_out(drip: Serve) -> None:
    assert error_of(drip, timeout_s=0.2) == "Task.Timeout"


def test_a_drip_counts_against_the_whole_time_out() -> None:
    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.02)

    assert error_of(serve, timeout_s=0.3) == "Task.Timeout"


def test_an_answer_over_the_limit() -> None:
    assert error_of(answering(body=b"1" * 600_000, Content_Type=JSON)) == "Engine.TooLarge"


def head_of(arguments: dict[str, Any], **changes: Any) -> bytes:
    result, seen = called(answering(), arguments, **changes)
    assert result.error is None, result.error
    return seen[0]


def test_the_key_is_that_of_the_task_or_of_the_attempt() -> None:
    key = b"Idempotency-Key: g/call%20it/0/0\r\n"
    assert key in head_of({}, attempt=1)
    assert key in head_of({}, attempt=2)
    assert b"Idempotency-Key: g/call%20it/0/0/2\r\n" in head_of({"keyScope": "ATTEMPT"}, attempt=2)
    own = head_of({"headers": {"idempotency-key": "mine"}})
    assert (own.lower().count(b"idempotency-key"), b": mine\r\n" in own) == (1, True)
    long_key = head_of({}, task="ü" * 120).split(b"Idempotency-Key: ")[1].split(b"\r\n")[0]
    assert len(long_key) == 64


def test_what_goes_out() -> None:
    posted = head_of({"method": "POST", "body": {"ü": 1}, "query": {"q": "a&b=ü", "n": [1, True, None], "z": None}})
    assert posted.startswith(b"POST /?q=a%26b%3D%C3%BC&n=1&n=true HTTP/1.1\r\n")
    assert posted.endswith(b'\r\n\r\n{"\xc3\xbc":1}')
    assert b"Content-Type: application/json\r\n" in posted
    form = head_of({"method": "POST", "form": {"a": "1 2", "b": False}, "headers": {"content-type": "x/form"}})
    assert form.endswith(b"\r\n\r\na=1+2&b=false")
    assert (form.lower().count(b"content-type"), b"content-type: x/form" in form) == (1, True)
    assert head_of({"method": "PUT", "text": "ü"}).endswith(b"\r\n\r\n\xc3\xbc")
    assert b"Authorization: Basic YW5hOnB3OnB3\r\n" in head_of({"auth": {"user": "ana", "password": "pw:pw"}})
    assert b"Authorization: Bearer tok\r\n" in head_of({"auth": {"bearer": "tok"}})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"headers": {"X": "a\r\nHost: b"}}, "one line of ASCII"),
        ({"headers": {"X": "ü"}}, "one line of ASCII"),
        ({"headers": {"a b": "c"}}, "name of a header"),
        ({"headers": {"host": "b"}}, "can't be set"),
        ({"headers": {"a": "1", "A": "2"}}, "twice"),
        ({"headers": {"authorization": "a"}, "auth": {"bearer": "b"}}, "either"),
        ({"auth": {"user": "a:b", "password": "c"}}, "auth"),
        ({"method": "GET", "text": "a"}, "no body"),
        ({"method": "POST", "text": "a", "form": {}}, "one of"),
        ({"method": "TRACE"}, "method"),
        ({"expectedStatuses": []}, "expectedStatuses"),
        ({"expectedStatuses": [1000]}, "status is a number"),
        ({"url": "https://ana:hunter2@service.example/"}, "before the @"),
    ],
)
def test_what_cant_be_sent_is_said(arguments: dict[str, Any], said: str) -> None:
    result, seen = called(answering(), arguments)
    assert result.error is not None
    assert (result.error.name, seen) == ("Validation.Input", [])
    assert said in result.error.message
    assert "hunter2" not in result.error.message


def test_statuses_may_be_expected() -> None:
    assert called(answering("404 Not Found"), {"expectedStatuses": ["2xx", 404]})[0].output["status"] == 404
    assert error_of(answering("204 No Content"), {"expectedStatuses": [200]}) == "Validation.Output"
    assert called(answering("302 Found"), {"expectedStatuses": ["3xx"], "followRedirects": False})[0].error is None
