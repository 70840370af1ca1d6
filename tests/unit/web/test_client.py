"""The client against servers that behave well, and against those that don't."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.core.errors import ErrorName
from pipeline.web.client import AuthorityError, HttpcoreWebClient
from pipeline.web.permits import Permits
from pipeline.web.port import WebRequest
from tests.mail_server import Certificate
from tests.unit.web.raw_server import answering, client, fails, for_ever, saying, serving, within

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LIMIT = 1000


async def got(url: str, web: HttpcoreWebClient | None = None, **request: object) -> tuple[int, dict[str, str], bytes]:
    async with (web or client()).send(WebRequest("GET", url, **request)) as answer:  # type: ignore[arg-type]
        return answer.status, dict(answer.headers), await answer.read(LIMIT)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("identity", b"hello"),
        ("gzip", gzip.compress(b"hello")),
        ("X-GZIP", gzip.compress(b"hel") + gzip.compress(b"lo")),
        ("deflate", zlib.compress(b"hello")),
        ("deflate", zlib.compress(b"hello", wbits=-15)),
    ],
)
def test_an_answer_is_unpacked(encoding: str, packed: bytes) -> None:
    async def story() -> None:
        async with serving(answering(body=packed, Content_Encoding=encoding, X_A="1")) as server:
            status, headers, body = await got(server.url + "/a?b=c")
            assert (status, headers["x-a"], body) == (200, "1", b"hello")
            assert server.seen[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % server.port)

    within(story())


def test_an_empty_answer_that_says_it_is_packed_is_empty() -> None:
    async def story() -> None:
        async with serving(answering("204 No Content", Content_Encoding="gzip")) as server:
            assert (await got(server.url))[::2] == (204, b"")

    within(story())


BOMB = zlib.compress(b"\0" * 50_000_000)
BROKEN = {
    "garbage": saying(b"SSH-2.0-OpenSSH_9.2\r\n" * 50),
    "nothing": saying(),
    "half a head": saying(OK + b"Content-"),
    "half a body": saying(OK + b"Content-Length: 100\r\n\r\nhello"),
    "half a chunk": saying(CHUNKED + b"64\r\nhello"),
    "a chunk of no length": saying(CHUNKED + b"zz\r\nhello\r\n"),
    "headers without end": for_ever(OK, b"X-Header: " + b"a" * 1000 + b"\r\n"),
    "one header without end": for_ever(OK + b"X: ", b"a" * 1000),
    "half a gzip": answering(body=gzip.compress(b"hello" * 50)[:-9], Content_Encoding="gzip"),
    "not a gzip": answering(body=b"hello", Content_Encoding="gzip"),
    "half a deflate": answering(body=zlib.compress(b"hello" * 50)[:-5], Content_Encoding="deflate"),
    "packed twice": answering(body=b"hello", Content_Encoding="gzip, gzip"),
    "packed as nobody asked": answering(body=b"hello", Content_Encoding="br"),
    "two lengths": saying(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
}
TOO_LARGE = {
    "a long body": answering(body=b"a" * (LIMIT + 1)),
    "a body that says it is long": saying(OK + b"Content-Length: 99999999999\r\n\r\n"),
    "a body without end": for_ever(OK + b"\r\n", b"a" * 100),
    "chunks without end": for_ever(CHUNKED, b"5\r\nhello\r\n"),
    "a gzip bomb": answering(body=gzip.compress(b"\0" * LIMIT * 500), Content_Encoding="gzip"),
    "a deflate bomb": answering(body=zlib.compress(b"\0" * LIMIT * 500), Content_Encoding="deflate"),
    "empty gzips without end": for_ever(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"")),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_isnt_an_answer_has_a_name(case: str) -> None:
    async def story() -> None:
        async with serving(BROKEN[case]) as server:
            name, sentence = await fails(client(), server.url)
            assert name is ErrorName.HTTP_CONNECTION
            assert str(server.port) not in sentence

    within(story())


@pytest.mark.parametrize("case", TOO_LARGE)
def test_what_is_too_large_ends_early(case: str) -> None:
    async def story() -> None:
        async with serving(TOO_LARGE[case]) as server:
            assert (await fails(client(), server.url, LIMIT))[0] is ErrorName.ENGINE_TOO_LARGE

    within(story())


def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    async def story() -> int:
        async with serving(answering(body=BOMB, Content_Encoding="deflate")) as server:
            web = client()
            tracemalloc.start()
            try:
                assert (await fails(web, server.url, 100_000))[0] is ErrorName.ENGINE_TOO_LARGE
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert within(story()) < 2_000_000


def test_nobody_listens() -> None:
    async def story() -> None:
        async with serving(answering()) as server:
            url = server.url
        name, sentence = await fails(client(), url)
        assert (name, sentence) == (ErrorName.HTTP_CONNECTION, "127.0.0.1 can't be reached")

    within(story())


def finds(*addresses: str) -> "FixedLookUp":
    return FixedLookUp(addresses)


class FixedLookUp:
    """Answers what it is told, and counts the questions."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = addresses
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.addresses


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"],  # noqa: S104  (called, not bound)
)
def test_what_is_inside_isnt_called_however_it_is_written(host: str) -> None:
    async def story() -> None:
        async with serving(answering()) as server:
            name, sentence = await fails(client(allow=""), f"http://{host}:{server.port}/")
            assert name in {ErrorName.AUTH_DENIED, ErrorName.HTTP_CONNECTION}
            assert "may not be called" in sentence or "no address" in sentence
            assert server.seen == []

    within(story())


def test_a_name_is_checked_by_its_address_and_looked_up_once() -> None:
    async def story() -> None:
        async with serving(answering(body=b"in")) as server:
            look_up = finds("127.0.0.1")
            url = f"http://service.example:{server.port}/"
            name, sentence = await fails(client(allow="", look_up=look_up), url)
            assert name is ErrorName.AUTH_DENIED
            assert "127" not in sentence
            assert server.seen == []
            # Of several addresses those that may be called are.
            mixed = finds("169.254.169.254", "fe80::1%eth0", "127.0.0.1")
            assert (await got(url, client(look_up=mixed)))[2] == b"in"
            assert b"Host: service.example:%d\r\n" % server.port in server.seen[0]
            assert (look_up.asked, mixed.asked) == (1, 1)
            assert (await fails(client(look_up=finds()), url))[0] is ErrorName.HTTP_CONNECTION

    within(story())


def test_http_isnt_spoken_unless_it_is_allowed() -> None:
    async def story() -> None:
        async with serving(answering()) as server:
            name, sentence = await fails(client(plain=""), server.url)
            assert name is ErrorName.AUTH_DENIED
            assert "https" in sentence
            assert server.seen == []

    within(story())


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "//127.0.0.1/",
        "nonsense",
        "https://ana:word@127.0.0.1/",
        "https://a b/",
    ],
)
def test_what_isnt_an_address_isnt_called(url: str) -> None:
    name, sentence = within(fails(client(), url))
    assert name in {ErrorName.VALIDATION_INPUT, ErrorName.AUTH_DENIED}
    assert "word" not in sentence.replace("password", "")


def test_a_redirect_inwards_is_refused_and_doesnt_say_where_to() -> None:
    async def story() -> None:
        async with serving(answering(body=b"secret")) as inside:
            there = f"http://127.0.0.1:{inside.port}/"
            async with serving(answering("302 Found", Location=there)) as outside:
                web = client(allow=f"127.0.0.1:{outside.port}")
                name, sentence = await fails(web, outside.url)
                assert name is ErrorName.AUTH_DENIED
                assert sentence.startswith("the redirect of 127.0.0.1 is at an address")
                assert inside.seen == []
                plain = client(plain=f"127.0.0.1:{outside.port}")
                assert "https only" in (await fails(plain, outside.url))[1]

    within(story())


def test_a_redirect_is_followed_and_credentials_arent_carried_elsewhere() -> None:
    async def story() -> None:
        async with serving(answering(body=b"there")) as there:  # noqa: SIM117  (the second one names the first)
            async with serving(answering("307 Temporary Redirect", Location=f"{there.url}/next#part")) as here:
                headers = {"Authorization": "Bearer t", "X-Api-Key": "k", "Cookie": "c", "Accept": "text/plain"}
                request = WebRequest("POST", here.url, headers, b"body")
                async with client().send(request) as answer:
                    assert await answer.read(LIMIT) == b"there"
                assert b"Bearer t" in here.seen[0]
                assert there.seen[0].startswith(b"POST /next HTTP/1.1")
                assert there.seen[0].endswith(b"\r\n\r\nbody")
                assert b"Accept: text/plain" in there.seen[0]
                assert not any(word in there.seen[0].lower() for word in (b"authorization", b"api-key", b"cookie"))

    within(story())


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        ("303 See Other", "PUT", "GET"),
        ("302 Found", "POST", "GET"),
        ("301 Moved Permanently", "PUT", "PUT"),
        ("308 Permanent Redirect", "POST", "POST"),
        ("303 See Other", "HEAD", "HEAD"),
    ],
)
def test_the_method_after_a_redirect(status: str, method: str, then: str) -> None:
    async def story() -> None:
        async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
            is_first = request.split()[1] == b"/"
            await (answering(status, Location="/then") if is_first else answering())(request, writer)

        async with serving(serve) as server:
            content = None if method == "HEAD" else b"body"
            request = WebRequest(method, server.url, {"Content-Type": "text/plain", "Authorization": "a"}, content)
            async with client().send(request) as answer:
                assert answer.status == 200
            second = server.seen[1]
            assert second.startswith(f"{then} /then".encode())
            assert (b"Content-Type" in second) is (method == then)
            assert b"Authorization: a" in second

    within(story())


def test_redirects_end() -> None:
    async def story() -> None:
        async with serving(answering("302 Found", Location="/")) as server:
            name, sentence = await fails(client(), server.url)
            assert (name, len(server.seen)) == (ErrorName.HTTP_CONNECTION, 6)
            assert "5 times" in sentence
            assert (await got(server.url, follows_redirects=False))[0] == 302
        async with serving(answering("302 Found", Location="http://[")) as server:
            assert (await fails(client(), server.url))[0] is ErrorName.HTTP_CONNECTION

    within(story())


def test_a_certificate_is_checked_by_name_though_the_address_is_pinned(tmp_path: Path) -> None:
    certificate = Certificate.make(tmp_path)

    async def story() -> None:
        async with serving(answering(body=b"over TLS"), tls=certificate.context) as server:
            trusted = client(authorities=str(certificate.path))
            assert (await got(f"https://127.0.0.1:{server.port}/", trusted))[2] == b"over TLS"
            name, sentence = await fails(client(), f"https://127.0.0.1:{server.port}/")
            assert (name, sentence) == (ErrorName.HTTP_CONNECTION, "the certificate of 127.0.0.1 doesn't verify")
            other = client(authorities=str(certificate.path), look_up=finds("127.0.0.1"))
            assert "doesn't verify" in (await fails(other, f"https://other.example:{server.port}/"))[1]
        async with serving(answering()) as plain:
            name, sentence = await fails(client(), f"https://127.0.0.1:{plain.port}/")
            assert name is ErrorName.HTTP_CONNECTION

    within(story())


def test_authorities_that_cant_be_read_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("no certificate")
    for path in (tmp_path / "a.pem", tmp_path / "none.pem"):
        with pytest.raises(AuthorityError):
            HttpcoreWebClient(Permits(), authorities=str(path))


def test_a_call_that_is_cancelled_leaves_nothing_behind() -> None:
    async def story() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def drip(request: bytes, writer: asyncio.StreamWriter) -> None:
            begun.set()
            try:
                await for_ever(CHUNKED, b"1\r\na\r\n")(request, writer)
            finally:
                ended.set()

        async with serving(drip) as server:

            async def call() -> None:
                async with client().send(WebRequest("GET", server.url)) as answer:
                    await answer.read(10**9)

            calling = asyncio.create_task(call())
            await begun.wait()
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            await ended.wait()

    within(story())


def test_only_hosts_that_may_are_told_of_the_trace_and_a_redirect_tells_nobody_else() -> None:
    async def story() -> None:
        async with serving(answering()) as foreign:
            onward = answering("302 Found", Location=foreign.url)
            async with serving(onward) as ours, serving(answering()) as other:
                permits = Permits.parse("127.0.0.1", "127.0.0.1", f"127.0.0.1:{ours.port}")
                web = HttpcoreWebClient(permits)
                await got(ours.url, web, traceparent="00-ab-cd-01")
                await got(other.url, web, traceparent="00-ab-cd-01")
                await got(ours.url, web, traceparent="00-ab-cd-01", headers={"Traceparent": "own"})
                assert b"traceparent: 00-ab-cd-01" in ours.seen[0]
                assert b"traceparent" not in foreign.seen[0]
                assert b"traceparent" not in other.seen[0]
                assert b"Traceparent: own" in ours.seen[1]
                assert b"00-ab-cd-01" not in ours.seen[1]

    within(story())
