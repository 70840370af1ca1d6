"""One machine put together: store, broker, data plane, API; started in order, stopped in the other."""

import asyncio
import contextlib
import logging
import secrets
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from prometheus_client import REGISTRY
from starlette.types import ASGIApp

from api.app import build_api
from api.auth import Authenticator
from api.catalog import InstalledCatalog
from api.hub import Hub
from api.ports import Metrics
from api.services import Services
from cli.adapters import AtlasAudit, KeptMails
from cli.atlas import ApacheAtlas, AtlasSide, EmbeddedAtlas
from cli.data_folder import DataFolder
from cli.front import front
from cli.gathered import Gathered
from cli.isolated import INSIDE, Surroundings, processes
from cli.manifests import RUNNERS, manifest_of
from cli.readiness import LOOK_S, SinkWatch
from cli.retention import Housekeeping, KnownArchive
from cli.topic import AtlasTopic, EmbeddedTopic, KafkaTopic, Topic
from cli.vertices import Parts, blocking_vertices, servers
from pipeline.blocks.registry import Registry
from pipeline.cdc.assigned import AssignedReader, TopicFollower
from pipeline.cdc.consumer import GroupReader
from pipeline.cdc.offsets import Position
from pipeline.core.clock import Clock
from pipeline.core.limits import STORE_WRITE_TIMEOUT_S
from pipeline.directory.embedded import EmbeddedDirectory
from pipeline.expressions.cel import CelEvaluator
from pipeline.local.atlas.counting import OUTBOX_PENDING
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.guard import Guard
from pipeline.local.atlas.outbox import Outbox
from pipeline.local.atlas.outbox_reader import OutboxFollower, OutboxReader
from pipeline.local.atlas.scim import build_scim
from pipeline.local.atlas.users import UserStore
from pipeline.local.plane.metrics import PlaneCollector
from pipeline.local.plane.plane import HostMaker, LocalPlane, direct, in_threads, over_sockets
from pipeline.machine.opened import OpenedRuns
from pipeline.mail.open import OpenedMail, open_mailer
from pipeline.mail.port import Via
from pipeline.messages.seal import Seal
from pipeline.process.settings import ServerSettings, archive_folder, secrets_folder, trace_settings
from pipeline.secrets.folder import FolderSecrets
from pipeline.store.file_lease import forget_holders
from pipeline.store.gathering import GatheringStore
from pipeline.telemetry.traces_open import open_tracing
from pipeline.topology.values import Values
from pipeline.web.open import open_web_client
from pipeline.web.port import WebClient
from sources.cdc.counting import PENDING as CDC_PENDING

SOCKET_FOLDER_CHARS_MAX: Final = 60
"""Unix sockets' paths have 107 bytes at most; the rest is for their names."""
RESTART_S: Final = 1.0
_TOKEN_BYTES: Final = 32
_LOG: Final = logging.getLogger("blockline.up")


class Machine:
    """Everything of one ``blockline up`` but its port. Start it once; belongs to one event loop."""

    def __init__(
        self,
        settings: ServerSettings,
        folder: DataFolder,
        clock: Clock,
        *,
        environment: Mapping[str, str],
        tell_passwords: Callable[[Mapping[str, str]], None],
    ) -> None:
        """``folder`` is held; ``environment`` is this process' own. ``tell_passwords`` says those of the users that a
        first start makes, by name: at once, since nobody can say them later, whatever becomes of the start.
        """
        self._environment = environment
        self._tell_passwords = tell_passwords
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self._stack = contextlib.AsyncExitStack()
        self._plane: LocalPlane | None = None
        self._topic = _topic_of(settings, clock)
        self._atlas: AtlasSide | None = None
        self._reader: AssignedReader | GroupReader | OutboxReader | None = None
        self._follower: TopicFollower | OutboxFollower | None = None
        self._sinks = SinkWatch()
        self._metrics: Metrics | None = None
        self._token = secrets.token_urlsafe(_TOKEN_BYTES)
        self.hub = Hub()
        self.has_outbox = False
        """Whether mails stay on this machine."""

    async def start(self, address: str, loaded: "Future[None] | None") -> ASGIApp:
        """Start all but the port; the app of API and embedded Atlas, that is to be served at ``address``. ``loaded`` is
        done when pyatlan is imported.

        Raises:
            BlocklineError: something can't be started; :meth:`stop` stops what was.
        """
        tracing = open_tracing(trace_settings(self._environment), self._clock, "blockline")
        if tracing.queue is not None:
            self._stack.push_async_callback(asyncio.to_thread, tracing.stop)
        seal = Seal(self._folder.engine_key())
        public_url = self._settings.public_url or address
        starting = asyncio.create_task(self._topic.start())
        self._stack.push_async_callback(self._topic.stop)
        self._stack.push_async_callback(_collect, starting)
        database = Database(self._folder.database)
        self._stack.push_async_callback(database.close)
        users = await UserStore.open(database)
        self._tell_passwords(await users.ensure_defaults(self._settings.admin_password))
        guard = Guard(users, self._clock)
        atlas = self._atlas = self._atlas_of(database, guard)
        await _both(starting, atlas.start())
        if atlas.outbox is not None:
            forget_holders(self._folder.path)
        store = atlas.store()
        self._stack.push_async_callback(store.aclose)
        audit = AtlasAudit(atlas.access, atlas.transport)
        self._stack.push_async_callback(audit.aclose)
        mail = open_mailer(self._settings.smtp_url, self._settings.mail_from, self._folder.mailbox)
        self._stack.callback(mail.mailbox.close)
        registry, evaluator = Registry.load(RUNNERS), CelEvaluator()
        opened = OpenedRuns(seal, evaluator)
        directory = EmbeddedDirectory(users)
        outbox = atlas.outbox
        reader = await self._read(outbox)
        parts = Parts(
            store=store,
            seal=seal,
            evaluator=evaluator,
            opened=opened,
            registry=registry,
            directory=directory,
            mailer=mail.mailer,
            web=self._web(),
            secrets=FolderSecrets(secrets_folder(self._settings)),
            reader=reader,
            on_done=self._on_done(outbox),
            clock=self._clock,
            folder=self._folder.path,
            settles_s=STORE_WRITE_TIMEOUT_S if self._settings.atlas else 0.0,
            shards=self._settings.shards,
            public_url=public_url,
            tracing=tracing,
        )
        await self._follow(database if isinstance(reader, OutboxReader) else None)
        if loaded is not None:
            await asyncio.wrap_future(loaded)
        await self._run_plane(parts, address)
        if outbox is not None:
            self._background(partial(self._relay, outbox), "outbox")
        self._background(self._look, "readiness")
        if self._settings.retention_days:
            self._background(Housekeeping(store, seal, audit, self._settings, self._clock).for_ever, "retention")
        services = Services(
            # Where each request is dear, those of the people travel together; in this process it would only cost.
            store=store if atlas.outbox is not None else GatheringStore(store),
            seal=seal,
            evaluator=evaluator,
            opened=opened,
            catalog=InstalledCatalog(registry, evaluator),
            users=users,
            directory=directory,
            authenticator=Authenticator(guard),
            hub=self.hub,
            clock=self._clock,
            audit=audit,
            ready=self.parts,
            new_id=_new_id,
            mails=self._kept(mail),
            archived=KnownArchive(archive_folder(self._settings)),
            metrics=self._metrics,
            traces=tracing.api(),
        )
        return front(build_api(services), atlas.app, build_scim(users, guard, self._token))

    async def parts(self) -> dict[str, bool]:
        """Which parts are ready, by name."""
        status = {} if self._plane is None else self._plane.status()
        is_reading = self._reader is not None and self._reader.is_alive
        return {
            "broker": self._topic.is_up,
            "follower": self._follower is not None and self._follower.is_alive,
            "plane": bool(status) and is_reading and all(vertex.is_up for vertex in status.values()),
            "sinks": self._sinks.is_moving(self._clock.monotonic_s()),
            "store": self._atlas is not None and await self._atlas.is_well(),
            "outbox": self._atlas is not None and (self._atlas.outbox is None or self._atlas.outbox.is_moving),
        }

    async def watch(self) -> None:
        """Until the plane can't go on.

        Raises:
            Exception: what ended it.
        """
        if self._plane is not None:
            await self._plane.watch()

    async def stop(self) -> None:
        """Stop everything, the last started first; may be called twice."""
        self.hub.close()
        await self._stack.aclose()

    async def _look(self) -> None:
        while True:
            if self._plane is not None:
                self._sinks.look(self._plane.status(), self._clock.monotonic_s())
            if self._reader is not None:
                CDC_PENDING.set(await self._reader.pending())
            if self._atlas is not None and self._atlas.outbox is not None:
                OUTBOX_PENDING.set(self._atlas.outbox.pending())
            await self._topic.look()
            await self._clock.sleep(LOOK_S)

    def _web(self) -> WebClient:
        settings = self._settings
        return open_web_client(
            settings.http_allow, settings.http_allow_plain, settings.http_authorities, settings.http_trace
        )

    def _kept(self, mail: OpenedMail) -> KeptMails | None:
        self.has_outbox = mail.via is Via.OUTBOX
        return KeptMails(mail.mailbox) if self.has_outbox else None

    def _atlas_of(self, database: Database, guard: Guard) -> AtlasSide:
        if self._settings.atlas:
            return ApacheAtlas(self._settings, self._clock)
        return EmbeddedAtlas(database, self._token, self._clock, guard)

    async def _relay(self, outbox: Outbox) -> None:
        await outbox.relay(self._topic.producer(keeps=not isinstance(self._reader, OutboxReader)))

    async def _read(self, outbox: Outbox | None) -> AssignedReader | GroupReader | OutboxReader:
        if outbox is not None:
            self._topic.on_restart(outbox.resend)
        self._topic.on_restart(self.hub.read_again)
        by_outbox = outbox if self._settings.events == "outbox" else None
        reader = self._reader = self._topic.reader() if by_outbox is None else OutboxReader(by_outbox)
        self._stack.push_async_callback(reader.close)
        await reader.start()
        await reader.started()
        return reader

    def _on_done(self, outbox: Outbox | None) -> Callable[[list[Position]], Awaitable[None]]:
        async def on_done(positions: list[Position]) -> None:
            if outbox is not None:
                outbox.ack(positions)
            self._topic.acked(positions)

        return on_done

    async def _follow(self, database: Database | None) -> None:
        """``database``: the events are told as they are committed there."""
        if database is not None:
            self._follower = OutboxFollower(database, self._clock, self.hub.publish)
            return
        follower = self._follower = self._topic.follower()
        self._stack.push_async_callback(follower.close)
        await follower.start()
        await follower.started()
        self._background(lambda: self._tell(follower), "follower")

    async def _tell(self, follower: TopicFollower) -> None:
        async for told in follower.notifications():
            self.hub.publish(told)

    async def _run_plane(self, parts: Parts, address: str) -> None:
        values = Values(shards=parts.shards)
        manifest = manifest_of(parts.registry, values)
        hosts = self._isolated(parts, manifest, values, address) if self._settings.is_isolated else self._hosts(parts)
        self._plane = LocalPlane(manifest, hosts, self._clock)
        self._stack.push_async_callback(self._plane.stop)
        await self._plane.start()
        self._stack.push_async_callback(_give_back, parts)
        collector = PlaneCollector(self._plane)
        REGISTRY.register(collector)
        self._stack.callback(REGISTRY.unregister, collector)

    def _hosts(self, parts: Parts) -> dict[str, HostMaker]:
        factories = servers(parts)
        threads = in_threads({name: factories[name] for name in blocking_vertices(parts.registry)})
        if self._settings.transport == "direct":
            return direct(factories) | threads
        return over_sockets(factories, self._run_dir()) | threads

    def _isolated(self, parts: Parts, manifest: str, values: Values, address: str) -> dict[str, HostMaker]:
        if self._atlas is None:
            raise RuntimeError("the Atlas wasn't started")
        surroundings = Surroundings(
            settings=self._settings,
            environment=self._environment,
            data=self._folder.path.absolute(),
            engine_key=self._folder.engine_key(),
            atlas=self._atlas.account(address),
            address=address,
            public_url=parts.public_url,
            token=self._token,
        )
        inside = direct({name: factory for name, factory in servers(parts).items() if name in INSIDE})
        outside, ports = processes(manifest, values, surroundings, self._run_dir(), self._clock)
        self._metrics = Gathered(ports).render
        return inside | outside

    def _run_dir(self) -> Path:
        run_dir = _socket_folder(self._folder.path)
        self._stack.callback(shutil.rmtree, run_dir, ignore_errors=True)
        return run_dir

    def _background(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Run it until the stop; begun anew when it fails (a full disk that has room again)."""

        async def supervise() -> None:
            while True:
                try:
                    await work()
                except Exception:  # noqa: BLE001  (logged, and begun anew)
                    _LOG.exception("%s failed and begins anew", name)
                await self._clock.sleep(RESTART_S)

        self._stack.push_async_callback(_collect, asyncio.create_task(supervise(), name=name))


async def _both(running: "asyncio.Task[None]", work: Coroutine[Any, Any, None]) -> None:
    """Until both are done, or one has failed: it raises, whatever the other one waits for."""
    other = asyncio.create_task(work)
    try:
        await asyncio.wait((running, other), return_when=asyncio.FIRST_EXCEPTION)
        for task in (running, other):
            if task.done():
                task.result()
    finally:
        await _collect(other)


async def _collect(task: "asyncio.Task[None]") -> None:
    """End it, and take note of how: what failed was raised already, or is nobody's business any more."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _give_back(parts: Parts) -> None:
    """The leases, once no write is under way: the next start needn't wait for what this one may have sent."""
    await asyncio.gather(*(sink.stop() for sink in parts.leased))


def _topic_of(settings: ServerSettings, clock: Clock) -> Topic:
    if settings.atlas:
        return AtlasTopic(settings.kafka, clock, settings.kafka_group, instance=f"{settings.kafka_group}-up")
    return KafkaTopic(settings.kafka, clock) if settings.kafka else EmbeddedTopic(clock)


def _socket_folder(data: Path) -> Path:
    """An empty folder of our own with a short path: in the data folder, else where temporary things are."""
    wanted = data.resolve() / "run"
    if len(str(wanted)) > SOCKET_FOLDER_CHARS_MAX:
        return Path(mkdtemp(prefix="blockline-"))
    shutil.rmtree(wanted, ignore_errors=True)
    wanted.mkdir(mode=0o700)
    return wanted


def _new_id() -> str:
    return secrets.token_hex(16)
