"""Lease records as Kubernetes keeps them: ``Lease`` of coordination.k8s.io/v1, by plain REST.

Facts of the API server that this rests on (read in its source, pkg/registry/coordination/lease):

* A PUT must carry ``resourceVersion`` and is 409 where that isn't the current one.
* A PUT of a name that isn't there makes the Lease, unless it carries the ``uid`` of the one that was read: 409 then.
* A list without a ``resourceVersion`` is answered from a quorum, so it sees every earlier write.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx

from pipeline.core.clock import Clock
from pipeline.core.errors import BlocklineError
from pipeline.core.limits import LEASE_S
from pipeline.messages.canonical import MalformedError, decode, encode
from pipeline.store.leases import LeaseConflictError, LeaseRecord, LeasesUnavailableError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where every pod finds its token, the cluster's certificate authority and its namespace."""
TIMEOUT_S: Final = 4.0
"""Of a whole request: less than the time between two renewals."""
LEASES_MAX: Final = 500
"""Records of one pipeline: one a shard, and what is left of a larger number of shards before."""
API_VERSION: Final = "coordination.k8s.io/v1"
SLOTS_ANNOTATION: Final = "blockline/slots"
PIPELINE_LABEL: Final = "blockline/pipeline"
_DENIED: Final = (
    "the service account may not use the leases of its namespace: apply the Role that the manifest brings, and run the "
    "sinks under its service account"
)


class NoClusterError(BlocklineError):
    """This process isn't in a pod of a cluster, or its service account isn't mounted."""


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """Where the API server is and who asks it. The token's file is read for each request: tokens are changed hourly."""

    url: str
    namespace: str
    token_file: Path
    ca_file: Path

    @classmethod
    def in_pod(cls, environment: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> "ClusterAccess":
        """As Kubernetes tells every pod.

        Raises:
            NoClusterError: it doesn't.
        """
        host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise NoClusterError("KUBERNETES_SERVICE_HOST isn't set, so there is no cluster to ask for a lease.")
        try:
            namespace = (folder / "namespace").read_text(encoding="ascii").strip()
        except OSError:
            raise NoClusterError("No service account is mounted into this pod; the sinks need one.") from None
        shown = f"[{host}]" if ":" in host else host
        return cls(f"https://{shown}:{port}", namespace, folder / "token", folder / "ca.crt")


class KubernetesLeaseRecords:
    """See :class:`pipeline.store.leases.LeaseRecords`; one ``Lease`` a record, told apart by pipeline with a label."""

    def __init__(self, access: ClusterAccess, pipeline: str, clock: Clock) -> None:
        """``pipeline``: its name in the cluster, which begins the names of its leases.

        Raises:
            NoClusterError: the cluster's certificate authority can't be read.
        """
        try:
            verify = ssl.create_default_context(cafile=str(access.ca_file))
        except OSError:  # ssl.SSLError too
            raise NoClusterError("The certificate authority of this cluster can't be read.") from None
        self._access = access
        self._pipeline = pipeline
        self._clock = clock
        self._leases = f"/apis/{API_VERSION}/namespaces/{access.namespace}/leases"
        self._http = httpx.AsyncClient(base_url=access.url, verify=verify, timeout=TIMEOUT_S, trust_env=False)

    async def list(self) -> Sequence[LeaseRecord]:
        """See :class:`~pipeline.store.leases.LeaseRecords`."""
        wanted = {"labelSelector": f"{PIPELINE_LABEL}={self._pipeline}", "limit": str(LEASES_MAX)}
        answer = await self._send("GET", self._leases, params=wanted)
        items = answer.get("items")
        if not isinstance(items, list):
            raise LeasesUnavailableError("the API server's answer isn't a list of leases")
        return [self._record(item) for item in items]

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """See :class:`~pipeline.store.leases.LeaseRecords`."""
        return self._record(await self._send("POST", self._leases, body=self._lease(record)))

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        """See :class:`~pipeline.store.leases.LeaseRecords`."""
        body = self._lease(record)
        return self._record(await self._send("PUT", f"{self._leases}/{body['metadata']['name']}", body=body))

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._http.aclose()

    def _lease(self, record: LeaseRecord) -> dict[str, Any]:
        """The times in it are for people: nobody's lease depends on them."""
        metadata: dict[str, Any] = {
            "name": f"{self._pipeline}-{record.name}",
            "labels": {"app.kubernetes.io/name": "blockline", PIPELINE_LABEL: self._pipeline},
            "annotations": {SLOTS_ANNOTATION: f"{record.first}-{record.last}"},
        }
        if record.version:
            metadata["uid"], _, metadata["resourceVersion"] = record.version.partition("/")
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        return {
            "apiVersion": API_VERSION,
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": record.holder,
                "leaseDurationSeconds": round(LEASE_S),
                "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }

    def _record(self, lease: Any) -> LeaseRecord:
        try:
            metadata = lease["metadata"]
            first, _, last = metadata["annotations"][SLOTS_ANNOTATION].partition("-")
            return LeaseRecord(
                name=metadata["name"].removeprefix(f"{self._pipeline}-"),
                holder=lease["spec"].get("holderIdentity") or "",
                first=int(first),
                last=int(last),
                version=f"{metadata['uid']}/{metadata['resourceVersion']}",
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise LeasesUnavailableError("a lease in the cluster isn't one of Blockline's: delete it") from None

    async def _send(
        self, method: str, path: str, *, params: dict[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        try:
            token = self._access.token_file.read_text(encoding="ascii").strip()
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            content = None if body is None else encode(body)
            response = await self._http.request(method, path, params=params, headers=headers, content=content)
        except OSError:
            raise LeasesUnavailableError("the token of the service account can't be read") from None
        except httpx.HTTPError as error:
            raise LeasesUnavailableError(f"the API server can't be reached ({type(error).__name__})") from None
        _check(response, is_write=method == "PUT")
        try:
            answer = decode(response.content)
        except MalformedError:
            answer = None
        if not isinstance(answer, dict):
            raise LeasesUnavailableError("the API server's answer isn't JSON")
        return answer


def _check(response: httpx.Response, *, is_write: bool) -> None:
    status = response.status_code
    if status == HTTPStatus.CONFLICT or (is_write and status == HTTPStatus.NOT_FOUND):
        raise LeaseConflictError("The lease has changed since it was read.")
    if status == HTTPStatus.UNAUTHORIZED:
        raise LeasesUnavailableError("the API server doesn't know the service account's token")
    if status == HTTPStatus.FORBIDDEN:
        raise LeasesUnavailableError(_DENIED)
    if not response.is_success:
        raise LeasesUnavailableError(f"the API server answered {status}")
