"""What differs from cluster to cluster, read from a YAML file; everything else is the topology's."""

from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.core.errors import BlocklineError
from pipeline.core.limits import RETENTION_DAYS_DEFAULT, RETENTION_DAYS_MAX, SLOTS

DnsName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


class ValuesError(BlocklineError):
    """The file of values isn't what it should be."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BufferValues(_Part):
    """The JetStream that carries the edges."""

    name: DnsName = "blockline"
    replicas: int = Field(default=3, ge=1)
    version: str = "2.10.17"
    volume_size: str = "20Gi"
    storage_class: str | None = None


class KafkaValues(_Part):
    """Where Atlas' events come from."""

    address: str = "kafka:9092"
    topic: str = "ATLAS_ENTITIES"
    group: str = "blockline"


class AtlasValues(_Part):
    """Where runs are kept."""

    url: str = "http://atlas:21000"


class MailValues(_Part):
    """Who mails come from, and the address people reach the API under, for links in them."""

    sender: str = "blockline@localhost"
    public_url: str = "http://localhost:8080"


class DirectoryValues(_Part):
    """Whom to ask who people are: the address of a SCIM 2.0 service."""

    url: str = "http://blockline:8080/scim/v2"


class HttpValues(_Part):
    """What HTTP tasks may call inside, and without TLS; both as docs/settings.md has them."""

    allow: str = ""
    allow_plain: str = ""
    trace: str = ""
    """Who is told which trace a call belongs to."""


class TraceValues(_Part):
    """Where traces go, if anywhere. ``secret`` has the key ``BLOCKLINE_OTLP_HEADERS``."""

    endpoint: str = ""
    percent: int = Field(default=100, ge=0, le=100)
    secret: DnsName | None = None


class SecretValues(_Part):
    """Names of the secrets whose keys become environment variables; those of ``templates`` are files in a folder, which
    the vertices of blocks that take secrets see.
    """

    engine: DnsName = "blockline-engine"
    atlas: DnsName = "blockline-atlas"
    atlas_reader: DnsName = "blockline-atlas-reader"
    atlas_purger: DnsName = "blockline-atlas-purger"
    directory: DnsName = "blockline-directory"
    kafka: DnsName = "blockline-kafka"
    mail: DnsName = "blockline-mail"
    templates: DnsName = "blockline-secrets"


class MetricsValues(_Part):
    """Where each container answers Prometheus; the port after it is that of a sink's fallback, which shares its pod."""

    port: int = Field(default=9464, ge=1024, le=65_534)
    host: str = "0.0.0.0"  # noqa: S104  (of the pod: whoever scrapes comes from outside)


class RetentionValues(_Part):
    """When ended runs leave Atlas for the archive: those that ended ``days`` ago, looked for at ``schedule`` (UTC, five
    fields of cron). 0 days: never, and nothing of it is rendered. The archive is a volume, which ``blockline archive``
    reads wherever it is mounted; it is only ever added to.
    """

    days: int = Field(default=RETENTION_DAYS_DEFAULT, ge=0, le=RETENTION_DAYS_MAX)
    schedule: str = Field(default="17 3 * * *", pattern=r"^\S+( \S+){4}$")
    volume_size: str = "10Gi"
    storage_class: str | None = None


class ResourceValues(_Part):
    """What each container asks for, and the memory at which it is ended."""

    cpu: str = "50m"
    memory: str = "128Mi"
    memory_max: str = "512Mi"


class Values(_Part):
    """Settings of one cluster; all have a default. Unknown keys are refused."""

    name: DnsName = "blockline"
    namespace: DnsName = "blockline"
    image: str = "blockline:0.1.0"
    shards: int = Field(default=4, ge=1, le=SLOTS)
    buffer: BufferValues = BufferValues()
    kafka: KafkaValues = KafkaValues()
    atlas: AtlasValues = AtlasValues()
    mail: MailValues = MailValues()
    directory: DirectoryValues = DirectoryValues()
    http: HttpValues = HttpValues()
    secrets: SecretValues = SecretValues()
    metrics: MetricsValues = MetricsValues()
    traces: TraceValues = TraceValues()
    resources: ResourceValues = ResourceValues()
    retention: RetentionValues = RetentionValues()
    authorities: DnsName | None = None
    """A ConfigMap whose ``ca.crt`` holds the certificate authorities that are trusted beside the public ones."""


def parse_values(text: str) -> Values:
    """The values of a YAML text; an empty one gives the defaults.

    Raises:
        ValuesError: not YAML, or something in it is unknown or out of range.
    """
    try:
        return Values.model_validate(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        raise ValuesError(f"the values aren't YAML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValuesError(f"the values don't fit: {where + ': ' if where else ''}{first['msg']}") from None
