"""What is said of a provider that doesn't answer as it should, and what of those who left."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.core.limits import DIRECTORY_ANSWER_BYTES_MAX, DIRECTORY_KEPT_ANSWERS_MAX, DIRECTORY_KEPT_S
from pipeline.directory import scim_http
from pipeline.directory.cached import CachedDirectory
from pipeline.directory.port import DirectoryUnavailableError, Person
from pipeline.directory.scim import ScimDirectory
from pipeline.directory.scim_http import ScimAccess, ScimSettingError
from pipeline.local.atlas.guard import Guard
from pipeline.local.atlas.scim import build_scim
from pipeline.local.atlas.users import UserStore
from pipeline.messages.canonical import decode, encode
from pipeline.process.clock import SystemClock
from tests.contract.directory.conftest import PEOPLE, STYLES, embedded_users
from tests.contract.directory.provider import ENTRA, KEYCLOAK, OKTA, TOKEN, Provider
from tests.mail_server import Certificate
from tests.served import listening

SAM = PEOPLE[1]
URL = "http://provider.example/scim"


def over(app: Any) -> ScimDirectory:
    return ScimDirectory(ScimAccess.of(URL, TOKEN), httpx.ASGITransport(app))


def tell(provider: Provider, story: Callable[[ScimDirectory], Awaitable[None]]) -> None:
    asyncio.run(story(over(provider)))  # type: ignore[arg-type]


def answering(status: int, body: bytes, kind: str = "application/scim+json") -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(body, status, media_type=kind)(scope, receive, send)

    return app


A_USER = {"id": "1", "userName": "sam"}


@pytest.mark.parametrize(
    ("app", "sentence"),
    [
        (answering(200, b"<html>", "text/html"), "web page"),
        (answering(404, b"{}"), "isn't that of a SCIM service"),
        (answering(401, b"{}"), "BLOCKLINE_DIRECTORY_TOKEN"),
        (answering(403, b"{}"), "BLOCKLINE_DIRECTORY_TOKEN"),
        (answering(302, b""), "answered 302"),
        (answering(429, b"{}"), "too often"),
        (answering(500, b"secret"), "answered 500"),
        (answering(200, b"nonsense"), "isn't one of SCIM"),
        (answering(200, b"[]"), "isn't one of SCIM"),
        (answering(200, b"{}"), "isn't a list"),
        (answering(200, encode({"totalResults": 1, "Resources": [{"userName": "sam"}]})), "without an id"),
        (answering(200, encode({"totalResults": 1, "Resources": "sam"})), "isn't a list"),
        (answering(200, b" " * (DIRECTORY_ANSWER_BYTES_MAX + 1)), "bytes"),
    ],
)
def test_what_isnt_an_answer_is_an_error_with_a_sentence(app: Any, sentence: str) -> None:
    with pytest.raises(DirectoryUnavailableError, match=sentence) as raised:
        asyncio.run(over(app).person("sam"))
    assert "secret" not in str(raised.value)
    assert TOKEN not in str(raised.value)


class Breaks(httpx.AsyncBaseTransport):
    """A connection that ends so."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self.error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (httpx.ConnectError("no"), "can't be reached"),
        (httpx.ConnectTimeout("no"), "in time"),
        (httpx.ReadTimeout("no"), "in time"),
        (httpx.RemoteProtocolError("no"), "can't be reached"),
    ],
)
def test_a_provider_that_is_away(error: Exception, sentence: str) -> None:
    directory = ScimDirectory(ScimAccess.of(URL, TOKEN), Breaks(error))
    with pytest.raises(DirectoryUnavailableError, match=sentence):
        asyncio.run(directory.members("stewards"))


class Drips(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield b" "


class Dripping(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Drips())


def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scim_http, "DIRECTORY_TIMEOUT_S", 0.05)
    with pytest.raises(DirectoryUnavailableError, match="in time"):
        asyncio.run(ScimDirectory(ScimAccess.of(URL, TOKEN), Dripping()).person("sam"))


def test_a_list_that_takes_no_notice_of_where_it_begins_is_read_once() -> None:
    asked: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        body = {"totalResults": 1000, "Resources": [A_USER]}
        await Response(encode(body))(scope, receive, send)

    assert asyncio.run(over(app).search("sam", kind="user", limit=10)) == ["sam"]
    assert len(asked) == 2


def test_a_list_without_end_is_given_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        start = re.search(rb"startIndex=(\d+)", scope["query_string"])
        assert start is not None
        body = {"totalResults": 10**9, "Resources": [{"id": start[1].decode(), "userName": "sam"}]}
        await Response(encode(body))(scope, receive, send)

    with pytest.raises(DirectoryUnavailableError, match="more than is ever read"):
        asyncio.run(over(app).search("", kind="user", limit=10_000))


@pytest.mark.parametrize("style", STYLES)
def test_who_was_deactivated_is_nobody(style: str) -> None:
    provider = Provider(STYLES[style], list(PEOPLE), inactive={"sam"})

    async def story(directory: ScimDirectory) -> None:
        assert await directory.person("sam") is None
        assert [each.name for each in await directory.members("stewards") or ()] == ["samuel", "tess"]

    tell(provider, story)


@pytest.mark.parametrize("style", STYLES)
def test_a_name_in_another_case_is_the_providers_own(style: str) -> None:
    async def story(directory: ScimDirectory) -> None:
        found = await directory.person("SAM")
        assert found is not None
        assert found.name == "sam"

    tell(Provider(STYLES[style], list(PEOPLE)), story)


def test_two_who_differ_in_case_alone_are_told_apart_or_not_taken() -> None:
    async def story(directory: ScimDirectory) -> None:
        assert (await directory.person("Kim") or SAM).email == "one@example.org"
        assert (await directory.person("kim") or SAM).email == "two@example.org"
        assert await directory.person("KIM") is None

    people = [Person("Kim", "one@example.org"), Person("kim", "two@example.org")]
    tell(Provider(OKTA, people), story)


@pytest.mark.parametrize("style", STYLES)
def test_a_group_that_keeps_its_members_to_itself_is_one(style: str) -> None:
    provider = Provider(STYLES[style], list(PEOPLE), hidden=frozenset({"everyone"}))

    async def story(directory: ScimDirectory) -> None:
        assert await directory.members("everyone") is None
        assert await directory.has_unknown_members("everyone")

    tell(provider, story)


def test_a_group_of_groups_isnt_counted() -> None:
    provider = Provider(ENTRA, list(PEOPLE), nested={"legal & risk": "stewards"})

    async def story(directory: ScimDirectory) -> None:
        assert await directory.members("legal & risk") is None
        assert await directory.has_unknown_members("legal & risk")

    tell(provider, story)


def test_a_group_that_is_too_large_isnt_listed() -> None:
    provider = Provider(KEYCLOAK, [Person(f"p{number}", None, ("all",)) for number in range(501)])

    async def story(directory: ScimDirectory) -> None:
        assert await directory.members("all") is None
        assert await directory.has_unknown_members("all")
        assert len(provider.asked) <= 4, "nobody is asked for one by one"

    tell(provider, story)


@pytest.mark.parametrize(
    ("url", "token", "named"),
    [
        ("", "x", "_URL"),
        ("provider.example/scim", "x", "_URL"),
        ("ftp://provider.example", "x", "_URL"),
        ("https://user:pw@provider.example/scim", "x", "_URL"),
        ("https://provider.example/scim?tenant=1", "x", "_URL"),
        ("https://provider.example/scim", "", "_TOKEN"),
        ("https://provider.example/scim", "two words", "_TOKEN"),
        ("https://provider.example/scim", "tökén\n", "_TOKEN"),
    ],
)
def test_settings_that_cant_be(url: str, token: str, named: str) -> None:
    with pytest.raises(ScimSettingError, match=f"BLOCKLINE_DIRECTORY{named}"):
        ScimAccess.of(url, token)


def test_the_token_isnt_shown() -> None:
    assert TOKEN not in repr(ScimAccess.of(URL, TOKEN))


def test_a_certificate_must_verify(tmp_path: Path) -> None:
    certificate = Certificate.make(tmp_path)

    async def story() -> None:
        async with listening(Provider(OKTA, list(PEOPLE)), ssl_certfile=str(certificate.path)) as (host, port):
            url = f"https://{host}:{port}/scim"
            stranger = ScimDirectory(ScimAccess.of(url, TOKEN))
            with pytest.raises(DirectoryUnavailableError, match="BLOCKLINE_DIRECTORY_AUTHORITIES"):
                await stranger.person("sam")
            await stranger.aclose()
            known = ScimDirectory(ScimAccess.of(url, TOKEN, str(certificate.path)))
            assert await known.person("sam") == SAM
            await known.aclose()

    asyncio.run(story())
    with pytest.raises(ScimSettingError, match="AUTHORITIES"):
        ScimDirectory(ScimAccess.of(URL, TOKEN, str(tmp_path / "absent.pem")))


class HandClock:
    """Time passes when a test says so."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now_ms(self) -> int:
        return round(self.passed_s * 1000)

    def monotonic_s(self) -> float:
        return self.passed_s

    async def sleep(self, seconds: float) -> None:
        self.passed_s += seconds


def test_what_was_just_asked_isnt_asked_again() -> None:
    provider, clock = Provider(OKTA, list(PEOPLE)), HandClock()

    async def story(directory: ScimDirectory) -> None:
        kept = CachedDirectory(directory, clock)
        for _ in range(3):
            assert await kept.person("sam") == SAM
            assert await kept.person("nobody") is None
            assert len(await kept.members("stewards") or ()) == 3
            assert not await kept.has_unknown_members("stewards")
            assert await kept.search("", kind="group", limit=5) == ["legal & risk", "stewards"]
            assert await kept.search("", kind="group", limit=1) == ["legal & risk"]
            asked = len(provider.asked)
            clock.passed_s += DIRECTORY_KEPT_S / 4
        assert len(provider.asked) == asked
        provider.inactive.add("sam")
        clock.passed_s += DIRECTORY_KEPT_S
        assert await kept.person("sam") is None

    tell(provider, story)


def test_an_error_isnt_kept_and_what_was_kept_isnt_said_instead() -> None:
    clock, status = HandClock(), [500]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        page = encode({"totalResults": 1, "Resources": [A_USER]})
        await Response(page, status[0])(scope, receive, send)

    async def story() -> None:
        kept = CachedDirectory(over(app), clock)
        with pytest.raises(DirectoryUnavailableError):
            await kept.search("sam", kind="user", limit=1)
        status[0] = 200
        assert await kept.search("sam", kind="user", limit=1) == ["sam"]
        status[0], clock.passed_s = 500, DIRECTORY_KEPT_S
        with pytest.raises(DirectoryUnavailableError):
            await kept.search("sam", kind="user", limit=1)

    asyncio.run(story())


def test_no_more_answers_are_kept_than_may_be() -> None:
    async def story(directory: ScimDirectory) -> None:
        kept = CachedDirectory(directory, HandClock())
        for number in range(DIRECTORY_KEPT_ANSWERS_MAX + 10):
            await kept.search(str(number), kind="group", limit=1)
        assert len(kept._kept) == DIRECTORY_KEPT_ANSWERS_MAX

    tell(Provider(OKTA, []), story)


def served(folder: Path, story: Callable[[httpx.AsyncClient, UserStore], Awaitable[None]]) -> None:
    """Our own server, asked as any client may ask."""

    async def main() -> None:
        async with embedded_users(folder) as users:
            app = build_scim(users, Guard(users, SystemClock()), TOKEN)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
                client.headers["authorization"] = f"Bearer {TOKEN}"
                await story(client, users)

    asyncio.run(main())


def test_our_own_server_is_for_administrators_alone(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, users: UserStore) -> None:
        await users.add(Person("root", None, (), ("admin",)), "correct-horse")
        await users.add(Person("eve", None, (), ("requester", "author")), "correct-horse")
        path = "/scim/v2/Users"
        assert (await client.get(path, auth=("root", "correct-horse"))).status_code == 200
        assert (await client.get(path, auth=("root", "wrong"))).status_code == 401
        assert (await client.get(path, auth=("eve", "correct-horse"))).status_code == 403
        mine = {"authorization": f"Bearer {await users.new_token('root', 'scim')}"}
        assert (await client.get(path, headers=mine)).status_code == 200
        for other in ("Bearer nonsense", "Basic nonsense", "Digest x", ""):
            refused = await client.get(path, headers={"authorization": other})
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"]
            assert "Users" not in refused.text

    served(tmp_path, story)


def test_our_own_server_says_what_it_cant(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, _: UserStore) -> None:
        for given in ('userName eq "a" and id eq "b"', 'password eq "x"', "userName eq x", 'displayName eq "x"', "x"):
            refused = await client.get("/scim/v2/Users", params={"filter": given})
            assert (refused.status_code, refused.json()["scimType"]) == (400, "invalidFilter")
        assert (await client.get("/scim/v2/Users", params={"count": "many"})).status_code == 400
        assert (await client.get("/scim/v2/Users/%FF")).status_code == 404
        assert (await client.get("/scim/v2/Groups/c3Rld2FyZHM")).json()["displayName"] == "stewards"
        assert (await client.get("/scim/v2/Nothing")).json()["status"] == "404"
        assert (await client.post("/scim/v2/Users", json={})).status_code == 501
        assert (await client.get("/scim/v2/ServiceProviderConfig")).json()["patch"] == {"supported": False}

    served(tmp_path, story)


def test_our_own_server_pages_and_keeps_passwords_to_itself(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient, _: UserStore) -> None:
        first = decode((await client.get("/scim/v2/Users", params={"count": "2"})).content)
        assert (first["totalResults"], first["itemsPerPage"], len(first["Resources"])) == (135, 2, 2)
        past = decode((await client.get("/scim/v2/Users", params={"startIndex": "136"})).content)
        assert past["Resources"] == []
        none = decode((await client.get("/scim/v2/Users", params={"count": "0"})).content)
        assert (none["totalResults"], none["Resources"]) == (135, [])
        assert "password" not in str(first)
        named = {"filter": 'USERNAME EQ "SAM"', "attributes": "emails"}
        found = decode((await client.get("/scim/v2/Users", params=named)).content)
        assert [set(each) for each in found["Resources"]] == [{"schemas", "id", "emails"}]

    served(tmp_path, story)
