"""What the API asks of the rest, handed in by whoever starts it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.core.errors import Problem
from pipeline.directory.port import Person


@dataclass(frozen=True, slots=True)
class Checked:
    """What a validation of a spec found; ``normalised`` is there when ``errors`` is empty."""

    normalised: Mapping[str, Any] | None
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()


class Catalog(Protocol):
    """The installed blocks and the rules of the language; pure, may be slow (milliseconds)."""

    def check(self, spec: Any) -> Checked:
        """All findings about a spec as people wrote it; never raises."""
        ...

    def check_input(self, spec: Mapping[str, Any], value: Mapping[str, Any]) -> tuple[Problem, ...]:
        """What is wrong with an input for this normalised spec; pointers begin with ``/input``."""
        ...

    def palette(self) -> Sequence[Mapping[str, Any]]:
        """Each installed block as ``GET /blocks`` shows it (``type``, ``title``, …), sorted by type."""
        ...

    def run_defaults(self, spec: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
        """Lease, time-out and retriers of the types that a normalised spec uses, as a run's request keeps them."""
        ...


class Users(Protocol):
    """The users of the embedded profile. Names are unique; passwords never come back out."""

    async def listed(self) -> Sequence[Person]:
        """All of them, by name."""
        ...

    async def get(self, name: str) -> Person | None:
        """The person of that name."""
        ...

    async def put(self, person: Person, password: str | None) -> None:
        """Create or change; a password of None stays as it is (a new person needs one)."""
        ...

    async def remove(self, name: str) -> None:
        """Delete, with all tokens; no error where there is none."""
        ...

    async def new_token(self, user: str, name: str) -> str:
        """A personal token, shown once; one of the same name is replaced."""
        ...

    async def remove_token(self, user: str, name: str) -> bool:
        """False where there is none of that name."""
        ...


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail kept in the local outbox, newest first in lists; times are Unix ms."""

    at: int
    recipient: str
    subject: str
    text: str


class Mails(Protocol):
    """The local outbox of mails, where no server is configured."""

    async def kept(self, limit: int) -> Sequence[Mail]:
        """The newest mails first."""
        ...


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change that the store has recorded of an entity."""

    at: int
    by: str
    action: str


@dataclass(frozen=True, slots=True)
class ArchivedRun:
    """A run that has left the store for the archive: on which day (``YYYY-MM-DD``, UTC), and whose it was."""

    day: str
    requester: str


ArchivedRuns = Callable[[str], Awaitable[ArchivedRun | None]]
"""What the archive knows of the run of that guid."""
Audit = Callable[[str], Awaitable[Sequence[AuditEntry]]]
"""The store's own audit of the entity of that guid, oldest first."""
Metrics = Callable[[], Awaitable[bytes]]
"""The numbers for Prometheus, of all processes of this product."""
Readiness = Callable[[], Awaitable[Mapping[str, bool]]]
"""Which parts are ready, by name."""
