"""The pipeline as data."""

import pytest

from pipeline.topology.build import TopologyError, build_topology
from pipeline.topology.model import Condition, OnFull, Operator, RunnerBlock

PASS = RunnerBlock("PASS")
APPROVAL = RunnerBlock("APPROVAL")


def test_the_order_of_blocks_does_not_matter() -> None:
    assert build_topology([PASS, APPROVAL], 2) == build_topology([APPROVAL, PASS], 2)


def test_a_block_and_a_shard_are_a_vertex_each() -> None:
    names = [vertex.name for vertex in build_topology([PASS, APPROVAL], 2).vertices]
    assert names == [
        "cdc",
        "timer",
        "orchestrator",
        "runner-approval",
        "runner-pass",
        "atlas-0",
        "atlas-1",
        "dead-letter",
    ]


def test_edges_are_chosen_by_tag() -> None:
    edges = {(edge.from_vertex, edge.to_vertex): edge for edge in build_topology([PASS], 2).edges}
    assert set(edges) == {
        ("cdc", "orchestrator"),
        ("timer", "orchestrator"),
        ("orchestrator", "runner-pass"),
        ("orchestrator", "atlas-0"),
        ("orchestrator", "atlas-1"),
        ("orchestrator", "dead-letter"),
        ("runner-pass", "atlas-0"),
        ("runner-pass", "atlas-1"),
        ("runner-pass", "dead-letter"),
    }
    assert edges["orchestrator", "runner-pass"].condition == Condition(Operator.OR, ("type-PASS",))
    assert edges["orchestrator", "runner-pass"].on_full is OnFull.DISCARD
    assert edges["runner-pass", "atlas-1"].condition == Condition(Operator.OR, ("shard-1",))
    assert edges["runner-pass", "atlas-1"].on_full is OnFull.RETRY
    assert edges["runner-pass", "dead-letter"].condition == Condition(Operator.OR, ("dead",))
    assert edges["cdc", "orchestrator"].condition.operator is Operator.NOT


@pytest.mark.parametrize("shards", [0, -1, 257])
def test_shards_have_a_range(shards: int) -> None:
    with pytest.raises(TopologyError, match="1 to 256"):
        build_topology([PASS], shards)


@pytest.mark.parametrize("block_type", ["", "pass", "FOR EACH", "A/B", "1A"])
def test_a_type_must_fit_a_tag_and_a_vertex_name(block_type: str) -> None:
    with pytest.raises(TopologyError, match="upper-case"):
        build_topology([RunnerBlock(block_type)], 1)


def test_a_type_is_installed_once() -> None:
    with pytest.raises(TopologyError, match="PASS"):
        build_topology([PASS, PASS], 1)
