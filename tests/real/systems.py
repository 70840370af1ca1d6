"""Kafka, Solr and Apache Atlas as processes: each started, stopped, killed and started again by itself.

Everything of one set of systems is in one folder, so another process can go on with it: the tests restart what the
command that started them stops in the end.
"""

import contextlib
import json  # noqa: TID251  (a note of this tool to itself)
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from tests.product import free_port
from tests.real import configuration
from tests.real.artifacts import Artifacts, RealError, fetch
from tests.real.configuration import PARTITIONS, PASSWORD, USER, Ports

FOLDER_VARIABLE: Final = "BLOCKLINE_TEST_REAL"
"""Names the folder of systems that run already."""
KAFKA: Final = "kafka"
SOLR: Final = "solr"
ATLAS: Final = "atlas"
PIECES: Final = (KAFKA, SOLR, ATLAS)
TOPIC: Final = "ATLAS_ENTITIES"
READY_S: Final = {KAFKA: 120.0, SOLR: 180.0, ATLAS: 420.0}
STOP_S: Final = 20.0
_POLL_S: Final = 0.2
_CHILDREN: Final["list[subprocess.Popen[bytes]]"] = []
"""What this process has started: kept, since Python warns of a child that is forgotten while it runs."""


@dataclass(frozen=True)
class RealSystems:
    """One set of them. All methods block, and may be called again."""

    folder: Path
    ports: Ports
    artifacts: Artifacts

    @classmethod
    def of(cls, folder: Path) -> "RealSystems":
        """Those of ``folder``; configured when it is new.

        Raises:
            RealError: what they are made of can't be had.
        """
        folder = folder.resolve()
        note = folder / "ports.json"
        artifacts = fetch()
        if not note.exists():
            folder.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(asdict(Ports(*(free_port() for _ in range(4))))))
        ports = Ports(**json.loads(note.read_text()))
        configuration.write(folder, ports, artifacts)
        return cls(folder, ports, artifacts)

    @property
    def kafka(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.ports.kafka}"

    @property
    def atlas(self) -> str:
        """Its address, without user and password."""
        return f"http://127.0.0.1:{self.ports.atlas}"

    def environment(self) -> dict[str, str]:
        """What the suites read."""
        return {
            FOLDER_VARIABLE: str(self.folder),
            "BLOCKLINE_TEST_KAFKA": self.kafka,
            "BLOCKLINE_TEST_ATLAS": f"http://{USER}:{PASSWORD}@127.0.0.1:{self.ports.atlas}",
        }

    def client(self) -> httpx.Client:
        """Of Atlas, as its administrator; keeps no cookie, since a session goes with a restart."""
        return httpx.Client(base_url=self.atlas, auth=(USER, PASSWORD), timeout=60)

    def start_all(self) -> None:
        """Start what doesn't run, and wait until all of it answers.

        Raises:
            RealError: one of them died or isn't ready in time; the end of its log says why.
        """
        for piece in (KAFKA, SOLR):
            self.spawn(piece)
        for piece in (KAFKA, SOLR):
            self.wait(piece)
        self._make_topics()
        self.start(ATLAS)

    def start(self, piece: str) -> None:
        """Start one and wait until it answers.

        Raises:
            RealError: as :meth:`start_all`.
        """
        self.spawn(piece)
        self.wait(piece)

    def spawn(self, piece: str) -> None:
        """Start one, without waiting."""
        if self.process(piece) is not None:
            return
        if piece == KAFKA:
            self._format()
        with self._log(piece).open("ab") as log:
            started = subprocess.Popen(
                self._command(piece),
                cwd=self.folder / piece,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _CHILDREN.append(started)
        self._pid_file(piece).write_text(f"{started.pid} {psutil.Process(started.pid).create_time()}")

    def wait(self, piece: str) -> None:
        """Until one answers; raises as :meth:`start_all`."""
        is_ready: Callable[[], bool] = {KAFKA: self._has_kafka, SOLR: self._has_solr, ATLAS: self.has_atlas}[piece]
        deadline = time.monotonic() + READY_S[piece]
        while not is_ready():
            if self.process(piece) is None:
                raise RealError(f"{piece} has ended:\n{self.tail(piece)}")
            if time.monotonic() > deadline:
                raise RealError(f"{piece} isn't ready after {READY_S[piece]:.0f} s:\n{self.tail(piece)}")
            time.sleep(_POLL_S)  # noqa: TID251  (polls with a deadline)

    def stop(self, piece: str, *, is_kill: bool = False) -> None:
        """Stop one, and wait until it is gone; ``is_kill``: as a power cut would, as is done to one that won't stop.

        Raises:
            RealError: it is there even after that.
        """
        for number in [signal.SIGKILL] if is_kill else [signal.SIGTERM, signal.SIGKILL]:
            process = self.process(piece)
            if process is None:
                break
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end at this very moment
                process.send_signal(signal.SIGCONT)
                process.send_signal(number)
            self._wait_gone(piece)
        if self.process(piece) is not None:
            raise RealError(f"{piece} doesn't end, not even killed.")
        self._pid_file(piece).unlink(missing_ok=True)

    def stop_all(self) -> None:
        """Stop what runs."""
        for piece in reversed(PIECES):
            self.stop(piece)

    def process(self, piece: str) -> psutil.Process | None:
        """The one that was started here, if it still runs; never somebody else's with its old number."""
        try:
            pid, created = self._pid_file(piece).read_text().split()
            process = psutil.Process(int(pid))
            is_it = abs(process.create_time() - float(created)) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        return process if is_it else None

    def tail(self, piece: str, characters: int = 3000) -> str:
        """The end of its output."""
        log = self._log(piece)
        return log.read_text(errors="replace")[-characters:] if log.exists() else ""

    def remove(self) -> None:
        """Stop all, and forget all data."""
        self.stop_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    def has_atlas(self) -> bool:
        """Whether Atlas answers."""
        try:
            with self.client() as client:
                return client.get("/api/atlas/admin/version", timeout=10).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def make_topic(self, name: str, partitions: int) -> None:
        """Make one; no error when it exists."""
        admin = self._admin()  # held until the answer: without it nobody would answer
        future = admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1)])[name]
        try:
            future.result(30)
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise

    def _wait_gone(self, piece: str) -> None:
        """Until it has ended or the time is up; what has ended but is still its parent's to collect counts as gone."""
        deadline = time.monotonic() + STOP_S
        while self.process(piece) is not None and time.monotonic() < deadline:
            time.sleep(_POLL_S)  # noqa: TID251  (polls with a deadline)

    def _make_topics(self) -> None:
        self.make_topic("ATLAS_HOOK", 1)
        self.make_topic(TOPIC, PARTITIONS)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.kafka, "log_level": 2})

    def _has_kafka(self) -> bool:
        try:
            return bool(self._admin().list_topics(timeout=5).brokers)
        except KafkaException:
            return False

    def _has_solr(self) -> bool:
        # Never a core itself: a request to a core that is still loading starts a second load, and breaks it.
        try:
            answer = httpx.get(
                f"http://127.0.0.1:{self.ports.solr}/solr/admin/cores", params={"action": "STATUS", "wt": "json"}
            )
            return answer.text.count('"instanceDir"') == len(configuration.CORES)
        except httpx.HTTPError:
            return False

    def _format(self) -> None:
        folder = self.folder / KAFKA
        if (folder / "data" / "meta.properties").exists():
            return
        ident = configuration.cluster_id(str(self.folder).encode())
        # In one word: every 64th begins with a dash.
        tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={ident}", "-c", str(folder / "server.properties"))
        done = subprocess.run(
            [self.artifacts.java, "-Xmx128m", "-cp", f"{self.artifacts.kafka}/*", *tool],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RealError(f"Kafka's data can't be made:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")

    def _command(self, piece: str) -> list[str]:
        folder, libraries = self.folder / piece, self.artifacts.atlas / "WEB-INF"
        logging = f"-Dlog4j.configuration=file:{self.folder}/atlas/conf/log4j.xml"
        small = ["-XX:+UseSerialGC", "-Djava.net.preferIPv4Stack=true"]
        java11 = str(self.artifacts.java11)
        if piece == KAFKA:
            return [
                *(self.artifacts.java, "-Xms256m", "-Xmx256m", *small),
                *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{self.artifacts.kafka}/*"),
                *("kafka.Kafka", str(folder / "server.properties")),
            ]
        if piece == SOLR:
            return [
                *(java11, "-Xms128m", "-Xmx512m", *small, "-Djetty.testMode=true"),
                *(f"-Dsolr.log.dir={folder}", logging, "-cp", f"{libraries}/lib/*"),
                *("org.eclipse.jetty.xml.XmlConfiguration", str(folder / "runner.xml")),
            ]
        places = {"home": folder, "conf": folder / "conf", "data": folder / "data", "log.dir": folder / "logs"}
        return [
            *(java11, "-Xms512m", "-Xmx1024m", *small, "-Djava.awt.headless=true"),
            *(f"-Datlas.{name}={place}" for name, place in places.items()),
            *("-Datlas.log.file=application.log", f"-Djava.io.tmpdir={folder}/data", logging),
            *("-cp", f"{folder}/conf:{libraries}/classes:{libraries}/lib/*"),
            *("org.apache.atlas.Atlas", "-app", str(self.artifacts.atlas), "-port", str(self.ports.atlas)),
        ]

    def _pid_file(self, piece: str) -> Path:
        return self.folder / f"{piece}.pid"

    def _log(self, piece: str) -> Path:
        return self.folder / f"{piece}.log"


def attached() -> RealSystems:
    """Those that run for the tests.

    Raises:
        RealError: there are none.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        raise RealError(
            "These tests need the real systems: `python -m tests.real run pytest …` starts them, and stops them after."
        )
    return RealSystems.of(Path(folder))
