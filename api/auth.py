"""Who is calling: Basic with a password, Bearer with a personal token; wrong ones are slowed down by refusal."""

import base64
import binascii
from typing import Final

from starlette.requests import Request

from api.problems import ApiError
from pipeline.directory.port import Person
from pipeline.local.atlas.guard import Guard, TooManyGuessesError

CREDENTIALS_CHARS_MAX: Final = 4_096
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="Blockline", charset="UTF-8"'}


class Authenticator:
    """Reads what a request says of its sender; the guard verifies it."""

    def __init__(self, guard: Guard) -> None:
        """``guard``: the one of all that answers on the same port."""
        self._guard = guard

    async def caller(self, request: Request) -> Person:
        """The person who asks.

        Raises:
            ApiError: 401 without or with wrong credentials, 429 after too many wrong ones.
        """
        header = request.headers.get("authorization", "")
        scheme, _, credentials = header.partition(" ")
        if not credentials or len(credentials) > CREDENTIALS_CHARS_MAX or scheme.lower() not in {"basic", "bearer"}:
            raise ApiError("unauthorized", "Sign in with a user name and a password.", headers=_CHALLENGE)
        if scheme.lower() == "bearer":
            person = await self._guard.by_token(credentials)
        else:
            person = await self._by_password(request, *_basic(credentials))
        if person is None:
            raise ApiError("unauthorized", "The user name or the password is wrong.", headers=_CHALLENGE)
        return person

    async def _by_password(self, request: Request, name: str, password: str) -> Person | None:
        address = request.client.host if request.client else ""
        try:
            return await self._guard.by_password(name, password, address)
        except TooManyGuessesError as error:
            headers = {"Retry-After": str(error.wait_s)}
            raise ApiError("too-many-requests", str(error), headers=headers) from None


def _basic(credentials: str) -> tuple[str, str]:
    try:
        name, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        name, colon, password = "", "", ""
    if not colon:
        raise ApiError("unauthorized", "The credentials can't be read.", headers=_CHALLENGE)
    return name, password
