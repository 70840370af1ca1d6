"""The directory of one machine: the users and groups of the embedded profile."""

from collections.abc import Sequence
from typing import Protocol

from pipeline.core.limits import DIRECTORY_MEMBERS_MAX
from pipeline.directory.port import Person


class People(Protocol):
    """What keeps the users; it is up to date at once."""

    async def get(self, name: str) -> Person | None:
        """The person of that name."""
        ...

    async def members(self, group: str) -> Sequence[Person]:
        """Who is in a group; nobody where there is no such group."""
        ...

    async def search(self, text: str, *, kind: str, limit: int) -> Sequence[str]:
        """Names of users or groups that contain ``text``."""
        ...


class EmbeddedDirectory:
    """See :class:`pipeline.directory.port.Directory`; a group without a member isn't known, and the members
    of one that is too large to be listed aren't either, as they aren't over SCIM.
    """

    def __init__(self, people: People) -> None:
        """``people``: whoever keeps them."""
        self._people = people

    async def person(self, name: str) -> Person | None:
        """See :class:`pipeline.directory.port.Directory`."""
        return await self._people.get(name)

    async def members(self, group: str) -> Sequence[Person] | None:
        """See :class:`pipeline.directory.port.Directory`."""
        found = await self._people.members(group)
        return found if 0 < len(found) <= DIRECTORY_MEMBERS_MAX else None

    async def has_unknown_members(self, group: str) -> bool:
        """See :class:`pipeline.directory.port.Directory`; here it is one of too many members."""
        return len(await self._people.members(group)) > DIRECTORY_MEMBERS_MAX

    async def search(self, text: str, *, kind: str, limit: int) -> Sequence[str]:
        """See :class:`pipeline.directory.port.Directory`."""
        return await self._people.search(text, kind=kind, limit=limit)
