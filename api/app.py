"""The application: routes, the one place where errors become answers, and what stands outside ``/api/v1``."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as Path

from api import (
    blocks,
    commands,
    dead_letters,
    docs_page,
    health,
    outputs,
    pages,
    people,
    run_routes,
    tasks,
    unavailable,
    workflows,
)
from api.bodies import parse, read_json
from api.counting import REQUESTS, SECONDS
from api.openapi import openapi
from api.problems import ApiError, invalid
from api.rights import require_role
from api.route import Call, Route, reply
from api.services import Services
from pipeline.core.errors import InvalidError
from pipeline.local.atlas.database import DatabaseError, DiskFullError
from pipeline.local.atlas.users import UserError
from pipeline.store.port import StoreFullError, StoreUnavailableError, StoreUnknownError

PREFIX: Final = "/api/v1"
ROUTES: Final[tuple[Route, ...]] = (
    *blocks.ROUTES,
    *workflows.ROUTES,
    *run_routes.ROUTES,
    *outputs.ROUTES,
    *commands.ROUTES,
    *tasks.ROUTES,
    *dead_letters.ROUTES,
    *people.ROUTES,
    *unavailable.ROUTES,
)
Endpoint = Callable[[Request], Awaitable[Response]]
_log = logging.getLogger("api")


def build_api(services: Services) -> Starlette:
    """The API as an ASGI application; start and stop of what is handed in are the caller's."""
    page = openapi(ROUTES, PREFIX)

    async def serve_openapi(_: Request) -> Response:
        return reply(page)

    by_path: dict[str, list[Route]] = {}
    for route in ROUTES:
        by_path.setdefault(PREFIX + route.path, []).append(route)
    paths = [_path(path, routes, services) for path, routes in by_path.items()]
    paths += [
        Path("/openapi.json", _guarded(serve_openapi, "/openapi.json")),
        *(Path(path, _guarded(endpoint, path)) for path, endpoint in docs_page.endpoints(page).items()),
        *(Path(path, _guarded(endpoint, path)) for path, endpoint in health.endpoints(services).items()),
        *(Path(path, _guarded(endpoint, path)) for path, endpoint in pages.endpoints(services).items()),
    ]
    return Starlette(routes=paths, exception_handlers={HTTPException: _framework_error, Exception: _last_resort})


def _path(path: str, routes: Sequence[Route], services: Services) -> Path:
    by_method = {route.method: route for route in routes}

    async def endpoint(request: Request) -> Response:
        return await _serve(by_method["GET" if request.method == "HEAD" else request.method], services, request)

    is_long = any(route.is_long for route in routes)
    return Path(path, _guarded(endpoint, path, is_long=is_long), methods=list(by_method))


async def _serve(route: Route, services: Services, request: Request) -> Response:
    caller = await services.authenticator.caller(request)
    if route.role is not None:
        require_role(caller, route.role)
    query = None if route.query is None else parse(route.query, dict(request.query_params))
    body = None
    if route.body is not None and not route.is_raw:
        body = parse(route.body, await read_json(request))
    return await route.handler(Call(services, caller, request, body, query))


def _guarded(endpoint: Endpoint, route: str, *, is_long: bool = False) -> Endpoint:
    """The endpoint with every error made an answer, counted and timed."""

    async def guarded(request: Request) -> Response:
        began = asyncio.get_running_loop().time()
        try:
            response = await endpoint(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # noqa: BLE001  (the edge: nothing of the inside may leave, and nothing may end the server)
            response = _answer(error).response(request.url.path)
        REQUESTS.labels(request.method, route, str(response.status_code)).inc()
        if not is_long:
            SECONDS.labels(route).observe(asyncio.get_running_loop().time() - began)
        return response

    return guarded


def _answer(error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, InvalidError):
        return invalid(error.problems)
    if isinstance(error, UserError):
        return ApiError("unprocessable", str(error))
    for kind, sentence in _AWAY.items():
        if isinstance(error, kind):
            return ApiError("unavailable", sentence, headers=_SOON)
    _log.error("an error of the API's own", exc_info=error)
    return ApiError("internal", "This is an error of ours; it stands in the server's log.")


_FULL: Final = "The disk of the store is full: nothing was changed. Try again when there is room."
_AWAY: Final[Mapping[type[Exception], str]] = {
    StoreFullError: _FULL,
    StoreUnavailableError: "The store can't be reached; nothing was changed.",
    StoreUnknownError: "The store didn't answer: the change may have been made or not; read before you repeat it.",
    DiskFullError: _FULL,
    DatabaseError: "The users can't be read or changed now; nothing was changed.",
}
_SOON: Final[Mapping[str, str]] = {"Retry-After": "1"}
_FRAMEWORK: Final[Mapping[int, tuple[str, str]]] = {
    404: ("not-found", "There is nothing under this address."),
    405: ("method-not-allowed", "This address doesn't know that method."),
}


async def _framework_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    code, detail = _FRAMEWORK.get(status, ("malformed", "The request can't be read."))
    return ApiError(code, detail, headers=headers).response(request.url.path)


async def _last_resort(request: Request, error: Exception) -> Response:
    return _answer(error).response(request.url.path)
