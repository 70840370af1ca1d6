"""Every address of the API is asked for nonsense, by whoever may do everything: it says what is wrong, and no more."""

import asyncio
import json  # noqa: TID251  (writes what no client of ours would)
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.integration.journey.actors import Stage, row, staged
from tests.integration.journey.test_trouble import asks

pytestmark = pytest.mark.timeout(600)
AT_ONCE = 8
HUGE = "9" * 400
PARTS = [
    "%00", "..%2f..%2fetc%2fpasswd", "%ff%fe", "%F0%9F%98%80", "'%20OR%201=1--", "a" * 6000, "-1", HUGE,
    "%7B%22a%22%7D", "%0d%0aX-Evil:%201",
]  # fmt: skip
"""Stand where a path has a parameter."""
QUERIES = [
    "limit=-1", "limit=0", f"limit={HUGE}", "limit=abc", "limit=1&limit=2", "cursor=%00%ff", "cursor=" + "A" * 4000,
    "cursor=eyJhIjpbXX0", "wait_s=nan", "wait_s=-1", "wait_s=1e308", "status=%00", "after=-1", f"after={HUGE}",
    "run=%ff", "workflow[]=a", "%ff=%fe", "=&&=", "query=" + "%25" * 2000, "since=yesterday", "label=%3D", "what=ever",
]  # fmt: skip
SCALARS: list[Any] = [None, True, -1, 1.5, "\x00", "x" * 20_000, [], [[]], {}, {"a": None}, 10**30]
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"a"',
    "a number": b"1e999",
    "NaN": b'{"a": NaN}',
    "no UTF-8": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "half a surrogate": b'{"name": "\\ud800", "comment": "\\udfff"}',
    "half": b'{"a": [',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"spec":' * 50_000,
    "a key twice": b'{"name": "a", "name": "b"}',
    "over the limit": b'{"a": "' + b"x" * 3_000_000 + b'"}',
    "a huge number": b'{"a": ' + b"9" * 5000 + b"}",
    "gzip it isn't": b"\x1f\x8b\x08\x00nonsense",
}
HEADERS: list[dict[str, Any]] = [
    {"If-Match": 'W/"'},
    {"If-Match": "x" * 5000},
    {"Idempotency-Key": ""},
    {"Idempotency-Key": "k" * 5000},
    {"Idempotency-Key": b"\xff\xfe"},
    {"Last-Event-ID": HUGE},
    {"Last-Event-ID": "abc"},
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/json; charset=utf-7"},
    {"Content-Encoding": "gzip"},
    {"Accept": "image/png"},
    {"Range": "bytes=5-1"},
    {"Authorization": "Basic %%%"},
    {"Authorization": b"Bearer \xff\xfe"},
    {"Authorization": "Digest x"},
    {"Authorization": "Basic " + "A" * 6000},
]
PARAMETER = re.compile(r"\{\w+\}")
LEAKS = re.compile(
    r"Traceback|File \"|site-packages|sqlite|\.py\b|0x[0-9a-f]{8}|pydantic|orjson|/tmp/|<class|object at"
)


@dataclass(frozen=True)
class Asked:
    """One request; ``path`` is from the root on, encoded."""

    method: str
    path: str
    content: bytes | None = None
    headers: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path[:120]} {str(self.headers)[:80]} {(self.content or b'')[:80]!r}"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("fuzz")) as stage:
        yield stage


def nonsense(described: dict[str, Any], known: str) -> Iterator[Asked]:
    """For every operation that the API describes. ``known`` is the guid of something that is there."""
    for template, operations in described["paths"].items():
        for method, operation in operations.items():
            verb = method.upper()
            parts = PARTS if "{" in template else []
            for part in [*parts, *([known] if parts and verb == "GET" else [])]:
                content = b"{}" if verb in {"POST", "PUT", "PATCH"} else None
                yield Asked(verb, PARAMETER.sub(part, template), content)
            path = PARAMETER.sub("nobody-has-this", template)
            if verb == "GET":
                yield from (Asked(verb, f"{path}?{query}") for query in QUERIES)
            yield from (Asked(verb, path, None, headers) for headers in HEADERS)
            if verb in {"POST", "PUT", "PATCH"}:
                yield from (Asked(verb, path, content) for content in BODIES.values())
                yield from (Asked(verb, path, content) for content in misfits(described, operation))
    yield from (Asked(verb, "/api/v1/runs") for verb in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"))
    yield from (
        Asked("GET", path) for path in ("/api/v1/", "/api/v1/%2e%2e/", "/api/v1//runs", "/api/v2/runs", "/nothing")
    )


def misfits(described: dict[str, Any], operation: dict[str, Any]) -> Iterator[bytes]:
    """Every member that the body may have, with values of other types."""
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    shape = described["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
    names = list(shape.get("properties", {}))
    for value in SCALARS:
        yield json.dumps(dict.fromkeys(names, value)).encode()
    for name in names:
        for value in SCALARS:
            yield json.dumps({name: value}).encode()


def wrong(asked: Asked, status: int, kind: str, text: str) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if status >= 500:
        return "" if status == 501 and "isn't available in this version" in text else str(status)
    if LEAKS.search(text) and not asked.path.startswith(("/api/v1/openapi", "/api/v1/docs")):
        return f"it leaks {LEAKS.search(text)}"
    if status < 400 or kind != "application/problem+json":
        return "" if status < 400 else f"{status} as {kind}"
    body = json.loads(text)
    detail = body.get("detail") or ""
    if (
        body.get("status") != status
        or not body.get("title")
        or len(detail) < 10
        or not detail.endswith((".", "?", "!"))
    ):
        return f"{status} without a sentence: {text[:300]}"
    return f"a sentence of {len(detail)} characters" if len(detail) > 2000 else ""


async def answers(stage: Stage, asked: list[Asked]) -> list[str]:
    """What is wrong, each with the request that showed it."""
    found: list[str] = []
    waiting = iter(asked)
    limits = httpx.Limits(max_connections=AT_ONCE)
    login = ("admin", stage.password("admin"))

    async def ask(client: httpx.AsyncClient) -> None:
        for each in waiting:
            signed_in = None if "Authorization" in each.headers else login
            request = client.build_request(
                each.method, httpx.URL(stage.product.url + each.path), content=each.content, headers=each.headers
            )
            try:
                answer = await client.send(request, auth=signed_in, stream=True)
            except httpx.HTTPError as error:
                found.append(f"{each}: {type(error).__name__}")
                continue
            try:
                is_stream = answer.headers.get("content-type", "").startswith("text/event-stream")
                text = "" if is_stream else (await answer.aread()).decode("utf-8", "replace")
            finally:
                await answer.aclose()
            said = wrong(each, answer.status_code, answer.headers.get("content-type", ""), text)
            if said:
                found.append(f"{each}: {said}")

    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        await asyncio.gather(*(ask(client) for _ in range(AT_ONCE)))
    return found


def test_nonsense_is_refused_in_words_and_harms_nobody(stage: Stage) -> None:
    stage.publishes("ask", asks())
    stage.publishes("five", row())
    waiting = stage.starts("rosa", "ask")
    task = stage.task_of("sam", waiting)
    with stage.api() as admin:
        described = admin.get(f"{stage.product.url}/openapi.json").raise_for_status().json()
        before = {kind: admin.get(f"/{kind}").raise_for_status().json() for kind in ("users", "workflows")}
    asked = list(nonsense(described, waiting))
    assert len(asked) > 1000

    found = asyncio.run(answers(stage, asked))
    assert found == [], "\n".join(found[:40])
    log = stage.product.log.read_text()
    assert "an error of the API's own" not in log, log[-3000:]
    assert 'File "' not in log, log[-3000:]

    with stage.api() as admin:
        after = {kind: admin.get(f"/{kind}").raise_for_status().json() for kind in ("users", "workflows")}
    assert after == before
    assert stage.run(stage.starts("rosa", "five"), wait_s=30)["status"] == "SUCCESS"
    assert stage.types("sam", "task", "decide", task, "APPROVED").code == 0
    assert stage.run(waiting, wait_s=30)["status"] == "SUCCESS"
