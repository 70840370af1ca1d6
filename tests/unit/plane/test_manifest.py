"""What the plane reads out of a manifest, and what it refuses."""

from typing import Any

import pytest
import yaml

from pipeline.local.plane.manifest import BackoffPlan, EdgePlan, Kind, ManifestError, RatePlan, read_plan
from pipeline.topology.build import RUNNER_BUFFER_MESSAGES_MAX, SOURCE_IN_FLIGHT_MAX, build_topology
from pipeline.topology.model import RunnerBlock
from pipeline.topology.render import render
from pipeline.topology.values import Values

CONTAINER: dict[str, Any] = {"container": {"image": "x", "command": ["y"]}}


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "watermark": {"disabled": True},
        "vertices": [
            {"name": "in", "source": {"udsource": CONTAINER}},
            {"name": "work", "udf": CONTAINER},
            {"name": "out", "sink": {"udsink": CONTAINER}},
        ],
        "edges": [{"from": "in", "to": "work"}, {"from": "work", "to": "out"}],
    } | changes


def text(**changes: Any) -> str:
    return yaml.safe_dump({"kind": "Pipeline", "spec": spec(**changes)})


def with_vertex(name: str, **more: Any) -> str:
    return text(vertices=[{**vertex, **(more if vertex["name"] == name else {})} for vertex in spec()["vertices"]])


def test_the_rendered_manifest_is_understood() -> None:
    plan = read_plan(render(build_topology([RunnerBlock("PASS", concurrency=7)], 2), Values()))
    by_name = {vertex.name: vertex for vertex in plan.vertices}
    assert list(by_name) == ["cdc", "timer", "orchestrator", "runner-pass", "atlas-0", "atlas-1", "dead-letter"]
    runner, sink, source = by_name["runner-pass"], by_name["atlas-1"], by_name["cdc"]
    assert (runner.kind, runner.read_batch_size, runner.concurrency) == (Kind.MAP, 1, 7)
    assert runner.buffer_messages_max == RUNNER_BUFFER_MESSAGES_MAX * 80 // 100
    assert (sink.kind, sink.read_batch_size, sink.read_timeout_s, sink.has_fallback) == (Kind.SINK, 500, 0.005, True)
    assert sink.backoff == BackoffPlan(interval_s=0.5, factor=2.0, cap_s=30.0, jitter=0.3)
    assert (source.kind, source.is_reading_ahead, source.concurrency) == (Kind.SOURCE, True, SOURCE_IN_FLIGHT_MAX)
    assert EdgePlan("orchestrator", "runner-pass", "or", frozenset({"type-PASS"}), is_discarding=True) in plan.edges
    assert EdgePlan("cdc", "orchestrator", "not", frozenset({"never"}), is_discarding=False) in plan.edges


def test_numaflows_defaults_apply() -> None:
    work = read_plan(text()).vertices[1]
    assert (work.read_batch_size, work.read_timeout_s, work.concurrency, work.buffer_messages_max) == (
        500,
        1.0,
        500,
        24_000,
    )
    assert not read_plan(text()).vertices[0].is_reading_ahead


def test_a_vertexs_limits_come_before_the_pipelines() -> None:
    shared = {"readBatchSize": 10, "readTimeout": "1m30s", "bufferMaxLength": 100, "bufferUsageLimit": 50}
    plan = read_plan(
        text(
            limits=shared, vertices=[*spec()["vertices"][:2], {**spec()["vertices"][2], "limits": {"readBatchSize": 3}}]
        )
    )
    assert [vertex.read_batch_size for vertex in plan.vertices] == [10, 10, 3]
    assert [vertex.concurrency for vertex in plan.vertices] == [10, 10, 3]
    assert {vertex.read_timeout_s for vertex in plan.vertices} == {90.0}
    assert {vertex.buffer_messages_max for vertex in plan.vertices} == {50}


def test_replicas_and_rates_are_read() -> None:
    autoscaled = {"min": 3, "max": 8, "lookbackSeconds": 60, "zeroReplicaSleepSeconds": 30}
    work = read_plan(with_vertex("work", scale=autoscaled, limits={"rateLimit": {"max": 40}})).vertices[1]
    assert (work.replicas, work.rate) == (3, RatePlan(start=1, most=40, rise_s=1.0))
    out = read_plan(with_vertex("out", scale={"min": 0}, limits={"rateLimit": {"max": 7, "min": 7}})).vertices[2]
    assert (out.replicas, out.read_batch_size) == (1, 7), "a batch is never more than a second's share"
    assert read_plan(text(limits={"rateLimit": {"max": 5, "rampUpDuration": "1m"}})).vertices[2].rate == RatePlan(
        start=1, most=5, rise_s=60.0
    )


def test_an_edge_without_conditions_is_known_as_such() -> None:
    assert read_plan(text()).edges[0] == EdgePlan("in", "work", None, frozenset(), is_discarding=False)


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("[", "YAML"),
        ("kind: ConfigMap", "one Pipeline, not 0"),
        ("kind: Pipeline\n---\nkind: Pipeline", "one Pipeline, not 2"),
        ("kind: Pipeline", "spec"),
        (text(sideInputs=[]), "sideInputs"),
        (text(watermark={"disabled": False}), "watermark.disabled"),
        (text(vertices=[]), "vertices"),
        (with_vertex("work", udf={**CONTAINER, "groupBy": {}}), r"spec\.vertices\[work\]\.udf\.groupBy"),
        (with_vertex("in", source={"kafka": {}}), r"vertices\[in\]\.source"),
        (with_vertex("in", source={"udsource": CONTAINER, "transformer": CONTAINER}), "transformer"),
        (with_vertex("out", sink={"udsink": CONTAINER, "onSuccess": {"log": {}}}), r"vertices\[out\]\.sink\.onSuccess"),
        (with_vertex("out", sink={"udsink": CONTAINER, "retryStrategy": {"onFailure": "drop"}}), "onFailure"),
        (with_vertex("out", sink={"udsink": CONTAINER, "retryStrategy": {"backoff": {"steps": 3}}}), "steps"),
        (with_vertex("work", limits={"rateLimit": {}}), r"vertices\[work\]\.limits\.rateLimit\.max"),
        (with_vertex("work", limits={"rateLimit": {"max": 1, "min": 2}}), "min is greater than max"),
        (with_vertex("work", limits={"rateLimit": {"max": 1, "store": {}}}), r"rateLimit\.store"),
        (with_vertex("work", scale={"mim": 3}), r"vertices\[work\]\.scale\.mim: there is no such field"),
        (with_vertex("work", scale={"min": "3"}), r"vertices\[work\]\.scale\.min"),
        (with_vertex("work", scale={"min": 3, "max": 2}), r"scale.*min is greater than max"),
        (with_vertex("work", scale={"min": 65}), r"scale\.min"),
        (with_vertex("in", scale={"min": 2}), "a source is read by one"),
        (text(edges=[{"from": "in", "to": "work", "onFull": "sometimes"}]), r"edges\[in to work\]\.onFull"),
        (text(edges=[{"from": "in"}]), r"edges\[0\]\.to"),
        (with_vertex("work", limits={"readTimeout": "5 parsecs"}), "duration"),
        (with_vertex("work", partitions=2), "partitions"),
        (with_vertex("work", ordered={}), "ordered"),
        (with_vertex("work", sink={"udsink": CONTAINER}), "one of source, udf and sink"),
        (text(edges=[{"from": "in", "to": "nowhere"}]), "nowhere"),
        (text(edges=[{"from": "in", "to": "work"}]), "no edge leads to the vertex 'out'"),
        (text(edges=[{"from": "out", "to": "work"}]), "a source only gives"),
        (text(edges=[{"from": "in", "to": "in"}]), "a source only gives"),
        (text(edges=[*spec()["edges"], *spec()["edges"][:1]]), "two edges"),
        (text(edges=[*spec()["edges"], {"from": "work", "to": "work"}]), "cycle"),
        (text(vertices=[*spec()["vertices"], spec()["vertices"][1]]), "same name"),
    ],
)
def test_what_the_plane_does_not_do_is_refused_with_a_sentence(manifest: str, says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        read_plan(manifest)
