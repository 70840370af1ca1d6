"""Whom a question is put to: users, owners, names an expression gave, members of groups; each once."""

from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.core.errors import BlocklineError
from pipeline.core.limits import RECIPIENTS_MAX
from pipeline.directory.port import Directory, Person
from udfs.runners.approval.arguments import NEEDS_MEMBERS, Approvers, Owners


class ApproversError(BlocklineError):
    """Nobody can be asked; the text says why."""


class UncountableError(ApproversError):
    """The rule counts those who are asked, and the members of a group aren't known: asking others doesn't help."""


class Found:
    """Who was found so far, in the order in which they are asked."""

    def __init__(self) -> None:
        """Nobody yet."""
        self._people: dict[str, Person] = {}
        self._groups: dict[str, list[str] | None] = {}
        self._open: dict[str, None] = {}

    def add(self, person: Person) -> None:
        """Somebody by name."""
        self._people.setdefault(person.name, person)
        self._groups[person.name] = None

    def add_member(self, person: Person, group: str) -> None:
        """Somebody as a member of a group: they must still be in one of the groups when they decide."""
        self._people.setdefault(person.name, person)
        groups = self._groups.setdefault(person.name, [])
        if groups is not None and group not in groups:
            groups.append(group)

    def add_group(self, group: str) -> None:
        """A group whose members nobody knows."""
        self._open[group] = None

    def recipients(self, *, without: str | None) -> list[dict[str, Any]]:
        """In the form in which the state machine takes them.

        Raises:
            ApproversError: nobody is left, or there are too many.
        """
        found: list[dict[str, Any]] = []
        for name, person in self._people.items():
            if name != without:
                groups = self._groups[name]
                body: dict[str, Any] = {"name": name, "email": person.email}
                found.append(body if groups is None else body | {"groups": groups})
        found += [{"group": group} for group in self._open]
        if not found and self._people:
            raise ApproversError("the only approver is the one who asks, and can't approve their own request")
        if not found:
            raise ApproversError("no approvers: name users, or groups with members")
        if len(found) > RECIPIENTS_MAX:
            raise ApproversError(f"{len(found)} approvers; one approval asks {RECIPIENTS_MAX} at most")
        return found

    def check_rule(self, rule: str) -> None:
        """Raises UncountableError where the rule can't be asked of a group whose members nobody knows."""
        if self._open and rule in NEEDS_MEMBERS:
            named = ", ".join(self._open)
            raise UncountableError(f"the members of {named} aren't known, so {rule} can't be asked: use ANY or COUNT")


async def approvers_of(given: Approvers, directory: Directory) -> Found:
    """Everybody who is named, in the order users, owners, expression, groups.

    Raises:
        ApproversError: somebody who is named isn't known.
    """
    found = Found()
    await _add_users(found, given.users, directory)
    if isinstance(given.owners, Owners):
        await _add_owners(found, given.owners, directory)
    await _add_users(found, _names(given.expression), directory)
    await _add_groups(found, given.groups, directory)
    return found


async def named(users: Sequence[str], groups: Sequence[str], directory: Directory) -> Found:
    """Users and groups, as :func:`approvers_of`."""
    found = Found()
    await _add_users(found, users, directory)
    await _add_groups(found, groups, directory)
    return found


async def _add_users(found: Found, names: Iterable[str], directory: Directory) -> None:
    for name in names:
        person = await directory.person(name)
        if person is None:
            raise ApproversError(f"there is no user {name}")
        found.add(person)


async def _add_groups(found: Found, groups: Iterable[str], directory: Directory) -> None:
    members: list[tuple[Person, str]] = []
    for group in groups:
        known = await directory.members(group)
        if known is not None:
            members += [(person, group) for person in known]
        elif await directory.has_unknown_members(group):
            found.add_group(group)
        else:
            raise ApproversError(f"there is no group {group}, or its members aren't known")
    for person, group in sorted(members, key=lambda member: member[0].name):
        found.add_member(person, group)


async def _add_owners(found: Found, owners: Owners, directory: Directory) -> None:
    """Owners whom nobody knows any more are passed over: the catalog keeps names for longer than people stay."""
    for name in owners.users:
        person = await directory.person(name)
        if person is not None:
            found.add(person)
    for group in owners.groups:
        known = await directory.members(group)
        if known is None and await directory.has_unknown_members(group):
            found.add_group(group)
        for person in sorted(known or (), key=lambda member: member.name):
            found.add_member(person, group)


def _names(value: Any) -> list[str]:
    if value is None:
        return []
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ApproversError("approvers.expression gave something else than a name or a list of names")
    return names
