"""The directory of a cluster: whatever identity provider speaks SCIM 2.0 (RFC 7643, 7644).

Providers differ, and none is trusted to have understood a filter: what comes back is compared again. They may page
as they like, leave out ``groups`` of a user, ``display`` of a member, whole lists, or refuse a filter.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

import httpx

from pipeline.core.limits import DIRECTORY_ASKED_AT_ONCE_MAX, DIRECTORY_MEMBERS_MAX
from pipeline.directory.port import DirectoryUnavailableError, Person
from pipeline.directory.scim_http import PAGE, ScimAccess, ScimClient, UnsupportedFilterError, quoted

ROLES: Final = ("requester", "author", "admin")
ROLE_PREFIX: Final = "blockline:"
"""Of the engine's roles among a user's ``roles`` and ``entitlements``: ``admin`` alone may be anybody's."""
GROUPS_MAX: Final = 1_000
"""Groups of one person."""
_NAMES: Final = {"user": ("/Users", "userName"), "group": ("/Groups", "displayName")}
_LOG: Final = logging.getLogger("blockline.directory")

Resource = dict[str, Any]


class ScimDirectory:
    """See :class:`pipeline.directory.port.Directory`. Asks each time: put ``CachedDirectory`` before it."""

    def __init__(self, access: ScimAccess, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """``transport``: what sends; by default connections over the network.

        Raises:
            ScimSettingError: the file of authorities can't be used.
        """
        self._scim = ScimClient(access, transport)

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._scim.aclose()

    async def person(self, name: str) -> Person | None:
        """See :class:`~pipeline.directory.port.Directory`; who was deactivated isn't known any more."""
        user = await self._named("user", name)
        if user is None or not _is_active(user):
            return None
        return _person(user, await self._groups_of(user))

    async def members(self, group: str) -> Sequence[Person] | None:
        """See :class:`~pipeline.directory.port.Directory`; by name."""
        return await self._members(group) or None

    async def has_unknown_members(self, group: str) -> bool:
        """See :class:`~pipeline.directory.port.Directory`: the provider keeps them to itself, some are groups
        themselves (whose members nobody here follows), or they are too many.
        """
        return await self._members(group) is None

    async def search(self, text: str, *, kind: str, limit: int) -> Sequence[str]:
        """See :class:`~pipeline.directory.port.Directory`; only names that begin so, where no more can be asked."""
        path, attribute = _NAMES[kind]
        resources: list[Resource] = []
        for query in _search_filters(attribute, text):
            try:
                resources = await self._scim.found(path, query | {"attributes": f"{attribute},active"}, limit)
            except UnsupportedFilterError:
                continue
            break
        names = {str(resource.get(attribute) or "") for resource in resources if _is_active(resource)}
        return sorted(name for name in names if name and text.lower() in name.lower())[:limit]

    async def _named(self, kind: str, name: str) -> Resource | None:
        """The one of exactly that name, else the only one but for case; None where it isn't certain who is meant."""
        path, attribute = _NAMES[kind]
        query = {"filter": f"{attribute} eq {quoted(name)}"}
        if kind == "group":
            query["excludedAttributes"] = "members"  # asked for by id: lists of groups mostly leave them out
        try:
            found = await self._scim.found(path, query, PAGE)
        except UnsupportedFilterError:
            # Every provider can do this one: a refusal means the name itself can't be one there.
            return None
        same = [resource for resource in found if str(resource.get(attribute, "")).casefold() == name.casefold()]
        exact = [resource for resource in same if resource.get(attribute) == name] or same
        if len(exact) > 1:
            _LOG.warning("the directory has %s of one %s's name; none of them is taken", len(exact), kind)
        return exact[0] if len(exact) == 1 else None

    async def _groups_of(self, user: Resource) -> tuple[str, ...]:
        """As the user says, else the groups that say so."""
        stated = _stated_groups(user)
        if stated is not None:
            return stated
        query = {"filter": f"members.value eq {quoted(str(user['id']))}", "excludedAttributes": "members"}
        try:
            found = await self._scim.found("/Groups", query, GROUPS_MAX)
        except UnsupportedFilterError:
            _LOG.warning("the directory says neither a user's groups nor whose member somebody is")
            return ()
        return _names_of(group.get("displayName") for group in found)

    async def _members(self, group: str) -> list[Person] | None:
        """Nobody where there is no such group; None where its members aren't said, are groups, or too many."""
        named = await self._named("group", group)
        found = None if named is None else await self._scim.resource(f"/Groups/{quote(str(named['id']), safe='')}")
        if found is None:
            return []
        members = found.get("members")
        if not isinstance(members, list) or len(members) > DIRECTORY_MEMBERS_MAX or any(map(_is_group, members)):
            return None
        users = await _each([str(member["value"]) for member in members if member.get("value")], self._user)
        people = {user["userName"]: _person(user, (str(found.get("displayName")),)) for user in users if user}
        return [people[name] for name in sorted(people)]

    async def _user(self, ident: str) -> Resource | None:
        """None where there is none that may do anything: deleted or deactivated since."""
        user = await self._scim.resource(f"/Users/{quote(ident, safe='')}")
        return user if user is not None and _is_active(user) and user.get("userName") else None


def _stated_groups(user: Resource) -> tuple[str, ...] | None:
    """None where the provider doesn't say them by name, which one with none may look like."""
    stated = user.get("groups")
    if not isinstance(stated, list) or not stated or not all(isinstance(group, dict) for group in stated):
        return None
    names = _names_of(group.get("display") for group in stated)
    return names if len(names) == len(stated) else None


def _names_of(given: Iterable[Any]) -> tuple[str, ...]:
    return tuple(sorted({name for name in given if isinstance(name, str) and name}))


def _search_filters(attribute: str, text: str) -> Iterable[dict[str, str]]:
    if not text:
        return ({},)
    return tuple({"filter": f"{attribute} {operator} {quoted(text)}"} for operator in ("co", "sw"))


async def _each(idents: Sequence[str], ask: Callable[[str], Awaitable[Resource | None]]) -> list[Resource | None]:
    """Some at a time, in their order."""
    gate = asyncio.Semaphore(DIRECTORY_ASKED_AT_ONCE_MAX)

    async def one(ident: str) -> Resource | None:
        async with gate:
            return await ask(ident)

    return list(await asyncio.gather(*map(one, idents)))


def _person(user: Resource, groups: tuple[str, ...]) -> Person:
    name = user.get("userName")
    if not isinstance(name, str):
        raise DirectoryUnavailableError("The directory's answer holds a user without a userName.")
    return Person(name, _email(user.get("emails")), groups, _roles(user))


def _email(emails: Any) -> str | None:
    """The primary one, else the first of work, else the first."""
    found = [email for email in emails if isinstance(email, dict)] if isinstance(emails, list) else []
    found = [email for email in found if isinstance(email.get("value"), str) and email["value"]]
    found.sort(key=lambda email: (email.get("primary") is not True, email.get("type") != "work"))
    return found[0]["value"] if found else None


def _roles(user: Resource) -> tuple[str, ...]:
    given = [*_values(user.get("roles")), *_values(user.get("entitlements"))]
    ours = {value.lower().removeprefix(ROLE_PREFIX) for value in given if value.lower().startswith(ROLE_PREFIX)}
    return tuple(role for role in ROLES if role in ours)


def _values(given: Any) -> list[str]:
    """Of a multi-valued attribute, which some providers send as plain texts."""
    values = (
        [item.get("value") if isinstance(item, dict) else item for item in given] if isinstance(given, list) else []
    )
    return [value for value in values if isinstance(value, str)]


def _is_active(user: Resource) -> bool:
    """``active`` needn't be said; some providers send it as a text."""
    return str(user.get("active", True)).lower() != "false"


def _is_group(member: Any) -> bool:
    return (
        not isinstance(member, dict)
        or str(member.get("type", "")).lower() == "group"
        or "/Groups/" in str(member.get("$ref", ""))
    )
