"""Reads the rendered manifest back into what the plane executes.

What a cluster alone cares about (images, resources, replicas, the buffer service) is skipped by name; anything else
that the plane doesn't do is refused, since a manifest that runs here with another meaning would be worse than none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pipeline.core.errors import BlocklineError

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_READ_AHEAD: Final = "NUMAFLOW_READ_AHEAD"


class Kind(StrEnum):
    """What a vertex is."""

    SOURCE = "source"
    MAP = "map"
    SINK = "sink"


class ManifestError(BlocklineError):
    """The manifest can't be executed here; says which part and why."""


def _seconds(text: Any) -> float:
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise ValueError("a duration looks like 5ms, 1s or 1m30s")
    return sum(float(number) * _UNITS_S[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))


Seconds = Annotated[float, BeforeValidator(_seconds)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Limits(_Part):
    read_batch_size: int | None = Field(None, alias="readBatchSize", ge=1)
    read_timeout_s: Seconds | None = Field(None, alias="readTimeout")
    concurrency: int | None = Field(None, ge=1)
    buffer_max_length: int | None = Field(None, alias="bufferMaxLength", ge=1)
    buffer_usage_limit: int | None = Field(None, alias="bufferUsageLimit", ge=1, le=100)


_NO_LIMITS: Final = _Limits.model_validate({})


class _UserDefined(_Part):
    container: dict[str, Any]


class _Source(_Part):
    udsource: _UserDefined


class _Backoff(_Part):
    interval_s: Seconds = Field(0.001, alias="interval")
    factor: float = Field(1.0, ge=1)
    cap_s: Seconds | None = Field(None, alias="cap")
    jitter: float = Field(0.0, ge=0, le=1)


_NO_BACKOFF: Final = _Backoff.model_validate({})


class _RetryStrategy(_Part):
    backoff: _Backoff = _NO_BACKOFF
    on_failure: Literal["retry"] = Field("retry", alias="onFailure")


class _Fallback(_Part):
    udsink: _UserDefined


class _Sink(_Part):
    udsink: _UserDefined
    fallback: _Fallback | None = None
    retry_strategy: _RetryStrategy = Field(_RetryStrategy.model_validate({}), alias="retryStrategy")


class _Variable(_Part):
    name: str
    value: str = ""


class _ContainerTemplate(_Part):
    env: tuple[_Variable, ...] = ()
    resources: dict[str, Any] = {}


class _Vertex(_Part):
    name: str
    source: _Source | None = None
    udf: _UserDefined | None = None
    sink: _Sink | None = None
    limits: _Limits = _NO_LIMITS
    partitions: Literal[1] = 1
    container_template: _ContainerTemplate = Field(_ContainerTemplate(), alias="containerTemplate")
    scale: dict[str, Any] = {}
    volumes: list[Any] = []
    service_account_name: str = Field("", alias="serviceAccountName")
    """Places and rights of a cluster; a process here has its settings instead."""
    metadata: dict[str, Any] = {}


class _Tags(_Part):
    operator: Literal["or", "and", "not"] = "or"
    values: tuple[str, ...]


class _Conditions(_Part):
    tags: _Tags


class _Edge(_Part):
    from_vertex: str = Field(alias="from")
    to_vertex: str = Field(alias="to")
    conditions: _Conditions | None = None
    on_full: Literal["retryUntilSuccess", "discardLatest"] = Field("retryUntilSuccess", alias="onFull")


class _Watermark(_Part):
    disabled: Literal[True]


class _Spec(_Part):
    buffer_service: str | None = Field(None, alias="interStepBufferServiceName")
    watermark: _Watermark
    limits: _Limits = _NO_LIMITS
    vertices: tuple[_Vertex, ...] = Field(min_length=1)
    edges: tuple[_Edge, ...] = ()


@dataclass(frozen=True, slots=True)
class BackoffPlan:
    """Waits between the tries of a sink's message, in seconds; tried for ever."""

    interval_s: float
    factor: float
    cap_s: float
    jitter: float


@dataclass(frozen=True, slots=True)
class VertexPlan:
    """One vertex as the plane runs it. ``buffer_messages_max`` is where its buffer counts as full."""

    name: str
    kind: Kind
    read_batch_size: int
    read_timeout_s: float
    concurrency: int
    buffer_messages_max: int
    is_reading_ahead: bool
    has_fallback: bool
    backoff: BackoffPlan


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """An edge; ``operator`` is None where it has no conditions and everything takes it."""

    from_vertex: str
    to_vertex: str
    operator: Literal["or", "and", "not"] | None
    values: frozenset[str]
    is_discarding: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What the plane executes; every edge's ends are vertices, no vertex is out of reach, and there is no cycle."""

    vertices: tuple[VertexPlan, ...]
    edges: tuple[EdgePlan, ...]


def read_plan(manifest: str) -> Plan:
    """The plan of a manifest of one or more YAML documents, one of them a Pipeline.

    Raises:
        ManifestError: there is no such document, or it asks for what the plane doesn't do.
    """
    spec = _spec(manifest)
    vertices = tuple(_vertex(vertex, spec.limits) for vertex in spec.vertices)
    edges = tuple(_edge(edge) for edge in spec.edges)
    _check({vertex.name: vertex for vertex in vertices}, len(vertices), edges)
    return Plan(vertices, edges)


def pipeline_of(manifest: str) -> Mapping[str, Any]:
    """The Pipeline among the manifest's documents, as it stands there.

    Raises:
        ManifestError: it isn't YAML, or holds none or several.
    """
    try:
        documents = [document for document in yaml.safe_load_all(manifest) if isinstance(document, Mapping)]
    except yaml.YAMLError as error:
        raise ManifestError(f"the manifest isn't YAML: {error}") from None
    pipelines = [document for document in documents if document.get("kind") == "Pipeline"]
    if len(pipelines) != 1:
        raise ManifestError(f"the manifest should hold one Pipeline, not {len(pipelines)}")
    return pipelines[0]


def _spec(manifest: str) -> _Spec:
    try:
        return _Spec.model_validate(pipeline_of(manifest).get("spec"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ManifestError(f"the local data plane doesn't do spec.{where}: {first['msg']}") from None


def _vertex(vertex: _Vertex, shared: _Limits) -> VertexPlan:
    kinds = [
        kind
        for kind, part in ((Kind.SOURCE, vertex.source), (Kind.MAP, vertex.udf), (Kind.SINK, vertex.sink))
        if part is not None
    ]
    if len(kinds) != 1:
        raise ManifestError(f"the vertex {vertex.name!r} should be one of source, udf and sink")
    batch = vertex.limits.read_batch_size or shared.read_batch_size or 500
    length = vertex.limits.buffer_max_length or shared.buffer_max_length or 30_000
    usage = vertex.limits.buffer_usage_limit or shared.buffer_usage_limit or 80
    retry = vertex.sink.retry_strategy.backoff if vertex.sink else _NO_BACKOFF
    read_ahead = [variable.value for variable in vertex.container_template.env if variable.name == _READ_AHEAD]
    return VertexPlan(
        name=vertex.name,
        kind=kinds[0],
        read_batch_size=batch,
        read_timeout_s=_first(vertex.limits.read_timeout_s, shared.read_timeout_s, 1.0),
        concurrency=vertex.limits.concurrency or shared.concurrency or batch,
        buffer_messages_max=max(1, length * usage // 100),
        is_reading_ahead=kinds[0] is not Kind.SOURCE or read_ahead == ["true"],
        has_fallback=vertex.sink is not None and vertex.sink.fallback is not None,
        backoff=BackoffPlan(retry.interval_s, retry.factor, _first(retry.cap_s, None, float("inf")), retry.jitter),
    )


def _first(own: float | None, shared: float | None, default: float) -> float:
    return own if own is not None else shared if shared is not None else default


def _edge(edge: _Edge) -> EdgePlan:
    tags = edge.conditions.tags if edge.conditions else None
    return EdgePlan(
        from_vertex=edge.from_vertex,
        to_vertex=edge.to_vertex,
        operator=tags.operator if tags and tags.values else None,
        values=frozenset(tags.values if tags else ()),
        is_discarding=edge.on_full == "discardLatest",
    )


def _check(vertices: Mapping[str, VertexPlan], count: int, edges: tuple[EdgePlan, ...]) -> None:
    if len(vertices) != count:
        raise ManifestError("two vertices have the same name")
    graph: dict[str, set[str]] = {name: set() for name in vertices}
    for edge in edges:
        for end in (edge.from_vertex, edge.to_vertex):
            if end not in vertices:
                raise ManifestError(f"an edge names the vertex {end!r}, which isn't there")
        if vertices[edge.to_vertex].kind is Kind.SOURCE or vertices[edge.from_vertex].kind is Kind.SINK:
            raise ManifestError(f"nothing goes from {edge.from_vertex!r} to {edge.to_vertex!r}: a source only gives")
        if edge.from_vertex in graph[edge.to_vertex]:
            raise ManifestError(f"there are two edges from {edge.from_vertex!r} to {edge.to_vertex!r}")
        graph[edge.to_vertex].add(edge.from_vertex)
    for name, origins in graph.items():
        if not origins and vertices[name].kind is not Kind.SOURCE:
            raise ManifestError(f"no edge leads to the vertex {name!r}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise ManifestError(f"a cycle of full buffers would never move again: {' - '.join(error.args[1])}") from None
