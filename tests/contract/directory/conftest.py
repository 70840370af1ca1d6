"""The directories that the suite asks: our own users, the same over SCIM, and identity providers of several kinds."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from pipeline.directory.embedded import EmbeddedDirectory
from pipeline.directory.port import Directory, Person
from pipeline.directory.scim import ScimDirectory
from pipeline.directory.scim_http import ScimAccess
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.guard import Guard
from pipeline.local.atlas.scim import build_scim
from pipeline.local.atlas.users import UserStore
from pipeline.messages.canonical import encode
from pipeline.process.clock import SystemClock
from tests.contract.directory.provider import ENTRA, KEYCLOAK, OKTA, TOKEN, Provider, Style
from tests.contract.stories import teller
from tests.served import listening

ODD = 'ann/é "b" 100%41 \\ü&c=d'
CROWD = 130
PEOPLE = (
    Person("ada", "ada@example.org", (), ("admin",)),
    Person("sam", "sam@example.org", ("stewards",), ("requester",)),
    Person("samuel", "samuel@example.org", ("legal & risk", "stewards"), ("requester", "author")),
    Person("tess", None, ("stewards",), ()),
    Person(ODD, "odd@example.org", ("legal & risk",), ("requester",)),
)
STYLES: dict[str, Style] = {"okta": OKTA, "entra": ENTRA, "keycloak": KEYCLOAK}


@dataclass
class World:
    """``change`` replaces somebody."""

    directory: Directory
    change: Callable[[Person], Awaitable[None]]
    finds_inside: bool
    """Whether a search finds what doesn't begin with the text."""


Story = Callable[[World], Awaitable[None]]


def crowd() -> list[Person]:
    return [Person(f"c{number:03}", f"c{number:03}@example.org", ("crowd",)) for number in range(CROWD)]


@contextlib.asynccontextmanager
async def embedded_users(folder: Path, *more: Person) -> AsyncIterator[UserStore]:
    """Written as they stand on the disk: a password would take 50 ms each."""
    database = Database(folder / "atlas.sqlite3")
    rows = [
        (person.name, "-", person.email, encode(person.groups).decode(), encode(person.roles).decode())
        for person in [*PEOPLE, *crowd(), *more]
    ]
    statement = "INSERT INTO user (name, password, email, groups, roles) VALUES (?,?,?,?,?)"
    try:
        await database.write(lambda transaction: transaction.connection.executemany(statement, rows).rowcount)
        yield await UserStore.open(database)
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def scim_at(app: ASGIApp, token: str, path: str) -> AsyncIterator[ScimDirectory]:
    async with listening(app) as (host, port):
        directory = ScimDirectory(ScimAccess.of(f"http://{host}:{port}{path}", token))
        try:
            yield directory
        finally:
            await directory.aclose()


@contextlib.asynccontextmanager
async def world_of(kind: str, folder: Path) -> AsyncIterator[World]:
    if kind in STYLES:
        provider = Provider(STYLES[kind], [*PEOPLE, *crowd()])

        async def change(person: Person) -> None:
            provider.people = [each for each in provider.people if each.name != person.name] + [person]

        async with scim_at(provider, TOKEN, "/scim") as directory:
            yield World(directory, change, finds_inside=False)
        return
    async with embedded_users(folder) as users:

        async def put(person: Person) -> None:
            await users.put(person, None)

        if kind == "embedded":
            yield World(EmbeddedDirectory(users), put, finds_inside=True)
            return
        app = build_scim(users, Guard(users, SystemClock()), TOKEN)
        async with scim_at(app, TOKEN, "/scim/v2") as directory:
            yield World(directory, put, finds_inside=True)


@pytest.fixture(params=["embedded", "scim", *STYLES])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    """Runs a test's story against a directory of a kind."""

    return teller(lambda: world_of(request.param, tmp_path))
