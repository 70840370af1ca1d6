"""The port to whoever knows the people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.errors import BlocklineError


@dataclass(frozen=True, slots=True)
class Person:
    """A user; ``roles`` are the engine's own (requester, author, admin)."""

    name: str
    email: str | None = None
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


class DirectoryUnavailableError(BlocklineError):
    """Nobody can say now who somebody is; ask again later."""


class Directory(Protocol):
    """Look-ups only; answers may be some seconds old.

    Each method raises DirectoryUnavailableError where the directory can't be asked, or doesn't answer as it should.
    """

    async def person(self, name: str) -> Person | None:
        """The person of that name, who may be written in another case where the directory takes no notice of it: what
        counts from then on is ``Person.name``.
        """
        ...

    async def members(self, group: str) -> Sequence[Person] | None:
        """The group's members; None where the group or its members aren't known. Of their groups, this one is named at
        least.
        """
        ...

    async def has_unknown_members(self, group: str) -> bool:
        """Whether there is such a group although its members can't be listed: asked after ``members`` gave None."""
        ...

    async def search(self, text: str, *, kind: str, limit: int) -> Sequence[str]:
        """Names of users or groups (``kind``) that contain ``text``."""
        ...
