"""Who signs in, for all that answers on the port; who guesses passwords is slowed down by refusal."""

import asyncio
import math
from collections import OrderedDict
from typing import Final, Protocol

from pipeline.core.clock import Clock
from pipeline.core.errors import BlocklineError
from pipeline.directory.port import Person
from pipeline.local.atlas.counting import LOGIN_FAILURES

FAILURES_MAX: Final = 10
WINDOW_S: Final = 60.0
"""So many wrong passwords for one name from one address within the window; then refusal until it has passed."""
KEPT_MAX: Final = 10_000
VERIFYING_MAX: Final = 2
"""Passwords verified at once; each costs a tenth of a second of one core."""


class Users(Protocol):
    """Who verifies."""

    def remembered(self, name: str, password: str) -> Person | None:
        """The person, if that password was right lately and nobody has changed since; quick."""
        ...

    async def by_password(self, name: str, password: str) -> Person | None:
        """The person, if that is their password; slow on purpose."""
        ...

    async def by_token(self, token: str) -> Person | None:
        """The person whose personal token that is."""
        ...


class TooManyGuessesError(BlocklineError):
    """The password isn't even looked at. ``wait_s``: whole seconds until it may be again, at least 1."""

    def __init__(self, wait_s: int) -> None:
        """The text goes to the caller as it is."""
        super().__init__(f"Too many wrong passwords; try again in {wait_s} seconds.")
        self.wait_s = wait_s


class Guard:
    """Remembers the failures of the last minute; of the oldest names first it forgets. Belongs to one event loop."""

    def __init__(self, users: Users, clock: Clock) -> None:
        """``clock``: only its monotonic time is read."""
        self._users = users
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], tuple[float, ...]] = OrderedDict()
        self._verifying = asyncio.Semaphore(VERIFYING_MAX)

    async def by_password(self, name: str, password: str, address: str) -> Person | None:
        """The person, if that is their password. One that was right lately is never refused for others' guesses.

        Raises:
            TooManyGuessesError: too many wrong ones for that name from that address lately.
        """
        person = self._users.remembered(name, password)
        if person is not None:
            return person
        self._refuse(name, address)
        async with self._verifying:
            # Others of the same name may have failed while this one waited, or the same password been right.
            person = self._users.remembered(name, password)
            if person is not None:
                return person
            self._refuse(name, address)
            person = await self._users.by_password(name, password)
            if person is None:
                self._note_failure(name, address)
        return person

    async def by_token(self, token: str) -> Person | None:
        """The person whose personal token that is. Nobody guesses 32 random bytes, so wrong ones lock nobody out."""
        person = await self._users.by_token(token)
        if person is None:
            LOGIN_FAILURES.inc()
        return person

    def _refuse(self, name: str, address: str) -> None:
        failures = self._recent(name, address)
        if len(failures) >= FAILURES_MAX:
            raise TooManyGuessesError(max(1, math.ceil(failures[0] + WINDOW_S - self._clock.monotonic_s())))

    def _note_failure(self, name: str, address: str) -> None:
        LOGIN_FAILURES.inc()
        self._failures[name, address] = (*self._recent(name, address), self._clock.monotonic_s())
        self._failures.move_to_end((name, address))
        while len(self._failures) > KEPT_MAX:
            self._failures.popitem(last=False)

    def _recent(self, name: str, address: str) -> tuple[float, ...]:
        since = self._clock.monotonic_s() - WINDOW_S
        return tuple(at for at in self._failures.get((name, address), ()) if at > since)
