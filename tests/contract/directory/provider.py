"""Identity providers as they are: SCIM services that differ where RFC 7644 lets them, and where it doesn't.

``OKTA`` says no groups of a user and leaves ``display`` out of members, sends roles as texts, and searches by ``eq``
alone. ``ENTRA`` sends truth values as texts, groups without names, no ``Resources`` where there are none, and searches
by ``sw``. ``KEYCLOAK`` takes no notice of filters that it doesn't know, nor of ``attributes``, and says nothing of
groups but who is in them. None of them sends more than a few at a time, and ``userName`` is the same in any case.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.directory.port import Person
from pipeline.messages.canonical import decode, encode

TOKEN = "a-token-of-the-provider"
PARAMETERS = {"filter", "startIndex", "count", "attributes", "excludedAttributes"}
FILTER = re.compile(r'(\S+) (\S+) ("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Style:
    """How a provider differs."""

    page: int
    operators: frozenset[str]
    is_lax: bool = False
    has_texts: bool = False
    says_groups: str = ""
    has_display: bool = False


OKTA = Style(page=2, operators=frozenset({"eq"}))
ENTRA = Style(page=3, operators=frozenset({"eq", "sw"}), has_texts=True, says_groups="ids")
KEYCLOAK = Style(page=5, operators=frozenset({"eq"}), is_lax=True, says_groups="names", has_display=True)


@dataclass
class Provider:
    """Change its people at any time. ``hidden`` are groups that keep their members to themselves."""

    style: Style
    people: list[Person]
    hidden: frozenset[str] = frozenset()
    inactive: set[str] = field(default_factory=set)
    nested: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        self.asked.append(f"{request.method} {request.url.path}?{unquote(request.url.query)}")
        status, body = self._answer(request)
        kind = "application/scim+json; charset=utf-8"
        await Response(encode(body), status, media_type=kind)(scope, receive, send)

    def _answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return error(401)
        if "application/scim+json" not in request.headers.get("accept", "") or request.method != "GET":
            return error(406)
        path = request.scope["path"].removeprefix("/scim").split("/")[1:]
        kinds = {"Users": self._users, "Groups": self._groups}
        if path[0] not in kinds:
            return error(404)
        resources = kinds[path[0]]()
        if len(path) > 1:
            found = [resource for resource in resources if resource["id"] == path[1]]
            return (200, found[0]) if found else error(404)
        return self._list(path[0], resources, dict(request.query_params))

    def _list(self, kind: str, resources: list[dict[str, Any]], query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if set(query) - PARAMETERS:
            return error(400, "invalidSyntax")
        if kind == "Groups" and not self.style.is_lax and query.get("excludedAttributes") == "members":
            resources = [{key: value for key, value in each.items() if key != "members"} for each in resources]
        if "filter" in query:
            found = self._filtered(kind, query["filter"])
            if found is None and not self.style.is_lax:
                return error(400, "invalidFilter")
            resources = resources if found is None else [each for each in resources if each["id"] in found]
        start, count = int(query.get("startIndex", 1)), int(query.get("count", 100))
        assert start >= 1
        assert count >= 1
        page = resources[start - 1 : start - 1 + min(count, self.style.page)]
        body: dict[str, Any] = {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": len(resources),
            "itemsPerPage": len(page),
            "startIndex": start,
        }
        return 200, body | ({"Resources": page} if page or not self.style.has_texts else {})

    def _filtered(self, kind: str, text: str) -> set[str] | None:
        """Ids, or None for a filter that isn't known here."""
        match = FILTER.fullmatch(text)
        if match is None or match[2] not in self.style.operators:
            return None
        wanted = decode(match[3])
        if match[1] == "members.value" and kind == "Groups":
            return {
                self.group_id(group) for person in self.people if ident(person) == wanted for group in person.groups
            }
        names = {"userName": [(ident(each), each.name) for each in self.people]}
        names["displayName"] = [(self.group_id(group), group) for group in self._group_names()]
        if match[1] != {"Users": "userName", "Groups": "displayName"}[kind]:
            return None
        fits = str.__eq__ if match[2] == "eq" else str.startswith
        return {key for key, name in names[match[1]] if fits(name.casefold(), wanted.casefold())}

    def _users(self) -> list[dict[str, Any]]:
        return [self._user(person) for person in self.people]

    def _user(self, person: Person) -> dict[str, Any]:
        is_active, roles = person.name not in self.inactive, [f"blockline:{role}" for role in person.roles]
        user: dict[str, Any] = {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": ident(person),
            "userName": person.name,
            "displayName": f"{person.name} of Example",
            "active": ("True" if is_active else "False") if self.style.has_texts else is_active,
        }
        if self.style.has_texts:
            user["entitlements"] = [{"value": role.upper(), "primary": "False"} for role in [*roles, "admin"]]
        else:
            user["roles"] = [*roles, "author"]
        if person.email is not None:
            other = {"value": "elsewhere@example.net", "type": "home"}
            user["emails"] = [other, {"value": person.email, "type": "work", "primary": True}]
        if self.style.says_groups:
            is_named = self.style.says_groups == "names"
            user["groups"] = [
                {"value": self.group_id(group)} | ({"display": group} if is_named else {}) for group in person.groups
            ]
        return user

    def _groups(self) -> list[dict[str, Any]]:
        return [self._group(name) for name in self._group_names()]

    def _group(self, name: str) -> dict[str, Any]:
        group: dict[str, Any] = {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "id": self.group_id(name),
            "displayName": name,
        }
        if name in self.hidden:
            return group
        members: list[dict[str, Any]] = [
            {"value": ident(person)} | ({"display": "somebody", "type": "User"} if self.style.has_display else {})
            for person in self.people
            if name in person.groups
        ]
        if name in self.nested:
            inner = self.group_id(self.nested[name])
            members.append({"value": inner, "$ref": f"https://provider.example/scim/Groups/{inner}"})
        return group | {"members": members}

    def group_id(self, name: str) -> str:
        """Like a user's, and nobody's."""
        return f"g{sum(name.encode())}x{name.encode().hex()}"

    def _group_names(self) -> list[str]:
        return sorted({group for person in self.people for group in person.groups} | self.hidden | set(self.nested))


def ident(person: Person) -> str:
    """An id that says nothing of the name."""
    return f"u{sum(person.name.encode())}x{person.name.encode()[::-1].hex()}"


def error(status: int, kind: str = "") -> tuple[int, dict[str, Any]]:
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": str(status)}
    return status, body | ({"scimType": kind} if kind else {})
