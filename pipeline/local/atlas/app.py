"""The server over HTTP: ``/api/atlas/v2/…`` as Apache Atlas, and the same under ``/api/meta/…`` as pyatlan asks."""

import base64
import binascii
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.directory.port import Person
from pipeline.local.atlas import typedefs
from pipeline.local.atlas.database import DatabaseError
from pipeline.local.atlas.errors import AtlasError, Code
from pipeline.local.atlas.guard import Guard, TooManyGuessesError
from pipeline.local.atlas.rights import Caller
from pipeline.local.atlas.service import AtlasService
from pipeline.local.atlas.users import ENGINE_NAME

BODY_BYTES_MAX: Final = 64 * 1024 * 1024
CREDENTIALS_CHARS_MAX: Final = 4_096
AUDIT_DEFAULT: Final = 100
COUNT_DIGITS_MAX: Final = 10
VERSION: Final = {"Version": "2.1.0", "Name": "blockline-embedded-atlas", "Description": "Embedded in Blockline"}
_LOG: Final = logging.getLogger(__name__)
_NAME: Final = "attr:qualifiedName"
_PREFIXES: Final = ("/api/atlas/v2", "/api/meta")
_KINDS: Final = {
    "entitydef": "ENTITY",
    "enumdef": "ENUM",
    "classificationdef": "CLASSIFICATION",
    "relationshipdef": "RELATIONSHIP",
    "typedef": None,
}

NOTHING: Final = object()
"""What a handler gives where Atlas answers 204."""

Handler = Callable[["Asked"], Awaitable[Any]]


class Asked:
    """A request of somebody who is known."""

    def __init__(self, request: Request, service: AtlasService, caller: Caller) -> None:
        """``caller``: who asks."""
        self.request = request
        self.service = service
        self.caller = caller

    async def body(self) -> Any:
        """The JSON that was sent.

        Raises:
            AtlasError: it isn't JSON, or too long.
        """
        parts, size = [], 0
        async for part in self.request.stream():
            size += len(part)
            if size > BODY_BYTES_MAX:
                raise AtlasError(Code.TOO_LARGE, f"A request has at most {BODY_BYTES_MAX} bytes.")
            parts.append(part)
        try:
            return orjson.loads(b"".join(parts))
        except orjson.JSONDecodeError:
            raise AtlasError(Code.BAD_REQUEST, "The request isn't JSON.") from None

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def qualified_name(self) -> str:
        """The unique attribute in the query.

        Raises:
            AtlasError: there is none.
        """
        name = self.request.query_params.get(_NAME)
        if not name:
            raise AtlasError(Code.UNIQUE_ATTRIBUTE_MISSING, f"The query needs {_NAME}.")
        return name

    def guids(self) -> list[str]:
        """The guids in the query.

        Raises:
            AtlasError: there are none.
        """
        guids = self.request.query_params.getlist("guid")
        if not guids:
            raise AtlasError(Code.INVALID_PARAMETERS, "invalid parameters: the query needs guid")
        return guids


async def _get_types(asked: Asked) -> Any:
    wanted = {kind.upper() for kind in asked.request.query_params.getlist("type")}
    shown = typedefs.shown(asked.service.types)
    return {key: bodies if not wanted or _is_of(bodies, wanted) else [] for key, bodies in shown.items()}


def _is_of(bodies: list[Any], wanted: set[str]) -> bool:
    return any(body["category"] in wanted for body in bodies)


async def _post_types(asked: Asked) -> Any:
    return await asked.service.put_types(asked.caller, await asked.body(), is_new=True)


async def _put_types(asked: Asked) -> Any:
    return await asked.service.put_types(asked.caller, await asked.body(), is_new=False)


async def _get_type(asked: Asked) -> Any:
    kind = asked.path("kind")
    if kind not in _KINDS:
        raise _not_here(asked.request)
    return asked.service.type_named(asked.path("name"), _KINDS[kind])


async def _post_bulk(asked: Asked) -> Any:
    return (await asked.service.upsert(asked.caller, await asked.body())).shown()


async def _post_entity(asked: Asked) -> Any:
    return (await asked.service.upsert_one(asked.caller, await asked.body())).shown()


async def _get_bulk(asked: Asked) -> Any:
    return {"entities": await asked.service.get(asked.caller, asked.guids()), "referredEntities": {}}


async def _delete_bulk(asked: Asked) -> Any:
    _refuse_purge(asked)
    return (await asked.service.delete(asked.caller, asked.guids())).shown()


async def _get_guid(asked: Asked) -> Any:
    (entity,) = await asked.service.get(asked.caller, [asked.path("guid")])
    return {"entity": entity, "referredEntities": {}}


async def _put_guid(asked: Asked) -> Any:
    name = asked.request.query_params.get("name")
    if not name:
        raise AtlasError(Code.INVALID_PARAMETERS, "invalid parameters: the query needs name")
    mutation = await asked.service.change_attribute(asked.caller, asked.path("guid"), name, await asked.body())
    return mutation.shown()


async def _delete_guid(asked: Asked) -> Any:
    _refuse_purge(asked)
    return (await asked.service.delete(asked.caller, [asked.path("guid")])).shown()


async def _post_marks(asked: Asked) -> Any:
    await asked.service.mark(asked.caller, asked.path("guid"), await asked.body(), is_new=True)
    return NOTHING


async def _put_marks(asked: Asked) -> Any:
    await asked.service.mark(asked.caller, asked.path("guid"), await asked.body(), is_new=False)
    return NOTHING


async def _delete_mark(asked: Asked) -> Any:
    await asked.service.unmark(asked.caller, asked.path("guid"), asked.path("name"))
    return NOTHING


async def _get_named(asked: Asked) -> Any:
    entity = await asked.service.get_named(asked.caller, asked.path("type"), asked.qualified_name())
    return {"entity": entity, "referredEntities": {}}


async def _put_named(asked: Asked) -> Any:
    name, body = asked.qualified_name(), await asked.body()
    return (await asked.service.change_named(asked.caller, asked.path("type"), name, body)).shown()


async def _delete_named(asked: Asked) -> Any:
    _refuse_purge(asked)
    return (await asked.service.delete_named(asked.caller, asked.path("type"), asked.qualified_name())).shown()


async def _search(asked: Asked) -> Any:
    return await asked.service.search(asked.caller, await asked.body())


async def _audit(asked: Asked) -> Any:
    given = asked.request.query_params.get("count", str(AUDIT_DEFAULT))
    if not given.isdecimal() or len(given) > COUNT_DIGITS_MAX:
        raise AtlasError(Code.INVALID_PARAMETERS, "invalid parameters: count is a number")
    return await asked.service.audit(asked.caller, asked.path("guid"), int(given))


def _refuse_purge(asked: Asked) -> None:
    if asked.request.query_params.get("deleteType", "SOFT").upper() not in {"SOFT", "DEFAULT"}:
        raise AtlasError(Code.NOT_HERE, "The embedded Atlas deletes softly only.")


_ROUTES: Final[tuple[tuple[str, dict[str, Handler]], ...]] = (
    ("/entity/bulk", {"POST": _post_bulk, "GET": _get_bulk, "DELETE": _delete_bulk}),
    ("/search/basic", {"POST": _search}),
    ("/entity/guid/{guid}", {"GET": _get_guid, "PUT": _put_guid, "DELETE": _delete_guid}),
    ("/entity/guid/{guid}/classifications", {"POST": _post_marks, "PUT": _put_marks}),
    ("/entity/guid/{guid}/classification/{name}", {"DELETE": _delete_mark}),
    ("/entity/uniqueAttribute/type/{type}", {"GET": _get_named, "PUT": _put_named, "DELETE": _delete_named}),
    ("/entity", {"POST": _post_entity}),
    ("/entity/{guid}/audit", {"GET": _audit}),
    ("/types/typedefs", {"GET": _get_types, "POST": _post_types, "PUT": _put_types}),
    ("/types/{kind}/name/{name}", {"GET": _get_type}),
)


class _Endpoint:
    """One path: knows the caller, calls the handler of the method, answers in Atlas' form."""

    def __init__(self, handlers: dict[str, Handler], service: AtlasService, guard: Guard, token: str) -> None:
        self._handlers = handlers
        self._service = service
        self._guard = guard
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except AtlasError as error:
            response = refusal(error)
        except DatabaseError as error:
            response = refusal(AtlasError(Code.UNAVAILABLE, str(error)))
        except Exception:  # noqa: BLE001  (the server's edge: what went wrong is logged, and nothing of it leaks)
            _LOG.exception("a request to the embedded Atlas failed")
            body = {"errorCode": "ATLAS-500-00-001", "errorMessage": "Internal server error"}
            response = _json(body, 500)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        caller = await self._caller(request)
        handler = self._handlers.get(request.method)
        if handler is None:
            raise _not_here(request)
        return _json(await handler(Asked(request, self._service, caller)))

    async def _caller(self, request: Request) -> Caller:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        person = None
        if len(credentials) <= CREDENTIALS_CHARS_MAX:
            if scheme.lower() == "bearer":
                if hmac.compare_digest(credentials.encode("utf-8", "surrogateescape"), self._token):
                    return Caller(ENGINE_NAME, is_author=True, is_admin=True)
                person = await self._guard.by_token(credentials)
            elif scheme.lower() == "basic":
                name, password = _basic(credentials)
                if name == ENGINE_NAME and hmac.compare_digest(password.encode(), self._token):
                    return Caller(ENGINE_NAME, is_author=True, is_admin=True)
                person = await self._by_password(request, name, password)
        if person is None:
            raise AtlasError(Code.UNAUTHENTICATED, "Sign in with a user name and a password, or a token.")
        return Caller.of(person)

    async def _by_password(self, request: Request, name: str, password: str) -> Person | None:
        address = request.client.host if request.client else ""
        try:
            return await self._guard.by_password(name, password, address)
        except TooManyGuessesError as error:
            raise AtlasError(Code.TOO_MANY, str(error)) from None


class _Slashes:
    """Paths with and without a slash at the end are the same (pyatlan writes ``entity/bulk/``)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


def build_app(service: AtlasService, guard: Guard, engine_token: str) -> Starlette:
    """The ASGI app over a service that is loaded. ``engine_token``: the Bearer token of the engine's own account, and
    its password for those that sign in as to an Apache Atlas.
    """

    def endpoint(handlers: dict[str, Handler]) -> _Endpoint:
        return _Endpoint(handlers, service, guard, engine_token)

    routes = [Route(path, endpoint(handlers), methods=None) for path, handlers in _ROUTES]
    version = Route("/api/atlas/admin/version", endpoint({"GET": _version}), methods=None)
    purge = Route("/api/atlas/admin/purge", endpoint({"PUT": _purge}), methods=None)
    mounts = [Mount(prefix, routes=[*routes, Mount("", endpoint({}))]) for prefix in _PREFIXES]
    app = Starlette(routes=[*mounts, version, purge, Mount("", endpoint({}))])
    app.router.redirect_slashes = False
    app.add_middleware(_Slashes)
    return app


async def _version(_: Asked) -> Any:
    return VERSION


async def _purge(asked: Asked) -> Any:
    return (await asked.service.purge(asked.caller, await asked.body())).shown()


def _basic(credentials: str) -> tuple[str, str]:
    try:
        name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def _not_here(request: Request) -> AtlasError:
    return AtlasError(Code.NOT_HERE, f"The embedded Atlas doesn't answer {request.method} here; a real one may.")


def refusal(error: AtlasError) -> Response:
    """The answer, in Atlas' form."""
    response = _json(error.body(), error.status)
    if error.code is Code.UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = 'Basic realm="Blockline", charset="UTF-8"'
    return response


def _json(body: Any, status: int = 200) -> Response:
    if body is NOTHING:
        return Response(status_code=204)
    return Response(orjson.dumps(body), status, media_type="application/json")
