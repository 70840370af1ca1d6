"""The users and groups of one machine. All of them are held in memory; a change is on disk before it counts."""

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from pipeline.core.errors import BlocklineError
from pipeline.directory.port import Person
from pipeline.local.atlas.database import Database, Transaction
from pipeline.local.atlas.passwords import (
    PASSWORD_CHARS_MAX,
    digest_of,
    generated_password,
    generated_token,
    hash_password,
    is_password,
)

USERS_MAX: Final = 10_000
TOKENS_A_USER_MAX: Final = 50
GROUPS_A_USER_MAX: Final = 100
NAME_CHARS_MAX: Final = 200
REMEMBERED_MAX: Final = 2_000
"""Right passwords that are recognised without deriving a key again, as keyed digests."""
VERIFYING_MAX: Final = 2
"""Keys derived at once: each takes 16 MiB and 50 ms of one core."""
ROLES: Final = ("requester", "author", "admin")
ADMIN: Final = "admin"
DEFAULT_USERS: Final = (
    Person(ADMIN, "admin@localhost", (), ("admin",)),
    Person("author", "author@localhost", (), ("author",)),
    Person("requester", "requester@localhost", (), ("requester",)),
    Person("approver", "approver@localhost", ("approvers",), ("requester",)),
)
"""Who is there at the first start; their passwords are generated and told once."""


ENGINE_NAME: Final = "blockline"
"""The engine's own account: not a user, and nobody else may be called so."""
_NOBODY: Final = f"scrypt$16384$8${'A' * 22}==${'A' * 43}="


class UserError(BlocklineError):
    """A user or token can't be as asked; says why."""


@dataclass(frozen=True, slots=True)
class _User:
    person: Person
    password: str


class UserStore:
    """Belongs to the event loop of its database. Satisfies ``Users`` of the API and ``People`` of the directory."""

    def __init__(self, database: Database, users: dict[str, _User], tokens: dict[bytes, tuple[str, str]]) -> None:
        """Use :meth:`open`."""
        self._database = database
        self._users = users
        self._tokens = tokens
        self._remembered: OrderedDict[bytes, str] = OrderedDict()
        self._secret = secrets.token_bytes(32)
        self._changing = asyncio.Lock()
        self._verifying = asyncio.Semaphore(VERIFYING_MAX)

    @classmethod
    async def open(cls, database: Database) -> "UserStore":
        """Read all users and tokens."""
        rows = await database.read(
            lambda connection: connection.execute("SELECT name, password, email, groups, roles FROM user").fetchall()
        )
        users = {
            name: _User(Person(name, email, tuple(orjson.loads(groups)), tuple(orjson.loads(roles))), password)
            for name, password, email, groups, roles in rows
        }
        kept = await database.read(
            lambda connection: connection.execute("SELECT digest, user, name FROM token").fetchall()
        )
        return cls(database, users, {digest: (user, name) for digest, user, name in kept})

    async def ensure_defaults(self, admin_password: str = "") -> dict[str, str]:
        """Make the default users where there is none at all; their generated passwords by name, to be told once.

        ``admin_password``, where it isn't empty, becomes the one of ``admin`` at every start, and isn't told.
        """
        told: dict[str, str] = {}
        if not self._users:
            for person in DEFAULT_USERS:
                if person.name == ADMIN and admin_password:
                    continue
                told[person.name] = generated_password()
                await self.put(person, told[person.name])
        if admin_password and await self.by_password(ADMIN, admin_password) is None:
            await self.put(await self.get(ADMIN) or DEFAULT_USERS[0], admin_password)
        return told

    async def get(self, name: str) -> Person | None:
        """The person of that name."""
        user = self._users.get(name)
        return None if user is None else user.person

    async def listed(self) -> Sequence[Person]:
        """All of them, by name."""
        return [self._users[name].person for name in sorted(self._users)]

    async def add(self, person: Person, password: str) -> None:
        """Create.

        Raises:
            UserError: there is one of that name already, or as :meth:`put`.
        """
        if person.name in self._users:
            raise UserError(f"There is a user {person.name} already.")
        await self.put(person, password)

    async def set(
        self,
        name: str,
        *,
        password: str | None = None,
        email: str | None = None,
        groups: Sequence[str] | None = None,
        roles: Sequence[str] | None = None,
    ) -> Person:
        """Change what is given; an empty ``email`` takes the address away.

        Raises:
            UserError: there is no such user, or as :meth:`put`.
        """
        before = await self.get(name)
        if before is None:
            raise UserError(f"There is no user {name}.")
        person = replace(
            before,
            email=before.email if email is None else email or None,
            groups=before.groups if groups is None else tuple(groups),
            roles=before.roles if roles is None else tuple(roles),
        )
        await self.put(person, password)
        return person

    async def put(self, person: Person, password: str | None) -> None:
        """Create or change; a password of None stays as it is (a new person needs one).

        Raises:
            UserError: a name, role or password that can't be, or too many users.
        """
        _check(person)
        kept = None if password is None else await self._derived(password)
        async with self._changing:
            before = self._users.get(person.name)
            if kept is None and before is None:
                raise UserError("A new user needs a password.")
            if before is None and len(self._users) >= USERS_MAX:
                raise UserError(f"There can be {USERS_MAX} users.")
            user = _User(person, kept if kept is not None or before is None else before.password)  # type: ignore[arg-type]
            row = (
                person.name, user.password, person.email,
                orjson.dumps(person.groups).decode(), orjson.dumps(person.roles).decode(),
            )  # fmt: skip
            await self._write(
                "INSERT OR REPLACE INTO user (name, password, email, groups, roles) VALUES (?,?,?,?,?)", row
            )
            self._users[person.name] = user
            self._remembered.clear()

    async def remove(self, name: str) -> None:
        """Delete, with all tokens; no error where there is none."""
        async with self._changing:

            def work(transaction: Transaction) -> None:
                transaction.connection.execute("DELETE FROM user WHERE name = ?", (name,))
                transaction.connection.execute("DELETE FROM token WHERE user = ?", (name,))

            await self._database.write(work)
            self._users.pop(name, None)
            self._tokens = {digest: of for digest, of in self._tokens.items() if of[0] != name}
            self._remembered.clear()

    def remembered(self, name: str, password: str) -> Person | None:
        """The person, if that password was right lately and nobody has changed since."""
        digest, user = self._digest(name, password), self._users.get(name)
        if user is None or self._remembered.get(digest) != name:
            return None
        self._remembered.move_to_end(digest)
        return user.person

    async def by_password(self, name: str, password: str) -> Person | None:
        """The person, if that is their password; slow for a wrong one and the first time, by a thread of its own."""
        known = self.remembered(name, password)
        if known is not None:
            return known
        digest, user = self._digest(name, password), self._users.get(name)
        if len(password) > PASSWORD_CHARS_MAX:
            return None
        async with self._verifying:
            # For a name that doesn't exist it takes as long, so that nobody learns which names do.
            is_right = await asyncio.to_thread(is_password, password, user.password if user else _NOBODY)
        if not is_right or user is None or self._users.get(name) is not user:
            return None
        self._remembered[digest] = name
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return user.person

    async def by_token(self, token: str) -> Person | None:
        """The person whose personal token that is."""
        owner = self._tokens.get(digest_of(token))
        return None if owner is None else await self.get(owner[0])

    async def new_token(self, user: str, name: str) -> str:
        """A personal token, shown once; one of the same name is replaced.

        Raises:
            UserError: there is no such user, the name can't be, or they have too many.
        """
        if not name or len(name) > NAME_CHARS_MAX:
            raise UserError(f"A token's name has 1 to {NAME_CHARS_MAX} characters.")
        async with self._changing:
            if user not in self._users:
                raise UserError(f"There is no user {user}.")
            before = [digest for digest, owner in self._tokens.items() if owner == (user, name)]
            if not before and sum(owner[0] == user for owner in self._tokens.values()) >= TOKENS_A_USER_MAX:
                raise UserError(f"A user can have {TOKENS_A_USER_MAX} tokens.")
            token = generated_token()
            await self._write(
                "INSERT OR REPLACE INTO token (digest, user, name) VALUES (?,?,?)", (digest_of(token), user, name)
            )
            for digest in before:
                del self._tokens[digest]
            self._tokens[digest_of(token)] = (user, name)
        return token

    async def tokens(self, user: str) -> Sequence[str]:
        """Names of a user's tokens."""
        return sorted(name for owner, name in self._tokens.values() if owner == user)

    async def remove_token(self, user: str, name: str) -> bool:
        """False where there is none of that name."""
        async with self._changing:
            found = [digest for digest, owner in self._tokens.items() if owner == (user, name)]
            if found:
                await self._write("DELETE FROM token WHERE user = ? AND name = ?", (user, name))
                del self._tokens[found[0]]
        return bool(found)

    async def members(self, group: str) -> Sequence[Person]:
        """Who is in a group, by name; nobody where there is no such group."""
        return [person for person in await self.listed() if group in person.groups]

    async def groups(self) -> Sequence[str]:
        """All groups that have a member."""
        return sorted({group for user in self._users.values() for group in user.person.groups})

    async def search(self, text: str, *, kind: str, limit: int) -> Sequence[str]:
        """Names of users (``kind`` ``user``) or groups (``group``) that contain ``text`` in any case."""
        names = await self.groups() if kind == "group" else sorted(self._users)
        return [name for name in names if text.lower() in name.lower()][:limit]

    async def _derived(self, password: str) -> str:
        if not 1 <= len(password) <= PASSWORD_CHARS_MAX:
            raise UserError(f"A password has 1 to {PASSWORD_CHARS_MAX} characters.")
        async with self._verifying:
            return await asyncio.to_thread(hash_password, password)

    async def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        await self._database.write(lambda transaction: transaction.connection.execute(statement, values).rowcount)

    def _digest(self, name: str, password: str) -> bytes:
        text = f"{name}\0{password}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._secret, text, hashlib.sha256)


def _check(person: Person) -> None:
    names = (person.name, *person.groups)
    for name in names:
        if not 1 <= len(name) <= NAME_CHARS_MAX or name != name.strip() or not name.isprintable() or ":" in name:
            raise UserError(
                f"The name of a user or group has 1 to {NAME_CHARS_MAX} printable characters, no colon, and no space "
                "at its ends."
            )
    if person.name == ENGINE_NAME:
        raise UserError(f"{ENGINE_NAME} is the engine's own name.")
    unknown = sorted(set(person.roles) - set(ROLES))
    if unknown:
        raise UserError(f"There is no role {unknown[0]}; there are {', '.join(ROLES)}.")
    if len(person.groups) > GROUPS_A_USER_MAX:
        raise UserError(f"A user can be in {GROUPS_A_USER_MAX} groups.")
