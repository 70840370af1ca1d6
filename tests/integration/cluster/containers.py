"""The containers of the rendered manifest as processes of this machine: their commands, their environments, their
secrets; Atlas and the directory over HTTP, the API server of a cluster over TLS.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import httpx
import yaml

from cli.front import front
from cli.manifests import manifest_of
from pipeline.blocks.registry import Registry
from pipeline.directory.port import Person
from pipeline.local.atlas.build import build_atlas
from pipeline.local.atlas.database import Database
from pipeline.local.atlas.guard import Guard
from pipeline.local.atlas.scim import build_scim
from pipeline.local.atlas.users import UserStore
from pipeline.local.plane.flow import NO_METADATA, Datum, Lineage
from pipeline.local.plane.links import ServerEndedError
from pipeline.local.plane.manifest import Kind
from pipeline.local.plane.streams import MapStream, connect
from pipeline.process.clock import SystemClock
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from pipeline.store.pyatlan_client import load as load_models
from pipeline.topology.values import Values
from tests.contract.leases.api_server import NAMESPACE, ApiServer, serving
from tests.product import free_port
from tests.served import listening

KEY = "ab" * 32
TOKEN = "a-token-of-the-directory"
PASSWORD = "a-password-of-the-engine"
SERVES_WITHIN_S = 150.0
"""Sinks import pyatlan before they serve: 9 s of a core each, and others may want the cores."""
PEOPLE = (
    Person("engine", None, (), ("admin",)),
    Person("reader", None, (), ("admin",)),
    Person("ann", "ann@example.org", (), ("requester",)),
    Person("bo", "bo@example.org", ("stewards",), ("requester",)),
    Person("cy", "cy@example.org", ("stewards",), ("requester",)),
)
SECRETS = {
    "blockline-engine": {"BLOCKLINE_ENGINE_KEY": KEY},
    "blockline-atlas": {"BLOCKLINE_USER": "engine", "BLOCKLINE_PASSWORD": PASSWORD},
    "blockline-atlas-reader": {"BLOCKLINE_USER": "reader", "BLOCKLINE_PASSWORD": PASSWORD},
    "blockline-directory": {"BLOCKLINE_DIRECTORY_TOKEN": TOKEN},
    "blockline-mail": {},
    "blockline-kafka": {},
}
"""What docs/operators.md says that they hold."""


@dataclass
class Container:
    """One vertex' process; its output is in ``log``, and it is asked for its numbers on ``metrics_port``."""

    process: "subprocess.Popen[bytes]"
    sock: Path
    log: Path
    metrics_port: int

    def metrics(self) -> str:
        """What Prometheus is told."""
        answer = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics").raise_for_status()
        assert answer.headers["content-type"].startswith("text/plain")
        return answer.text

    async def link(self, kind: Kind) -> Any:
        """Connected, once it serves."""
        async with asyncio.timeout(SERVES_WITHIN_S):
            while True:
                assert self.process.poll() is None, self.log.read_text()
                if self.sock.exists():
                    channel = grpc.aio.insecure_channel(f"unix:{self.sock}")
                    try:
                        link = await connect(kind, channel)
                    except ServerEndedError:
                        await channel.close()
                    else:
                        await asyncio.sleep(0)  # its tasks begin before anybody closes it
                        return link
                await asyncio.sleep(0.05)

    async def end(self, sign: int) -> None:
        """Send it a signal, and wait for its end, while the cluster around it goes on."""
        self.process.send_signal(sign)
        await asyncio.to_thread(self.process.wait, 40)


@dataclass
class Cluster:
    """``pods`` counts the containers that were started."""

    vertices: Mapping[str, Any]
    config: Mapping[str, str]
    api: ApiServer
    pod: Mapping[str, str]
    store: AtlasEntityStore
    folder: Path
    pods: list[Container] = field(default_factory=list)

    def start(self, vertex: str, **more: str) -> Container:
        """A pod of that vertex: the container of the manifest, with the variables that a platform sets and ``more``."""
        spec = self.vertices[vertex]
        rendered = spec.get("udf") or spec.get("source", {}).get("udsource") or spec["sink"]["udsink"]
        container = rendered["container"]
        number = len(self.pods)
        folder = self.folder / str(number)
        folder.mkdir()
        environment = {**self.config, **self.pod} if "serviceAccountName" in spec else dict(self.config)
        for source in container["envFrom"]:
            if "secretRef" in source:
                environment |= SECRETS[source["secretRef"]["name"]]
        environment |= {each["name"]: each["value"] for each in container.get("env", ())}
        metrics_port = int(more.get("BLOCKLINE_METRICS_PORT", free_port()))
        environment |= {
            # Pods have addresses of their own; here all of them share one.
            "BLOCKLINE_METRICS_HOST": "127.0.0.1",
            "BLOCKLINE_METRICS_PORT": str(metrics_port),
            "NUMAFLOW_PIPELINE_NAME": "blockline",
            "NUMAFLOW_POD": f"blockline-{vertex}-{number}",
            "BLOCKLINE_SOCKET_DIR": str(folder),
            "BLOCKLINE_DATA": str(folder / "data"),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[3]),
            **more,
        }
        names = {"source": "source.sock", "udf": "map.sock", "sink": "sink.sock"}
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *container["command"][1:]], env=environment, stdout=output, stderr=output, cwd=folder
            )
        made = Container(process, folder / next(sock for key, sock in names.items() if key in spec), log, metrics_port)
        self.pods.append(made)
        return made

    def end(self) -> None:
        """Kill what is left."""
        for pod in self.pods:
            if pod.process.poll() is None:
                pod.process.kill()
                pod.process.wait()


@contextlib.asynccontextmanager
async def cluster(tmp_path: Path, *, shards: int = 1) -> AsyncIterator[Cluster]:
    load_models()  # not while the API server of this process is to answer
    database = Database(tmp_path / "atlas.sqlite3")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        users = await UserStore.open(database)
        for person in PEOPLE:
            await users.put(person, PASSWORD)
        guard = Guard(users, SystemClock())
        atlas = await build_atlas(database, users, "unused", SystemClock(), guard)
        app = front(atlas, atlas, build_scim(users, guard, TOKEN))
        host, port = await stack.enter_async_context(listening(app))
        api, account = ApiServer(), tmp_path / "account"
        account.mkdir()
        access = await stack.enter_async_context(serving(api, account))
        url = f"http://{host}:{port}"
        values = Values.model_validate(
            {
                "shards": shards,
                "namespace": NAMESPACE,
                "atlas": {"url": url},
                "directory": {"url": f"{url}/scim/v2"},
            }
        )
        documents = {
            each["kind"]: each for each in yaml.safe_load_all(manifest_of(Registry.load("udfs.runners"), values))
        }
        api_host, _, api_port = access.url.removeprefix("https://").rpartition(":")
        pod = {
            "KUBERNETES_SERVICE_HOST": api_host,
            "KUBERNETES_SERVICE_PORT": api_port,
            "BLOCKLINE_SERVICE_ACCOUNT_DIR": str(account),
        }
        store = AtlasEntityStore.over(AtlasAccess.basic(url, "engine", PASSWORD))
        stack.push_async_callback(store.aclose)
        # Sockets have short paths.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="blockline-")))
        vertices = {each["name"]: each for each in documents["Pipeline"]["spec"]["vertices"]}
        made = Cluster(vertices, documents["ConfigMap"]["data"], api, pod, store, folder)
        stack.callback(made.end)
        yield made


async def until(is_so: Callable[[], bool], timeout_s: float = SERVES_WITHIN_S) -> None:
    async with asyncio.timeout(timeout_s):
        while not is_so():  # noqa: ASYNC110  (what is awaited happens in another process)
            await asyncio.sleep(0.05)


def datum(payload: bytes) -> Datum:
    return Datum(payload, [], datetime.fromtimestamp(0, UTC), {}, NO_METADATA, Lineage(lambda: None))


async def answer(link: MapStream, payload: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The one message that a map makes of a payload, and its tags."""
    ((made, tags),) = await link.answer(datum(payload))
    return made.value, tags
