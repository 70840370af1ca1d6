"""Who is calling, who can be chosen, and the users of the embedded profile."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints
from starlette.responses import Response

from api import shapes
from api.bodies import Body
from api.paging import Page, offset_of, paged
from api.problems import ApiError, invalid, not_found
from api.rights import Role, has_role
from api.route import Call, Route, empty, reply
from pipeline.core.errors import Problem
from pipeline.directory.port import Person

PASSWORD_CHARS_MIN: Final = 8
PASSWORD_CHARS_MAX: Final = 200
ROLES_MAX: Final = 10
GROUPS_MAX: Final = 100
DIRECTORY_MAX: Final = 50
UserName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]*$")]
GroupName = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f/:\s][^\x00-\x1f\x7f/:]*$")
]
Email = Annotated[str, StringConstraints(max_length=254, pattern=r"^[^@\s\x00-\x1f<>,;:\"]+@[^@\s\x00-\x1f<>,;:\"]+$")]
Password = Annotated[str, StringConstraints(min_length=PASSWORD_CHARS_MIN, max_length=PASSWORD_CHARS_MAX)]


class UserBody(Body):
    """A user; at a change, what is left out stays."""

    name: UserName | None = None
    password: Password | None = None
    email: Email | None = None
    groups: list[GroupName] | None = Field(default=None, max_length=GROUPS_MAX)
    roles: list[Role] | None = Field(default=None, max_length=ROLES_MAX)


class TokenBody(Body):
    """A personal token is known by its name."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f/]+$")]


class Names(Body):
    """Query of the directory."""

    q: str = Field(default="", max_length=100)
    kind: Literal["user", "group"] = "user"


async def directory(call: Call) -> Response:
    """People or groups to choose from."""
    query: Names = call.query
    names = await call.services.directory.search(query.q, kind=query.kind, limit=DIRECTORY_MAX)
    items = [{"kind": query.kind, "name": name} for name in names]
    return reply({"items": items, "next_cursor": None})


async def me(call: Call) -> Response:
    """The caller."""
    return reply(_view(call.caller))


async def new_token(call: Call) -> Response:
    """A personal token, shown this once."""
    body: TokenBody = call.body
    token = await call.services.users.new_token(call.caller.name, body.name)
    return reply({"name": body.name, "token": token}, 201, {"Cache-Control": "no-store"})


async def remove_token(call: Call) -> Response:
    """A token that nobody may use any more."""
    if not await call.services.users.remove_token(call.caller.name, call.path("name")):
        raise not_found("token")
    return empty()


async def show_all(call: Call) -> Response:
    """All users, by name."""
    query: Page = call.query
    offset = offset_of(query.cursor)
    people = await call.services.users.listed()
    page, cursor = paged(list(people[offset : offset + query.limit + 1]), query.limit, offset)
    return reply({"items": [_view(person) for person in page], "next_cursor": cursor})


async def create(call: Call) -> Response:
    """A new user."""
    body: UserBody = call.body
    missing = [Problem(f"/{name}", "Request.Missing", f"`{name}` is missing.") for name in ("name", "password")
               if getattr(body, name) is None]  # fmt: skip
    if missing or body.name is None:
        raise invalid(missing)
    async with call.services.locks.hold("users"):
        if await call.services.users.get(body.name) is not None:
            raise ApiError("conflict", f"There is a user named {body.name} already.")
        roles = body.roles if body.roles is not None else [Role.REQUESTER]
        person = Person(body.name, body.email, tuple(body.groups or ()), tuple(roles))
        await call.services.users.put(person, body.password)
    return reply(_view(person), 201, {"Location": f"/api/v1/users/{person.name}"})


async def show(call: Call) -> Response:
    """One user."""
    return reply(_view(await _user(call)))


async def change(call: Call) -> Response:
    """Change what is given."""
    body: UserBody = call.body
    async with call.services.locks.hold("users"):
        person = await _user(call)
        if body.name not in {None, person.name}:
            raise invalid([Problem("/name", "Request.Invalid", "The name of a user can't be changed.")])
        changed = Person(
            person.name,
            body.email if "email" in body.model_fields_set else person.email,
            person.groups if body.groups is None else tuple(body.groups),
            person.roles if body.roles is None else tuple(body.roles),
        )
        if has_role(person, Role.ADMIN) and not has_role(changed, Role.ADMIN):
            await _require_another_admin(call, person)
        await call.services.users.put(changed, body.password)
    return reply(_view(changed))


async def remove(call: Call) -> Response:
    """Delete a user, with their tokens."""
    async with call.services.locks.hold("users"):
        person = await _user(call)
        if has_role(person, Role.ADMIN):
            await _require_another_admin(call, person)
        await call.services.users.remove(person.name)
    return empty()


async def _require_another_admin(call: Call, person: Person) -> None:
    people = await call.services.users.listed()
    if not any(has_role(other, Role.ADMIN) for other in people if other.name != person.name):
        raise ApiError("conflict", "This is the last administrator; make another one first.")


async def _user(call: Call) -> Person:
    person = await call.services.users.get(call.path("name"))
    if person is None:
        raise not_found("user")
    return person


def _view(person: Person) -> dict[str, Any]:
    return {
        "name": person.name,
        "email": person.email,
        "groups": list(person.groups),
        "roles": [str(role) for role in person.roles],
    }


ROUTES: Final = (
    Route("GET", "/directory", directory, "People and groups to choose from", "people", query=Names,
          answers={200: shapes.NameList}),
    Route("GET", "/me", me, "Who is calling", "people", answers={200: shapes.User}),
    Route("POST", "/me/tokens", new_token, "Make a personal token", "people", body=TokenBody,
          answers={201: shapes.Token}),
    Route("DELETE", "/me/tokens/{name}", remove_token, "Revoke a personal token", "people",
          answers={204: "revoked"}),
    Route("GET", "/users", show_all, "List users", "users", Role.ADMIN, query=Page, answers={200: shapes.UserList}),
    Route("POST", "/users", create, "Add a user", "users", Role.ADMIN, body=UserBody,
          answers={201: shapes.User, 409: "the name is taken"}),
    Route("GET", "/users/{name}", show, "Show a user", "users", Role.ADMIN, answers={200: shapes.User}),
    Route("PUT", "/users/{name}", change, "Change a user", "users", Role.ADMIN, body=UserBody,
          answers={200: shapes.User}),
    Route("DELETE", "/users/{name}", remove, "Remove a user", "users", Role.ADMIN,
          answers={204: "removed", 409: "the last administrator"}),
)  # fmt: skip
