"""What a caller of the port hears when Atlas, or what is between, does something else than answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from pipeline.messages.canonical import decode
from pipeline.messages.envelopes import EntityWrite
from pipeline.store import types
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from pipeline.store.port import Query, StoreRefusedError, StoreUnavailableError, StoreUnknownError

WRITE = EntityWrite(type_name=types.RUN, qualified_name="r", attributes={"name": "r"})
ASSET = EntityWrite(type_name="Table", qualified_name="t", attributes={"name": "t", "rowCount": 3})
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html; charset=utf-8"}
Call = Callable[[AtlasEntityStore], Awaitable[object]]


async def upsert(store: AtlasEntityStore) -> object:
    return await store.upsert([WRITE])


async def upsert_asset(store: AtlasEntityStore) -> object:
    return await store.upsert([WRITE, ASSET])


async def delete(store: AtlasEntityStore) -> object:
    await store.delete(["g"])
    return None


async def get(store: AtlasEntityStore) -> object:
    return await store.get(["g"])


async def get_by_name(store: AtlasEntityStore) -> object:
    return await store.get_by_name(types.RUN, "r")


async def find(store: AtlasEntityStore) -> object:
    return await store.find(Query(types.RUN))


WRITES: tuple[Call, ...] = (upsert, delete)
READS: tuple[Call, ...] = (get, get_by_name, find)


def error(status: int, text: str = "Atlas' own sentence", code: str = "ATLAS-x") -> httpx.Response:
    return httpx.Response(status, json={"errorCode": code, "errorMessage": text})


def outcome(answer: httpx.Response | Exception, call: Call, seen: list[httpx.Request] | None = None) -> Exception:
    """What ``call`` raises when Atlas gives ``answer``."""

    async def respond(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def main() -> Exception:
        store = AtlasEntityStore.over(AtlasAccess.basic("http://atlas", "u", "p"), httpx.MockTransport(respond))
        try:
            await call(store)
        except Exception as caught:  # noqa: BLE001  (it is what the test looks at)
            return caught
        finally:
            await store.aclose()
        raise AssertionError("nothing was raised")

    return asyncio.run(main())


@pytest.mark.parametrize("call", [*WRITES, *READS])
@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        (httpx.ConnectError("refused"), StoreUnavailableError, "can't be reached"),
        (httpx.ConnectTimeout("slow"), StoreUnavailableError, "can't be reached"),
        (error(500), StoreUnavailableError, "own sentence"),
        (error(503), StoreUnavailableError, "own sentence"),
        (error(429), StoreUnavailableError, "own sentence"),
        (error(400), StoreRefusedError, "own sentence"),
        (error(404, code="ATLAS-404-00-001"), StoreRefusedError, "own sentence"),
        (error(501), StoreRefusedError, "own sentence"),
        (httpx.Response(401, json={}), StoreUnavailableError, "refused our credentials"),
        (error(403), StoreUnavailableError, "own sentence"),
        (httpx.Response(200, headers=HTML, content=b"<html>"), StoreUnavailableError, "web page"),
        (httpx.Response(404, headers=HTML, content=b"<html>"), StoreUnavailableError, "web page"),
        (httpx.Response(500, headers=HTML, content=b"<html>"), StoreUnavailableError, "web page"),
        (httpx.Response(400, content=b"not JSON"), StoreRefusedError, "answered 400"),
    ],
    ids=lambda value: None if isinstance(value, type | str) else repr(value),
)
def test_what_an_answer_means(call: Call, answer: httpx.Response | Exception, kind: type, sentence: str) -> None:
    seen: list[httpx.Request] = []
    raised = outcome(answer, call, seen)
    assert isinstance(raised, kind)
    assert not isinstance(raised, StoreUnknownError)
    assert sentence in str(raised)
    assert len(seen) == 1  # nobody retries, waits, or asks something else first


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ReadTimeout("slow"),
        httpx.WriteError("broken pipe"),
        httpx.RemoteProtocolError("server disconnected"),
        httpx.Response(502, headers=HTML),
        httpx.Response(504),
    ],
    ids=repr,
)
def test_a_lost_answer_is_unknown_for_writes_only(answer: httpx.Response | Exception) -> None:
    for call in WRITES:
        assert isinstance(outcome(answer, call), StoreUnknownError)
    for call in READS:
        assert isinstance(outcome(answer, call), StoreUnavailableError)


def test_what_is_no_answer_of_atlas_to_a_write_is_unknown() -> None:
    for content in (b"[]", b"7", b"{"):
        answer = httpx.Response(200, headers=JSON, content=content)
        assert isinstance(outcome(answer, upsert), StoreUnknownError)


def test_403_is_about_the_asset_where_there_is_one() -> None:
    assert isinstance(outcome(error(403), upsert_asset), StoreRefusedError)


def test_a_wrong_attribute_of_ours_is_refused_before_it_is_sent() -> None:
    async def misspelt(store: AtlasEntityStore) -> object:
        wrong = EntityWrite(type_name=types.RUN, qualified_name="r", attributes={"name": "r", "workflowRunWakesAt": 1})
        return await store.upsert([wrong])

    seen: list[httpx.Request] = []
    raised = outcome(error(500), misspelt, seen)
    assert isinstance(raised, StoreRefusedError)
    assert "workflowRunWakesAt" in str(raised)
    assert seen == []


@pytest.mark.parametrize(
    ("access", "path", "login"),
    [
        (AtlasAccess.basic("http://atlas/", "u", "p"), "/api/atlas/v2/", "Basic dTpw"),
        (AtlasAccess.bearer("http://atlas", "t"), "/api/meta/", "Bearer t"),
    ],
)
def test_one_request_a_write_with_the_login_and_the_path_of_that_atlas(
    access: AtlasAccess, path: str, login: str
) -> None:
    seen: list[httpx.Request] = []

    async def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        header = {
            "typeName": "Table", "guid": "g-2", "attributes": {"qualifiedName": "t"}, "classificationNames": ["pii"]
        }  # fmt: skip
        body = {"guidAssignments": {"-1": "g-1"}, "mutatedEntities": {"UPDATE": [header]}}
        return httpx.Response(200, json=body)

    async def main() -> None:
        store = AtlasEntityStore.over(access, httpx.MockTransport(respond))
        assert await store.upsert([WRITE, ASSET]) == {"r": "g-1", "t": "g-2"}
        await store.aclose()

    asyncio.run(main())
    (request,) = seen  # the tag in the answer isn't looked up
    assert str(request.url).startswith(f"http://atlas{path}entity/bulk/?")
    assert request.headers["host"] == "atlas"
    assert request.headers["authorization"] == login
    run, table = decode(request.content)["entities"]
    assert (run["typeName"], run["guid"], run["attributes"]) == (
        "WorkflowRun",
        "-1",
        {"name": "r", "qualifiedName": "r"},
    )
    assert table["attributes"] == {"name": "t", "qualifiedName": "t", "rowCount": 3}


@contextlib.asynccontextmanager
async def server(act: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """Listens on 127.0.0.1 and does ``act`` with each connection."""
    listening = await asyncio.start_server(act, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"


def test_a_connection_that_is_closed_after_the_request() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def main() -> None:
        async with server(close) as url:
            store = AtlasEntityStore.over(AtlasAccess.basic(url, "u", "p"))
            with pytest.raises(StoreUnknownError):
                await upsert(store)
            with pytest.raises(StoreUnavailableError):
                await find(store)
            await store.aclose()

    asyncio.run(main())


def test_a_silent_atlas_and_one_that_is_not_there() -> None:
    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        async with server(be_silent) as url:
            store = AtlasEntityStore.over(AtlasAccess.basic(url, "u", "p"), timeout_s=0.2)
            with pytest.raises(StoreUnknownError, match=r"within 0\.2 s"):
                await upsert(store)
            with pytest.raises(StoreUnavailableError, match=r"within 0\.2 s"):
                await get(store)
            await store.aclose()
        store = AtlasEntityStore.over(AtlasAccess.basic(url, "u", "p"))
        with pytest.raises(StoreUnavailableError):
            await upsert(store)
        await store.aclose()

    asyncio.run(main())


def test_a_login_is_in_no_text() -> None:
    access = AtlasAccess.basic("http://atlas", "engine", "the-password")
    assert "the-password" not in repr(access)
    assert "Basic" not in repr(access)


@pytest.mark.parametrize("guid", ["g" * 70_000, "g" * 201, "", "a\x00b", "a\nb"])
def test_what_cant_be_a_guid_names_nothing_and_isnt_asked_for(guid: str) -> None:
    asked: list[list[str]] = []

    async def respond(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get_list("guid"))
        return httpx.Response(200, json={"entities": []})

    async def ask() -> dict[str, object]:
        store = AtlasEntityStore.over(AtlasAccess.basic("http://atlas", "u", "p"), httpx.MockTransport(respond))
        try:
            return dict(await store.get([guid, "fine"]))
        finally:
            await store.aclose()

    assert asyncio.run(ask()) == {}
    assert asked == [["fine"]]
