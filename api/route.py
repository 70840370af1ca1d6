"""A route as a value: what is asked, who may, what comes back; OpenAPI is made of the same table."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.rights import Role
from api.services import Services
from pipeline.directory.port import Person
from pipeline.messages.canonical import encode

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read and checked; ``body`` and ``query`` are instances of what the route declares."""

    services: Services
    caller: Person
    request: Request
    body: Any = None
    query: Any = None

    def path(self, name: str) -> str:
        """A parameter of the path, decoded."""
        return str(self.request.path_params[name])


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path below ``/api/v1``.

    ``answers``: what a status means, and the model of its body where it has one. ``is_raw``: the handler reads the
    body itself. ``is_long``: it may take long on purpose (a stream, a wait).
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    role: Role | None = None
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answers: Mapping[int, type[BaseModel] | str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    is_raw: bool = False
    is_long: bool = False


def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(encode(body), status_code=status, media_type=JSON, headers=dict(headers or {}))


def empty() -> Response:
    """204."""
    return Response(status_code=204)
