"""The users and groups of one machine over SCIM 2.0 (RFC 7644), to be read: vertices in processes of their own ask by
the protocol that they use in a cluster, and so may other systems.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from pipeline.directory.port import Person
from pipeline.local.atlas.guard import Guard, TooManyGuessesError
from pipeline.local.atlas.users import ADMIN, UserStore
from pipeline.messages.canonical import MalformedError, decode, encode

PATH: Final = "/scim/v2"
PAGE_MAX: Final = 200
FILTER_CHARS_MAX: Final = 1_000
_SCHEMA: Final = "urn:ietf:params:scim:schemas:core:2.0:"
_MESSAGE: Final = "urn:ietf:params:scim:api:messages:2.0:"
_FILTER: Final = re.compile(r'\s*([A-Za-z$.]+)\s+(eq|co|sw)\s+("(?:[^"\\]|\\.)*")\s*', re.IGNORECASE)
_CASE_EXACT: Final = frozenset({"id", "members.value", "groups.value"})
_SEARCHED: Final = {
    "User": frozenset({"id", "username", "emails.value", "groups.value"}),
    "Group": frozenset({"id", "displayname", "members.value"}),
}
_ROLE_PREFIX: Final = "blockline:"

Resource = dict[str, Any]


class _ScimError(Exception):
    def __init__(self, status: int, detail: str, kind: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind


@dataclass(frozen=True, slots=True)
class ScimLogin:
    """Who may read: the engine by its ``token``, and administrators by their passwords or tokens."""

    guard: Guard
    token: str

    async def check(self, request: Request) -> None:
        """Raises _ScimError where it is somebody else."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self.token.encode()):
                return
            person = await self.guard.by_token(given)
        else:
            person = await self._by_password(request, given if scheme.lower() == "basic" else "")
        if person is None:
            raise _ScimError(401, "Sign in as an administrator, or with the engine's token.")
        if ADMIN not in person.roles:
            raise _ScimError(403, "Only administrators may read the directory.")

    async def _by_password(self, request: Request, given: str) -> Person | None:
        try:
            name, colon, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        try:
            address = request.client.host if request.client else ""
            return await self.guard.by_password(name, password, address) if colon else None
        except TooManyGuessesError as error:
            raise _ScimError(429, str(error)) from None


def build_scim(users: UserStore, guard: Guard, engine_token: str) -> Starlette:
    """The ASGI app, below ``/scim/v2``. ``engine_token``: the Bearer token of the engine's own account."""
    login, there = ScimLogin(guard, engine_token), _Service(users)

    def route(path: str, answer: Callable[[Request], Awaitable[Resource]]) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                await login.check(request)
                return _json(await answer(request))
            except _ScimError as error:
                return _refusal(error)

        return Route(path, endpoint, methods=["GET"])

    routes = [
        route("/Users", there.all_users),
        route("/Users/{id:str}", there.user),
        route("/Groups", there.all_groups),
        route("/Groups/{id:str}", there.group),
        route("/ServiceProviderConfig", there.config),
    ]
    return Starlette(routes=[Mount(PATH, routes=routes)], exception_handlers={404: _nothing_here, 405: _nothing_here})


class _Service:
    """What is asked for, over the users as they are now."""

    def __init__(self, users: UserStore) -> None:
        self._users = users

    async def all_users(self, request: Request) -> Resource:
        return _page(request, [_user(person) for person in await self._users.listed()], "User")

    async def all_groups(self, request: Request) -> Resource:
        members: dict[str, list[Person]] = {}
        for person in await self._users.listed():
            for name in person.groups:
                members.setdefault(name, []).append(person)
        return _page(request, [_group(name, members[name]) for name in sorted(members)], "Group")

    async def user(self, request: Request) -> Resource:
        person = await self._users.get(_name_of(request.path_params["id"]))
        if person is None:
            raise _ScimError(404, "There is no user of that id.")
        return _shaped(_user(person), request)

    async def group(self, request: Request) -> Resource:
        name = _name_of(request.path_params["id"])
        members = await self._users.members(name)
        if not members:
            raise _ScimError(404, "There is no group of that id.")
        return _shaped(_group(name, members), request)

    async def config(self, _: Request) -> Resource:
        return SERVICE


SERVICE: Final[Resource] = {
    "schemas": [f"{_SCHEMA}ServiceProviderConfig"],
    "patch": {"supported": False},
    "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
    "filter": {"supported": True, "maxResults": PAGE_MAX},
    "changePassword": {"supported": False},
    "sort": {"supported": False},
    "etag": {"supported": False},
    "authenticationSchemes": [
        {"type": "oauthbearertoken", "name": "Token", "description": "A personal token of an administrator."},
        {"type": "httpbasic", "name": "Password", "description": "Name and password of an administrator."},
    ],
}


def _user(person: Person) -> Resource:
    user: Resource = {
        "schemas": [f"{_SCHEMA}User"],
        "id": _id_of(person.name),
        "userName": person.name,
        "active": True,
        "roles": [{"value": f"{_ROLE_PREFIX}{role}"} for role in person.roles],
        "groups": [{"value": _id_of(group), "display": group, "type": "direct"} for group in person.groups],
        "meta": {"resourceType": "User", "location": f"{PATH}/Users/{_id_of(person.name)}"},
    }
    if person.email:
        user["emails"] = [{"value": person.email, "primary": True}]
    return user


def _group(name: str, members: Sequence[Person]) -> Resource:
    return {
        "schemas": [f"{_SCHEMA}Group"],
        "id": _id_of(name),
        "displayName": name,
        "members": [{"value": _id_of(person.name), "display": person.name, "type": "User"} for person in members],
        "meta": {"resourceType": "Group", "location": f"{PATH}/Groups/{_id_of(name)}"},
    }


def _id_of(name: str) -> str:
    """An id that is found again without a table."""
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _name_of(ident: str) -> str:
    try:
        return base64.urlsafe_b64decode(ident + "=" * (-len(ident) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


def _page(request: Request, resources: Sequence[Resource], kind: str) -> Resource:
    asked = request.query_params
    if "filter" in asked:
        is_wanted = _filter(asked["filter"], kind)
        resources = [resource for resource in resources if is_wanted(resource)]
    start, count = max(1, _number(asked.get("startIndex"), 1)), max(0, _number(asked.get("count"), PAGE_MAX))
    page = resources[start - 1 : start - 1 + min(count, PAGE_MAX)]
    return {
        "schemas": [f"{_MESSAGE}ListResponse"],
        "totalResults": len(resources),
        "startIndex": start,
        "itemsPerPage": len(page),
        "Resources": [_shaped(resource, request) for resource in page],
    }


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    try:
        return int(text[:10])
    except ValueError:
        raise _ScimError(400, "startIndex and count are whole numbers.", "invalidValue") from None


def _filter(text: str, kind: str) -> Callable[[Resource], bool]:
    match = _FILTER.fullmatch(text) if len(text) <= FILTER_CHARS_MAX else None
    if match is None or match[1].lower() not in _SEARCHED[kind]:
        searched = ", ".join(sorted(_SEARCHED[kind]))
        raise _ScimError(400, f'A filter is NAME eq|co|sw "TEXT"; NAME is one of {searched}.', "invalidFilter")
    try:
        wanted = str(decode(match[3]))
    except MalformedError:
        raise _ScimError(400, "The text of a filter is a string of JSON.", "invalidFilter") from None
    name, operator = match[1].lower(), match[2].lower()
    fold = str if name in _CASE_EXACT else str.casefold
    wanted = fold(wanted)

    def is_wanted(resource: Resource) -> bool:
        values = [fold(value) for value in _values(resource, name)]
        if operator == "eq":
            return wanted in values
        return any(value.startswith(wanted) if operator == "sw" else wanted in value for value in values)

    return is_wanted


def _values(resource: Resource, name: str) -> list[str]:
    """Of an attribute, named in lower case, as SCIM takes no notice of it."""
    outer, _, inner = name.partition(".")
    found = next((value for key, value in resource.items() if key.lower() == outer), None)
    return [item[inner] for item in found or ()] if inner else [] if found is None else [found]


def _shaped(resource: Resource, request: Request) -> Resource:
    wanted, unwanted = _listed(request, "attributes"), _listed(request, "excludedAttributes")
    always = {"schemas", "id"}
    return {
        key: value
        for key, value in resource.items()
        if key in always or (key.lower() not in unwanted and (not wanted or key.lower() in wanted))
    }


def _listed(request: Request, parameter: str) -> set[str]:
    return {name.strip().lower() for name in request.query_params.get(parameter, "").split(",") if name.strip()}


async def _nothing_here(request: Request, _: Exception) -> Response:
    return _refusal(_ScimError(501 if request.method != "GET" else 404, "The directory is there to be read only."))


def _refusal(error: _ScimError) -> Response:
    body = {"schemas": [f"{_MESSAGE}Error"], "status": str(error.status), "detail": str(error)}
    response = _json(body | ({"scimType": error.kind} if error.kind else {}), error.status)
    if error.status == 401:  # noqa: PLR2004  (the one that says how to sign in)
        response.headers["WWW-Authenticate"] = 'Bearer realm="Blockline", Basic realm="Blockline", charset="UTF-8"'
    return response


def _json(body: Resource, status: int = 200) -> Response:
    return Response(encode(body), status, media_type="application/scim+json")
