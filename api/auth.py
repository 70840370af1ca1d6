"""Who is calling: Basic with a password, Bearer with a personal token; wrong ones are slowed down by refusal."""

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from typing import Final

from starlette.requests import Request

from api.ports import Users
from api.problems import ApiError
from pipeline.core.clock import Clock
from pipeline.directory.port import Person
from pipeline.process.metrics import API_LOGIN_FAILURES

REMEMBERED_S: Final = 30.0
"""A password that was right is believed this long (changes made through this API count at once)."""
REMEMBERED_MAX: Final = 2_000
FAILURES_MAX: Final = 10
FAILURES_WINDOW_S: Final = 60.0
"""So many wrong passwords for one name from one address within the window; then 429 until it has passed."""
FAILURES_KEPT_MAX: Final = 10_000
VERIFYING_MAX: Final = 2
"""Passwords verified at once; each costs a tenth of a second of one core."""
CREDENTIALS_CHARS_MAX: Final = 4_096
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="Blockline", charset="UTF-8"'}


class Authenticator:
    """Remembers who signed in lately, and who failed to."""

    def __init__(self, users: Users, clock: Clock, secret: bytes) -> None:
        """``secret`` (any length) keys the digests by which right passwords are remembered."""
        self._users = users
        self._clock = clock
        self._secret = secret
        self._remembered: OrderedDict[bytes, tuple[Person, float]] = OrderedDict()
        self._failures: OrderedDict[tuple[str, str], list[float]] = OrderedDict()
        self._verifying = asyncio.Semaphore(VERIFYING_MAX)

    async def caller(self, request: Request) -> Person:
        """The person who asks.

        Raises:
            ApiError: 401 without or with wrong credentials, 429 after too many wrong ones.
        """
        header = request.headers.get("authorization", "")
        scheme, _, credentials = header.partition(" ")
        if not credentials or len(credentials) > CREDENTIALS_CHARS_MAX or scheme.lower() not in {"basic", "bearer"}:
            raise ApiError("unauthorized", "Sign in with a user name and a password.", headers=_CHALLENGE)
        digest = hmac.digest(self._secret, header.encode("utf-8", "surrogateescape"), hashlib.sha256)
        known = self._remembered.get(digest)
        if known is not None and known[1] > self._clock.monotonic_s():
            return known[0]
        address = request.client.host if request.client else ""
        person = await self._verify(scheme.lower(), credentials, address)
        self._remembered[digest] = (person, self._clock.monotonic_s() + REMEMBERED_S)
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return person

    def forget(self) -> None:
        """Users have changed: everyone is verified again."""
        self._remembered.clear()

    async def _verify(self, scheme: str, credentials: str, address: str) -> Person:
        name, password = _basic(credentials) if scheme == "basic" else ("", credentials)
        self._refuse_guessers(name, address)
        if scheme == "bearer":
            person = await self._users.by_token(credentials)
        else:
            async with self._verifying:
                self._refuse_guessers(name, address)
                person = await self._users.by_password(name, password)
        if person is None:
            self._note_failure(name, address)
            raise ApiError("unauthorized", "The user name or the password is wrong.", headers=_CHALLENGE)
        return person

    def _refuse_guessers(self, name: str, address: str) -> None:
        now = self._clock.monotonic_s()
        failures = [at for at in self._failures.get((name, address), ()) if at > now - FAILURES_WINDOW_S]
        if len(failures) >= FAILURES_MAX:
            wait_s = int(failures[0] + FAILURES_WINDOW_S - now) + 1
            raise ApiError(
                "too-many-requests",
                f"Too many wrong passwords; try again in {wait_s} seconds.",
                headers={"Retry-After": str(wait_s)},
            )

    def _note_failure(self, name: str, address: str) -> None:
        API_LOGIN_FAILURES.inc()
        now = self._clock.monotonic_s()
        kept = [at for at in self._failures.get((name, address), ()) if at > now - FAILURES_WINDOW_S]
        self._failures[name, address] = [*kept, now]
        self._failures.move_to_end((name, address))
        while len(self._failures) > FAILURES_KEPT_MAX:
            self._failures.popitem(last=False)


def _basic(credentials: str) -> tuple[str, str]:
    try:
        name, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        name, colon, password = "", "", ""
    if not colon:
        raise ApiError("unauthorized", "The credentials can't be read.", headers=_CHALLENGE)
    return name, password
