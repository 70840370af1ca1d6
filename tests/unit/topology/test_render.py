"""From topology and values to text."""

import pytest
import yaml

from pipeline.topology.build import build_topology
from pipeline.topology.commented import Noted, write_yaml
from pipeline.topology.model import RunnerBlock
from pipeline.topology.render import NameTooLongError, render
from pipeline.topology.values import Values, ValuesError, parse_values

TOPOLOGY = build_topology([RunnerBlock("PASS", environment=(("A", "yes"),))], 1)


@pytest.mark.parametrize(
    "value",
    [
        {
            "a": "true",
            "b": "1",
            "c": "-m",
            "d": "a: b",
            "e": "no",
            "f": "",
            "g": "é\n",
            "h": "0x1",
            "i": "1e3",
            "j": "~",
        },
        {"a": [], "b": {}, "c": None, "d": True, "e": 1.5, "f": -1},
        {"a": [{"b": [1, 2], "c": {"d": "e"}}, {"b": ["x"]}, "y"]},
        {"key with space": 1, "x: y": 2, "null": 3},
    ],
)
def test_what_is_written_reads_back(value: dict[str, object]) -> None:
    assert yaml.safe_load(write_yaml(value)) == value


def test_reasons_stand_above_what_they_explain() -> None:
    text = write_yaml({"a": Noted({"b": 1}, "why a"), "c": [Noted("d", "why d"), {"e": Noted(2, "why e")}]})
    assert text == "# why a\na:\n  b: 1\nc:\n  # why d\n  - d\n  # why e\n  - e: 2\n"


def test_values_reach_the_manifest() -> None:
    values = parse_values(
        "{name: wf, namespace: team, image: 'registry/wf:2', buffer: {replicas: 1, storage_class: ssd}}"
    )
    config, *_, buffer, pipeline = yaml.safe_load_all(render(TOPOLOGY, values))
    assert config["metadata"]["namespace"] == "team"
    assert buffer["spec"]["jetstream"]["replicas"] == 1
    assert buffer["spec"]["jetstream"]["persistence"]["storageClassName"] == "ssd"
    runner = next(vertex for vertex in pipeline["spec"]["vertices"] if vertex["name"] == "runner-pass")
    assert runner["udf"]["container"]["image"] == "registry/wf:2"
    assert runner["udf"]["container"]["command"] == ["python", "-m", "udfs.runners", "PASS"]
    assert runner["udf"]["container"]["env"] == [{"name": "A", "value": "yes"}]


def test_no_values_are_the_defaults() -> None:
    assert parse_values("") == Values()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shards: 0", "shards"),
        ("shard: 1", "shard"),
        ("name: Wrong_Name", "name"),
        ("buffer: {replicas: none}", "buffer.replicas"),
        ("[", "YAML"),
        ("just text", "don't fit"),
    ],
)
def test_wrong_values_are_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(ValuesError, match=says):
        parse_values(text)


def test_names_have_to_fit_kubernetes() -> None:
    with pytest.raises(NameTooLongError, match="too long"):
        render(TOPOLOGY, Values(name="a" * 40))
