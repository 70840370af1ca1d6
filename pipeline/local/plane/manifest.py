"""Reads the rendered manifest back into what the plane executes.

Anything that the plane doesn't do is refused, since a manifest that runs here with another meaning would be worse than
none; the refusal names the vertex and the field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, Literal

import yaml
from pydantic import ValidationError

from pipeline.core.errors import BlocklineError
from pipeline.local.plane.manifest_model import NO_BACKOFF, Edge, Limits, Spec, Vertex

_READ_AHEAD: Final = "NUMAFLOW_READ_AHEAD"
_UNKNOWN_FIELD: Final = "there is no such field, or only a cluster carries it out"


class Kind(StrEnum):
    """What a vertex is."""

    SOURCE = "source"
    MAP = "map"
    SINK = "sink"


class ManifestError(BlocklineError):
    """The manifest can't be executed here; says which part and why."""


@dataclass(frozen=True, slots=True)
class BackoffPlan:
    """Waits between the tries of a sink's message, in seconds; tried for ever."""

    interval_s: float
    factor: float
    cap_s: float
    jitter: float


@dataclass(frozen=True, slots=True)
class RatePlan:
    """Messages a second of all replicas together: ``start`` at first, rising to ``most`` within ``rise_s``."""

    start: int
    most: int
    rise_s: float


@dataclass(frozen=True, slots=True)
class VertexPlan:
    """One vertex as the plane runs it. ``buffer_messages_max`` is where its buffer counts as full; ``concurrency`` and
    batches are each replica's own.
    """

    name: str
    kind: Kind
    read_batch_size: int
    read_timeout_s: float
    concurrency: int
    buffer_messages_max: int
    is_reading_ahead: bool
    has_fallback: bool
    has_on_success: bool
    backoff: BackoffPlan
    replicas: int
    rate: RatePlan | None


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


def _spec(manifest: str) -> Spec:
    try:
        return Spec.model_validate(spec := pipeline_of(manifest).get("spec"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        why = _UNKNOWN_FIELD if first["type"] == "extra_forbidden" else first["msg"]
        raise ManifestError(f"the local data plane doesn't do {_place(first['loc'], spec)}: {why}") from None


def _place(path: tuple[int | str, ...], spec: Any) -> str:
    """The path in words: a vertex or an edge by what it is called, not by its number."""
    words, there = "spec", spec
    for step in path:
        try:
            there = there[step]
        except (KeyError, IndexError, TypeError):
            there = None
        name = _called(there) if isinstance(step, int) else None
        words += f"[{name or step}]" if isinstance(step, int) else f".{step}"
    return words


def _called(part: Any) -> str | None:
    if not isinstance(part, Mapping):
        return None
    if "from" in part and "to" in part:
        return f"{part['from']} to {part['to']}"
    return str(part["name"]) if "name" in part else None


def _vertex(vertex: Vertex, shared: Limits) -> VertexPlan:
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
    retry = vertex.sink.retry_strategy.backoff if vertex.sink else NO_BACKOFF
    rate = vertex.limits.rate_limit or shared.rate_limit
    replicas = max(1, vertex.scale.min or 1)
    if kinds[0] is Kind.SOURCE and replicas > 1:
        raise ManifestError(f"the source {vertex.name!r} has scale.min {replicas}: here a source is read by one")
    read_ahead = [variable.value for variable in vertex.container_template.env if variable.name == _READ_AHEAD]
    return VertexPlan(
        name=vertex.name,
        kind=kinds[0],
        read_batch_size=min(batch, rate.max) if rate else batch,
        read_timeout_s=_first(vertex.limits.read_timeout_s, shared.read_timeout_s, 1.0),
        concurrency=vertex.limits.concurrency or shared.concurrency or batch,
        buffer_messages_max=max(1, length * usage // 100),
        is_reading_ahead=kinds[0] is not Kind.SOURCE or read_ahead == ["true"],
        has_fallback=vertex.sink is not None and vertex.sink.fallback is not None,
        has_on_success=vertex.sink is not None and vertex.sink.on_success is not None,
        replicas=replicas,
        rate=RatePlan(rate.min, rate.max, rate.ramp_up_s) if rate else None,
        backoff=BackoffPlan(retry.interval_s, retry.factor, _first(retry.cap_s, None, float("inf")), retry.jitter),
    )


def _first(own: float | None, shared: float | None, default: float) -> float:
    return own if own is not None else shared if shared is not None else default


def _edge(edge: Edge) -> EdgePlan:
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
