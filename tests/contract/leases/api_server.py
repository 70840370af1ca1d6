"""The part of a Kubernetes API server that leases need, over TLS, with its rules and some of its bad days.

Rules (as in Kubernetes' own registry of leases): every write has a version that no other write has; a POST of a name
that is there is 409; a PUT needs the current ``resourceVersion`` (422 without any, 409 with another) and makes what
isn't there unless it carries a ``uid`` (409); ``leaseDurationSeconds`` is positive; times are MicroTime.
"""

import re
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from pipeline.messages.canonical import decode, encode
from pipeline.store.kubernetes import ClusterAccess
from tests.mail_server import Certificate
from tests.served import listening

PATH = re.compile(r"/apis/coordination\.k8s\.io/v1/namespaces/([a-z0-9-]+)/leases(?:/([a-z0-9-]+))?")
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
NAMESPACE = "workflows"


class ApiServer:
    """Change ``token`` and the like at any time; ``leases`` are the objects as they are kept, by name."""

    def __init__(self) -> None:
        self.leases: dict[str, dict[str, Any]] = {}
        self.token = "first-token"
        self.is_allowed = True
        self.requests: list[str] = []
        self.answers_lost = 0
        self.failing = 0
        self.before: Callable[[str], None] = lambda _: None
        self._version = 100

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        method = scope["method"]
        self.requests.append(method)
        self.before(method)
        status, answer = self._answer(method, scope["path"], headers, scope["query_string"].decode(), body)
        text = encode(answer)
        is_lost = self.answers_lost > 0
        self.answers_lost -= is_lost
        length = len(text) + (1 if is_lost else 0)  # a connection that ends before the answer does
        start = [(b"content-type", b"application/json"), (b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": text[:10] if is_lost else text})

    def _answer(
        self, method: str, path: str, headers: dict[str, str], query: str, body: bytes
    ) -> tuple[int, dict[str, Any]]:
        refusal = self._refusal(headers)
        match = PATH.fullmatch(path)
        if refusal is not None or match is None or match[1] != NAMESPACE:
            return refusal or status(404, "NotFound")
        name = match[2]
        if method == "GET":
            return self._read(name, query)
        lease = decode(body)
        problem = problem_of(lease, name)
        if problem:
            return status(422, problem)
        return self._create(lease) if name is None else self._replace(name, lease)

    def _refusal(self, headers: dict[str, str]) -> tuple[int, dict[str, Any]] | None:
        if self.failing > 0:
            self.failing -= 1
            return status(503, "ServiceUnavailable")
        if headers.get("authorization") != f"Bearer {self.token}":
            return status(401, "Unauthorized")
        return None if self.is_allowed else status(403, "Forbidden")

    def _read(self, name: str | None, query: str) -> tuple[int, dict[str, Any]]:
        if name is not None:
            return (200, self.leases[name]) if name in self.leases else status(404, "NotFound")
        label = re.search(r"labelSelector=([^&]*)", query)
        wanted = label[1].replace("%2F", "/").replace("%3D", "=") if label else ""
        items = [
            lease
            for lease in self.leases.values()
            if not wanted or wanted in {f"{key}={value}" for key, value in lease["metadata"].get("labels", {}).items()}
        ]
        return 200, {"apiVersion": "coordination.k8s.io/v1", "kind": "LeaseList", "metadata": {}, "items": items}

    def _create(self, lease: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = lease["metadata"]["name"]
        if name in self.leases:
            return status(409, "AlreadyExists")
        if lease["metadata"].get("resourceVersion"):
            return status(500, "resourceVersion should not be set on objects to be created")
        return 201, self._put(name, lease, f"uid-{self._version}")

    def _replace(self, name: str, lease: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        given, current = lease["metadata"], self.leases.get(name)
        if current is None:
            return (
                status(409, "Conflict") if given.get("uid") else (201, self._put(name, lease, f"uid-{self._version}"))
            )
        if not given.get("resourceVersion"):
            return status(422, "metadata.resourceVersion: must be specified for an update")
        if given["resourceVersion"] != current["metadata"]["resourceVersion"]:
            return status(409, "Conflict")
        if given.get("uid", current["metadata"]["uid"]) != current["metadata"]["uid"]:
            return status(409, "Conflict")
        return 200, self._put(name, lease, current["metadata"]["uid"])

    def _put(self, name: str, lease: dict[str, Any], uid: str) -> dict[str, Any]:
        self._version += 1
        kept = {**lease["metadata"], "uid": uid, "resourceVersion": str(self._version), "namespace": NAMESPACE}
        self.leases[name] = {**lease, "metadata": kept}
        return self.leases[name]


def problem_of(lease: dict[str, Any], name: str | None) -> str:
    if lease.get("apiVersion") != "coordination.k8s.io/v1" or lease.get("kind") != "Lease":
        return "the object isn't a Lease"
    if name is not None and lease["metadata"].get("name") != name:
        return "the name of the object does not match the name on the URL"
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", lease["metadata"].get("name", "")):
        return "metadata.name: a lowercase RFC 1123 subdomain"
    spec = lease["spec"]
    if spec.get("leaseDurationSeconds", 1) <= 0:
        return "spec.leaseDurationSeconds: must be greater than 0"
    if not MICRO_TIME.fullmatch(spec.get("renewTime", "2000-01-01T00:00:00.000000Z")):
        return "spec.renewTime: not a MicroTime"
    return ""


def status(code: int, reason: str) -> tuple[int, dict[str, Any]]:
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}


@asynccontextmanager
async def serving(api: ApiServer, folder: Path) -> Any:
    """Listens with a certificate of its own; yields how a pod would reach it."""
    certificate = Certificate.make(folder)
    # Answers that are cut short are meant, so nothing but what is critical is said.
    async with listening(api, log_level="critical", ssl_certfile=str(certificate.path)) as (host, port):
        (folder / "ca.crt").write_bytes(certificate.path.read_bytes())
        (folder / "token").write_text(api.token + "\n")
        (folder / "namespace").write_text(NAMESPACE)
        yield ClusterAccess.in_pod({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}, folder)
