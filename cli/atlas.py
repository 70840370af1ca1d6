"""Which Atlas keeps everything: the embedded one, in this process, or a real one somewhere else."""

from email.utils import parsedate_to_datetime
from typing import Final, Protocol

import httpx
from starlette.types import ASGIApp

from cli.atlas_account import AtlasError, account
from cli.isolated import Account
from cli.readiness import STORE_S, is_store_well
from pipeline.core.clock import Clock
from pipeline.core.limits import STORE_WRITE_TIMEOUT_S
from pipeline.local.atlas.app import build_app
from pipeline.local.atlas.build import build_service
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.guard import Guard
from pipeline.local.atlas.outbox import Outbox
from pipeline.local.atlas.users import ENGINE_NAME
from pipeline.local.atlas.wire import ServiceWire
from pipeline.process.settings import ServerSettings
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from pipeline.store.pyatlan_client import LoadedLater
from pipeline.store.typedefs import register
from pipeline.store.wire import HttpWire

INSIDE: Final = "http://127.0.0.1"
"""Never connected to: requests of our own go to the app in this process (pyatlan wants an address it believes)."""
REGISTER_S: Final = 120.0
"""A real Atlas that is busy takes its time over new types; asked once, at the start."""
CLOCKS_APART_MAX_S: Final = 60.0
"""Far above the skew that the engine is built for, and the whole seconds that an answer tells."""
_VERSION: Final = "/api/atlas/admin/version"


class AtlasSide(Protocol):
    """The Atlas of one machine. Start it once, before anything else is asked."""

    access: AtlasAccess
    transport: httpx.AsyncBaseTransport | None
    """What sends; None: connections over the network."""
    app: ASGIApp | None
    """What answers for it on our own port, if it does."""
    outbox: Outbox | None
    """What sends its events, if that is our affair."""

    def account(self, address: str) -> Account:
        """The engine's, for other processes; ``address`` is our own port's."""
        ...

    def store(self) -> AtlasEntityStore:
        """The engine's store on it, once it is started; the caller closes it."""
        ...

    async def start(self) -> None:
        """Have the engine's types in it.

        Raises:
            BlocklineError: it can't be reached, refuses us, or has types that don't fit.
        """
        ...

    async def is_well(self) -> bool:
        """Whether it reads and writes, as far as a look tells."""
        ...


class EmbeddedAtlas:
    """See :class:`AtlasSide`: the one in this process."""

    def __init__(self, database: Database, token: str, clock: Clock, guard: Guard) -> None:
        """``token`` is the engine's own; the caller closes the database."""
        self._database = database
        self._clock = clock
        self._login = (token, guard)
        self.access = AtlasAccess.bearer(INSIDE, token)
        self.transport: httpx.AsyncBaseTransport | None = None
        self.app: ASGIApp | None = None
        self.outbox: Outbox | None = Outbox(database, clock)
        self._wire: ServiceWire | None = None

    def account(self, address: str) -> Account:
        """See :class:`AtlasSide`."""
        token, _ = self._login
        return Account(address, ENGINE_NAME, token)

    async def start(self) -> None:
        """See :class:`AtlasSide`."""
        token, guard = self._login
        service = await build_service(self._database, self._clock)
        self.app = build_app(service, guard, token)
        self.transport = httpx.ASGITransport(self.app)
        over_http = HttpWire(self.access, self.transport, timeout_s=STORE_WRITE_TIMEOUT_S)
        self._wire = ServiceWire(service, over_http)

    def store(self) -> AtlasEntityStore:
        """See :class:`AtlasSide`; nothing of the hot path goes over HTTP."""
        if self._wire is None:
            raise RuntimeError("the Atlas wasn't started")
        return AtlasEntityStore(self._wire, LoadedLater())

    async def is_well(self) -> bool:
        """See :class:`AtlasSide`."""
        return await is_store_well(self._database)


class ApacheAtlas:
    """See :class:`AtlasSide`: a real one, which sends its events to its own Kafka."""

    transport: httpx.AsyncBaseTransport | None = None
    app: ASGIApp | None = None
    outbox: Outbox | None = None

    def __init__(self, settings: ServerSettings, clock: Clock) -> None:
        """Nothing is connected to.

        Raises:
            AtlasError: the address isn't one, or there is no account to sign in with.
        """
        self._clock = clock
        self._url, user, password = account(settings)
        self._account = Account(self._url, user, password)
        self._login = httpx.BasicAuth(user, password)
        self.access = AtlasAccess.basic(self._url, user, password)

    def account(self, address: str) -> Account:
        """See :class:`AtlasSide`; the same from everywhere."""
        del address
        return self._account

    async def start(self) -> None:
        """See :class:`AtlasSide`."""
        async with self._client(REGISTER_S) as client:
            await register(client)
            _same_time(await client.get(_VERSION), self._clock.now_ms() / 1000)

    def store(self) -> AtlasEntityStore:
        """See :class:`AtlasSide`."""
        return AtlasEntityStore.over(self.access)

    async def is_well(self) -> bool:
        """See :class:`AtlasSide`; asks for its version, which needs the account to be right."""
        try:
            async with self._client(STORE_S) as client:
                return (await client.get(_VERSION)).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _client(self, timeout_s: float) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._url, auth=self._login, timeout=timeout_s)


def _same_time(answer: httpx.Response, now_s: float) -> None:
    """Deadlines and leases are told by both clocks.

    Raises:
        AtlasError: they are far apart.
    """
    try:
        ahead_s = parsedate_to_datetime(answer.headers["date"]).timestamp() - now_s
    except (KeyError, ValueError):
        return  # nothing to go by: Jetty always says it
    if abs(ahead_s) > CLOCKS_APART_MAX_S:
        way = "ahead of" if ahead_s > 0 else "behind"
        raise AtlasError(f"Atlas' clock is {abs(ahead_s):.0f} s {way} this machine's: set both by NTP.")


def refuse_unusable(settings: ServerSettings) -> None:
    """What can be said about ``--atlas`` before anything is started.

    Raises:
        AtlasError: it can't be used as asked.
    """
    if not settings.atlas:
        return
    account(settings)
    if not settings.kafka:
        raise AtlasError("--atlas needs --kafka HOST:PORT: the Kafka that this Atlas sends its events to.")
