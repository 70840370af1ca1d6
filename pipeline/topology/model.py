"""What a pipeline is made of, in Numaflow's words and without its YAML.

Every setting that isn't the platform's default carries its reason (``why``), which becomes a comment of the manifest.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a vertex is to the pipeline."""

    SOURCE = "source"
    MAP = "map"
    SINK = "sink"


class Operator(StrEnum):
    """How the values of a condition are compared with a message's tags.

    OR: at least one of the values is a tag; AND: all of them are; NOT: none of them is. A message without tags
    satisfies NOT only.
    """

    OR = "or"
    AND = "and"
    NOT = "not"


class OnFull(StrEnum):
    """What happens to a message for a full buffer."""

    RETRY = "retryUntilSuccess"
    DISCARD = "discardLatest"


class Access(StrEnum):
    """A secret that a container gets; least privilege is one secret each."""

    ENGINE = "engine"
    ATLAS = "atlas"
    READER = "atlas_reader"
    """An account of Atlas that reads."""
    DIRECTORY = "directory"
    KAFKA = "kafka"
    MAIL = "mail"
    PURGER = "atlas_purger"
    """An account of Atlas that may purge, which needs an administrator's."""


@dataclass(frozen=True, slots=True)
class Condition:
    """When a message takes an edge."""

    operator: Operator
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """How a vertex reads: messages a read, milliseconds it waits for a full one, messages in work, its buffer."""

    read_batch_size: int
    read_timeout_ms: int
    concurrency: int
    why: str
    buffer_max_length: int | None = None
    buffer_why: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """Replicas; the platform chooses between ``min`` and ``max`` by what is pending."""

    min: int
    max: int
    why: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Waits between the tries of a sink's message; it is tried for ever."""

    interval_ms: int
    factor: float
    cap_ms: int
    jitter: float
    why: str


@dataclass(frozen=True, slots=True)
class Container:
    """The process of a vertex: a Python module, its arguments, its environment and its secrets.

    ``has_secrets`` mounts the folder of those that templates name.
    """

    module: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    access: tuple[Access, ...] = ()
    has_secrets: bool = False


@dataclass(frozen=True, slots=True)
class Vertex:
    """One step of the pipeline. ``fallback`` and ``retry`` belong to sinks, ``read_ahead`` to sources; ``leases_why``
    to what leases its slots from the cluster, and runs under a service account for it.
    """

    name: str
    kind: Kind
    container: Container
    limits: Limits
    scale: Scale
    fallback: Container | None = None
    retry: Retry | None = None
    read_ahead_why: str | None = None
    leases_why: str | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """From one vertex to another, for the messages that satisfy ``condition``: no edge is without one."""

    from_vertex: str
    to_vertex: str
    condition: Condition
    why: str = ""
    on_full: OnFull = OnFull.RETRY


@dataclass(frozen=True, slots=True)
class RunnerBlock:
    """What the pipeline needs to know of an installed block of type ``type`` (upper-case letters and digits).

    ``concurrency`` is the number of attempts one replica makes at a time.
    """

    type: str
    replicas_min: int = 1
    replicas_max: int = 8
    concurrency: int = 64
    environment: tuple[tuple[str, str], ...] = ()
    access: tuple[Access, ...] = ()
    has_secrets: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """The whole pipeline; the order of its parts is the order in the manifest."""

    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...] = field(default=())
