"""What holds for both applications behind the one port."""

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from cli.front import front


async def api(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("api")(scope, receive, send)


async def atlas(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("atlas")(scope, receive, send)


async def scim(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("scim")(scope, receive, send)


def ask(method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    async def asks() -> httpx.Response:
        transport = httpx.ASGITransport(front(api, atlas, scim))
        async with httpx.AsyncClient(transport=transport, base_url="http://here:8080") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(asks())


FOREIGN = (
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": "https://evil.example"},
    {"origin": "http://here:9090"},
    {"origin": "null"},
)
OURS: tuple[dict[str, str], ...] = (
    {},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "same-origin", "origin": "http://behind-a-proxy"},
    {"origin": "http://here:8080"},
)
PATHS = (
    ("/api/v1/runs", "api"),
    ("/scimitars", "api"),
    ("/api/atlas/v2/entity", "atlas"),
    ("/api/meta/entity/bulk", "atlas"),
    ("/scim/v2/Users", "scim"),
)


@pytest.mark.parametrize(("path", "whose"), PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("headers", FOREIGN)
def test_a_foreign_page_writes_nowhere(headers: dict[str, str], method: str, path: str, whose: str) -> None:
    answer = ask(method, path, headers)
    assert answer.status_code == 403
    assert ("errorMessage" if whose == "atlas" else "detail") in answer.json()


@pytest.mark.parametrize(("path", "whose"), PATHS)
@pytest.mark.parametrize("headers", FOREIGN)
def test_a_foreign_page_may_ask_though_it_cant_read_the_answer(headers: dict[str, str], path: str, whose: str) -> None:
    assert ask("GET", path, headers).text == whose


@pytest.mark.parametrize(("path", "whose"), PATHS)
@pytest.mark.parametrize("headers", OURS)
def test_our_own_pages_and_programs_write(headers: dict[str, str], path: str, whose: str) -> None:
    assert ask("POST", path, headers).text == whose
