"""``--atlas``: what is said about an Atlas that can't be used, by servers that really answer so."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cli.atlas import CLOCKS_APART_MAX_S, ApacheAtlas
from cli.topic import AtlasTopic, KafkaTopic
from pipeline.core.errors import BlocklineError
from pipeline.process.clock import SystemClock
from pipeline.process.settings import ServerSettings
from pipeline.store.typedefs import engine_typedefs
from tests.mail_server import Certificate
from tests.served import listening

SECRET = "the-password-of-the-engine"
TYPES: dict[str, Any] = dict(engine_typedefs())


def said_by(url: str) -> str:
    """Why an engine doesn't start on the Atlas at that address."""

    async def start() -> None:
        settings = ServerSettings(atlas=url, kafka="127.0.0.1:9", atlas_user="engine", atlas_password=SECRET)
        await ApacheAtlas(settings, SystemClock()).start()

    with pytest.raises(BlocklineError) as refused:
        asyncio.run(start())
    assert SECRET not in str(refused.value)
    return str(refused.value)


def said_about(answer: Callable[[Request], Awaitable[Response]], **config: Any) -> str:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (await answer(Request(scope, receive)))(scope, receive, send)

    async def start() -> None:
        async with listening(app, **config) as (host, port):
            scheme = "https" if "ssl_certfile" in config else "http"
            settings = ServerSettings(
                atlas=f"{scheme}://{host}:{port}", kafka="127.0.0.1:9", atlas_user="engine", atlas_password=SECRET
            )
            await ApacheAtlas(settings, SystemClock()).start()

    with pytest.raises(BlocklineError) as refused:
        asyncio.run(start())
    assert SECRET not in str(refused.value)
    return str(refused.value)


def always(response: Callable[[], Response]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return response()

    return answer


def other_types() -> dict[str, Any]:
    """The engine's, one of whose attributes somebody made of another kind."""
    (run,) = [body for body in TYPES["entityDefs"] if body["name"] == "WorkflowRun"]
    attributes = [{**each, "typeName": "array<boolean>"} for each in run["attributeDefs"]]
    return {**TYPES, "entityDefs": [{**run, "attributeDefs": attributes}]}


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (
            lambda: Response("<html>sign in</html>", media_type="text/html"),
            "Atlas' address answers with a web page (200), not as Atlas does: is it Atlas' own?",
        ),
        (
            lambda: Response("<html>sorry</html>", 503, media_type="text/html"),
            "Atlas' address answers with a web page (503), not as Atlas does: is it Atlas' own?",
        ),
        (
            lambda: JSONResponse({"errorMessage": "it is away"}, 500),
            "Atlas fails at the engine's types (500): its log says why, or it is still starting. It says: it is away",
        ),
        (lambda: Response("", 401), "Atlas refuses this user name and password."),
        (
            lambda: JSONResponse({"errorMessage": "no rights"}, 403),
            "This account may not register types in Atlas: it must be an administrator's. It says: no rights",
        ),
        (
            lambda: JSONResponse({"errorMessage": "no such thing"}, 404),
            "Atlas refuses the engine's types (404). It says: no such thing",
        ),
        (lambda: Response("hello", 200), "What is at Atlas' address answers 200, but not as Atlas does."),
        (lambda: JSONResponse([]), "What is at Atlas' address answers 200, but not as Atlas does."),
        (
            lambda: JSONResponse(other_types()),
            "Atlas has WorkflowRun.workflowRunRequest as array<boolean>, the engine needs string.",
        ),
    ],
    ids=lambda value: None if callable(value) else value[:40],
)
def test_an_atlas_that_answers_otherwise(response: Callable[[], Response], sentence: str) -> None:
    assert said_about(always(response)) == sentence


@pytest.mark.parametrize(("apart_s", "way"), [(3600.0, "ahead of"), (-3600.0, "behind")])
def test_clocks_that_are_an_hour_apart(apart_s: float, way: str) -> None:
    async def answer(request: Request) -> Response:
        del request
        date = formatdate(SystemClock().now_ms() / 1000 + apart_s, usegmt=True)
        return JSONResponse(TYPES, headers={"date": date})

    said = said_about(answer, date_header=False)
    assert said.startswith("Atlas' clock is 3")
    assert said.endswith(f"s {way} this machine's: set both by NTP.")
    assert abs(apart_s) > CLOCKS_APART_MAX_S


def test_a_certificate_that_nobody_here_trusts(tmp_path: Path) -> None:
    certificate = Certificate.make(tmp_path)
    said = said_about(always(lambda: JSONResponse(TYPES)), ssl_certfile=str(certificate.path))
    assert said.startswith("Atlas' certificate doesn't verify: this machine doesn't trust who signed it")


def test_nobody_listens_and_somebody_who_is_no_web_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert said_by(f"http://127.0.0.1:{port}") == (
        "Nobody listens at Atlas' address: does it run, and is the address right?"
    )

    @contextlib.asynccontextmanager
    async def closing() -> AsyncIterator[int]:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def start() -> None:
        async with closing() as port:
            settings = ServerSettings(
                atlas=f"http://127.0.0.1:{port}", kafka="127.0.0.1:9", atlas_user="engine", atlas_password=SECRET
            )
            await ApacheAtlas(settings, SystemClock()).start()

    with pytest.raises(BlocklineError, match="What is at Atlas' address doesn't answer as a web server does"):
        asyncio.run(start())


@pytest.mark.parametrize("topic", [KafkaTopic, AtlasTopic])
def test_a_kafka_that_isnt_there(topic: type[KafkaTopic]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        bootstrap = f"127.0.0.1:{free.getsockname()[1]}"
    more = {"group": "g", "instance": "i"} if topic is AtlasTopic else {}
    with pytest.raises(BlocklineError) as refused:
        asyncio.run(topic(bootstrap, SystemClock(), **more).start())
    assert str(refused.value) == (
        f"No Kafka answers at {bootstrap}: does it run, and does it advertise an address that is reached from here?"
    )
