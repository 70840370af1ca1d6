"""Who may do what: roles, each including the one before, and what belongs to whom."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from api.problems import ApiError
from pipeline.directory.port import Person


class Role(StrEnum):
    """``requester`` starts published workflows, ``author`` writes them, ``admin`` does everything."""

    REQUESTER = "requester"
    AUTHOR = "author"
    ADMIN = "admin"


_ORDER: Final = tuple(Role)


def has_role(person: Person, role: Role) -> bool:
    """Whether one of the person's roles is ``role`` or includes it."""
    return any(_ORDER.index(own) >= _ORDER.index(role) for own in _ORDER if own in person.roles)


def require_role(person: Person, role: Role) -> None:
    """Refuse a caller without ``role``.

    Raises:
        ApiError: 403.
    """
    if not has_role(person, role):
        raise ApiError("forbidden", f"This needs the role `{role}`; ask an administrator.")


def owns_workflow(person: Person, workflow: Mapping[str, Any] | None) -> bool:
    """Whether the workflow of a run's request (or document) is the person's as an author."""
    return workflow is not None and workflow.get("owner") == person.name and has_role(person, Role.AUTHOR)
