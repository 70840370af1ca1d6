"""The manifests of a topology: a ConfigMap of addresses, who may lease slots, retention, the buffer, the pipeline.

Deterministic: the same topology and values give the same bytes, which a golden file pins.
"""

from typing import Any, Final

from pipeline.core.errors import BlocklineError
from pipeline.topology.commented import Noted, write_yaml
from pipeline.topology.model import Access, Container, Edge, Kind, Limits, Retry, Topology, Vertex
from pipeline.topology.values import Values

API_VERSION: Final = "numaflow.numaproj.io/v1alpha1"
NAME_CHARS_MAX: Final = 63
"""Of the longest Kubernetes label; a vertex is known as ``<pipeline>-<vertex>``."""
_SUFFIX_CHARS: Final = len("-headless") + len("-daemon-svc")
_AUTHORITIES: Final = "authorities"
_AUTHORITIES_FOLDER: Final = "/etc/blockline/authorities"
_AUTHORITIES_FILE: Final = f"{_AUTHORITIES_FOLDER}/ca.crt"
_SECRETS: Final = "secrets"
_SECRETS_FOLDER: Final = "/var/run/blockline/secrets"
_ARCHIVE: Final = "archive"
_ARCHIVE_FOLDER: Final = "/var/lib/blockline/archive"
_RETENTION_DEADLINE_S: Final = 3600
"""How late a pass of retention may still begin."""
_HEAD: Final = "# Rendered by `blockline manifests render`: change the topology or the values, not this file.\n"


class NameTooLongError(BlocklineError):
    """The names of pipeline and vertex together exceed what Kubernetes allows."""


def render(topology: Topology, values: Values) -> str:
    """The manifests as one YAML text of several documents.

    Raises:
        NameTooLongError: the pipeline's name is too long for one of its vertices.
    """
    for vertex in topology.vertices:
        if len(values.name) + 1 + len(vertex.name) + _SUFFIX_CHARS > NAME_CHARS_MAX:
            raise NameTooLongError(f"the pipeline's name {values.name!r} is too long for its vertex {vertex.name!r}")
    documents = [
        _config_map(values),
        *_lease_rights(values),
        *_retention(values),
        _buffer_service(values),
        _pipeline(topology, values),
    ]
    return _HEAD + "---\n".join(write_yaml(document) for document in documents)


def _metadata(name: str, values: Values) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": values.namespace,
        "labels": {"app.kubernetes.io/name": "blockline", "app.kubernetes.io/managed-by": "blockline"},
    }


def _config_map(values: Values) -> dict[str, Any]:
    trusted = {
        "BLOCKLINE_DIRECTORY_AUTHORITIES": _AUTHORITIES_FILE,
        "BLOCKLINE_HTTP_AUTHORITIES": _AUTHORITIES_FILE,
        "BLOCKLINE_OTLP_AUTHORITIES": _AUTHORITIES_FILE,
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(values.name, values),
        "data": {
            "BLOCKLINE_ATLAS": values.atlas.url,
            "BLOCKLINE_KAFKA": values.kafka.address,
            "BLOCKLINE_KAFKA_TOPIC": values.kafka.topic,
            "BLOCKLINE_KAFKA_GROUP": values.kafka.group,
            "BLOCKLINE_MAIL_FROM": values.mail.sender,
            "BLOCKLINE_PUBLIC_URL": values.mail.public_url,
            "BLOCKLINE_DIRECTORY_URL": values.directory.url,
            "BLOCKLINE_HTTP_ALLOW": values.http.allow,
            "BLOCKLINE_HTTP_ALLOW_PLAIN": values.http.allow_plain,
            "BLOCKLINE_HTTP_TRACE": values.http.trace,
            "BLOCKLINE_OTLP_ENDPOINT": values.traces.endpoint,
            "BLOCKLINE_TRACE_PERCENT": str(values.traces.percent),
            "BLOCKLINE_METRICS_HOST": values.metrics.host,
            "BLOCKLINE_METRICS_PORT": str(values.metrics.port),
            **(trusted if values.authorities else {}),
        },
    }


def _lease_account(values: Values) -> str:
    return f"{values.name}-sinks"


def _lease_rights(values: Values) -> list[dict[str, Any]]:
    """A service account for the sinks, and what it may: leases of its own namespace, and nothing else."""
    account = _lease_account(values)
    metadata, group = _metadata(account, values), "rbac.authorization.k8s.io"
    rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list", "create", "update"]}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": values.namespace}],
        },
    ]


def _retention(values: Values) -> list[dict[str, Any]]:
    """The volume of the archive, and the job that moves ended runs into it; nothing where they are kept for ever."""
    if not values.retention.days:
        return []
    metadata = _metadata(f"{values.name}-{_ARCHIVE}", values)
    claim: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": values.retention.volume_size}},
    }
    if values.retention.storage_class:
        claim["storageClassName"] = values.retention.storage_class
    return [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim},
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": _metadata(f"{values.name}-retention", values),
            "spec": {
                "schedule": Noted(
                    values.retention.schedule, "Once a day is enough; what one pass leaves, the next takes."
                ),
                "timeZone": "Etc/UTC",
                "concurrencyPolicy": Noted("Forbid", "One process archives at a time; a second one would only say so."),
                "startingDeadlineSeconds": _RETENTION_DEADLINE_S,
                "successfulJobsHistoryLimit": 1,
                "failedJobsHistoryLimit": 3,
                "jobTemplate": {"spec": {"backoffLimit": 2, "template": {"spec": _retention_pod(values)}}},
            },
        },
    ]


def _retention_pod(values: Values) -> dict[str, Any]:
    environment = (("BLOCKLINE_RETENTION_DAYS", str(values.retention.days)), ("BLOCKLINE_ARCHIVE_DIR", _ARCHIVE_FOLDER))
    job = Container("cli", ("retention", "run"), environment, (Access.ENGINE, Access.PURGER))
    rendered = {"name": "retention", **_container(job, values)}
    del rendered["ports"]  # it has ended before anybody would ask it for its numbers
    mounts = [*rendered.get("volumeMounts", ()), {"name": _ARCHIVE, "mountPath": _ARCHIVE_FOLDER}]
    claim = {"name": _ARCHIVE, "persistentVolumeClaim": {"claimName": f"{values.name}-{_ARCHIVE}"}}
    return {
        "restartPolicy": Noted("Never", "A pass that was interrupted is finished by the next one, from its journal."),
        "automountServiceAccountToken": False,
        "containers": [{**rendered, "volumeMounts": mounts}],
        "volumes": [*_volumes(job, values), claim],
    }


def _buffer_service(values: Values) -> dict[str, Any]:
    persistence: dict[str, Any] = {"accessMode": "ReadWriteOnce", "volumeSize": values.buffer.volume_size}
    if values.buffer.storage_class:
        persistence["storageClassName"] = values.buffer.storage_class
    return {
        "apiVersion": API_VERSION,
        "kind": "InterStepBufferService",
        "metadata": _metadata(values.buffer.name, values),
        "spec": {
            "jetstream": {
                "version": values.buffer.version,
                "replicas": Noted(values.buffer.replicas, "Three keep a message when one of them is lost."),
                "persistence": Noted(persistence, "On file: what is on an edge outlives a restart of the buffer."),
            }
        },
    }


def _pipeline(topology: Topology, values: Values) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "Pipeline",
        "metadata": _metadata(values.name, values),
        "spec": {
            "interStepBufferServiceName": values.buffer.name,
            "watermark": Noted({"disabled": True}, "Nothing here is a window over event time."),
            "vertices": [_vertex(vertex, values) for vertex in topology.vertices],
            "edges": Noted(
                [_edge(edge) for edge in topology.edges],
                "Every edge has conditions: one without would get every message.",
            ),
        },
    }


def _vertex(vertex: Vertex, values: Values) -> dict[str, Any]:
    rendered: dict[str, Any] = {"name": vertex.name, "metadata": {"annotations": _scraped(values)}}
    container = {"container": _container(vertex.container, values)}
    match vertex.kind:
        case Kind.SOURCE:
            rendered["source"] = {"udsource": container}
        case Kind.MAP:
            rendered["udf"] = container
        case Kind.SINK:
            rendered["sink"] = _sink(vertex, container, values)
    if vertex.read_ahead_why:
        environment = [{"name": "NUMAFLOW_READ_AHEAD", "value": "true"}]
        rendered["containerTemplate"] = Noted({"env": environment}, vertex.read_ahead_why)
    if vertex.leases_why:
        rendered["serviceAccountName"] = Noted(_lease_account(values), vertex.leases_why)
    volumes = _volumes(vertex.container, values)
    if volumes:
        rendered["volumes"] = volumes
    rendered["limits"] = _limits(vertex.limits)
    rendered["scale"] = Noted({"min": vertex.scale.min, "max": vertex.scale.max}, vertex.scale.why)
    return rendered


def _scraped(values: Values) -> Noted:
    annotations = {"scrape": "true", "port": str(values.metrics.port), "path": "/metrics"}
    why = "Prometheus finds the vertex' own numbers by these; what Numaflow counts is on a port of its own."
    return Noted({f"prometheus.io/{name}": value for name, value in annotations.items()}, why)


def _volumes(container: Container, values: Values) -> list[Any]:
    volumes: list[Any] = []
    if container.has_secrets:
        why = "The secrets that templates may name, a file each; a new value counts at once."
        secret = {"secretName": values.secrets.templates, "optional": True}
        volumes.append({"name": _SECRETS, "secret": Noted(secret, why)})
    if values.authorities:
        volumes.append({"name": _AUTHORITIES, "configMap": {"name": values.authorities}})
    return volumes


def _sink(vertex: Vertex, container: dict[str, Any], values: Values) -> dict[str, Any]:
    sink: dict[str, Any] = {"udsink": container}
    if vertex.fallback:
        sink["fallback"] = Noted(
            {"udsink": {"container": _container(vertex.fallback, values, is_fallback=True)}},
            "Only what the sink itself proves to be unprocessable.",
        )
    if vertex.retry:
        sink["retryStrategy"] = _retry(vertex.retry)
    return sink


def _container(container: Container, values: Values, *, is_fallback: bool = False) -> dict[str, Any]:
    port = values.metrics.port + is_fallback
    rendered: dict[str, Any] = {
        "image": values.image,
        "command": ["python", "-m", container.module, *container.arguments],
        "envFrom": [
            {"configMapRef": {"name": values.name}},
            *({"secretRef": {"name": getattr(values.secrets, access)}} for access in container.access),
            *({"secretRef": {"name": secret}} for secret in (values.traces.secret,) if secret),
        ],
    }
    rendered["ports"] = [{"name": "metrics-letters" if is_fallback else "metrics", "containerPort": port}]
    environment = dict(container.environment)
    if is_fallback:
        environment["BLOCKLINE_METRICS_PORT"] = str(port)
    mounts = {_SECRETS: _SECRETS_FOLDER} if container.has_secrets else {}
    if container.has_secrets:
        environment["BLOCKLINE_SECRETS_DIR"] = _SECRETS_FOLDER
    if values.authorities:
        mounts[_AUTHORITIES] = _AUTHORITIES_FOLDER
    if mounts:
        rendered["volumeMounts"] = [
            {"name": name, "mountPath": folder, "readOnly": True} for name, folder in mounts.items()
        ]
    if environment:
        rendered["env"] = [{"name": name, "value": value} for name, value in environment.items()]
    rendered["resources"] = {
        "requests": {"cpu": values.resources.cpu, "memory": values.resources.memory},
        "limits": {"memory": values.resources.memory_max},
    }
    return rendered


def _limits(limits: Limits) -> Noted:
    rendered: dict[str, Any] = {
        "readBatchSize": limits.read_batch_size,
        "readTimeout": f"{limits.read_timeout_ms}ms",
        "concurrency": limits.concurrency,
    }
    if limits.buffer_max_length is not None:
        rendered["bufferMaxLength"] = Noted(limits.buffer_max_length, limits.buffer_why)
    return Noted(rendered, limits.why)


def _retry(retry: Retry) -> Noted:
    return Noted(
        {
            "backoff": {
                "interval": f"{retry.interval_ms}ms",
                "factor": retry.factor,
                "cap": f"{retry.cap_ms}ms",
                "jitter": retry.jitter,
            },
            "onFailure": "retry",
        },
        retry.why,
    )


def _edge(edge: Edge) -> dict[str, Any]:
    tags = {"operator": edge.condition.operator.value, "values": list(edge.condition.values)}
    rendered: dict[str, Any] = {
        "from": Noted(edge.from_vertex, edge.why),
        "to": edge.to_vertex,
        "conditions": {"tags": tags},
    }
    rendered["onFull"] = edge.on_full.value
    return rendered
