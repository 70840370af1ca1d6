"""What is rendered is what is in the repository, and what Numaflow's own definitions allow."""

import json  # noqa: TID251  (a file of schemas, not of ours)
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline.blocks.registry import Registry
from pipeline.topology.blocks import runner_blocks
from pipeline.topology.build import build_topology
from pipeline.topology.render import render
from pipeline.topology.values import Values

ROOT = Path(__file__).parents[2]
CRDS = ROOT / "tests/data/crds"
REGISTRY = Registry.load("udfs.runners")
BLOCKS = runner_blocks(REGISTRY.manifest(block_type) for block_type in REGISTRY.runner_types())
RENDERED = render(build_topology(BLOCKS, Values().shards), Values())
DOCUMENTS = list(yaml.safe_load_all(RENDERED))
CONFIG_MAP, ACCOUNT, ROLE, BINDING, CLAIM, CRON_JOB, BUFFER_SERVICE, PIPELINE = DOCUMENTS
KUBERNETES = json.loads((ROOT / "tests/data/kubernetes.json").read_text())
"""Its own schemas of the kinds that are used here, without their texts; strict: they refuse what they don't know."""


def schema(plural: str) -> dict[str, Any]:
    definition = yaml.safe_load((CRDS / f"numaflow.numaproj.io_{plural}.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


PIPELINE_SCHEMA = schema("pipelines")
BUFFER_SCHEMA = schema("interstepbufferservices")


def unknown_fields(value: Any, allowed: dict[str, Any], path: str = "") -> list[str]:
    """Fields the API server would prune without a word: structural schemas don't refuse them."""
    if allowed.get("x-kubernetes-preserve-unknown-fields"):
        return []
    if isinstance(value, list):
        return [
            found for at, item in enumerate(value) for found in unknown_fields(item, allowed["items"], f"{path}/{at}")
        ]
    if not isinstance(value, dict):
        return []
    if "additionalProperties" in allowed:
        extra = allowed["additionalProperties"]
        return [found for key, item in value.items() for found in unknown_fields(item, extra, f"{path}/{key}")]
    properties = allowed.get("properties")
    if properties is None:  # an object without a description, such as metadata
        return []
    unknown = [f"{path}/{key}" for key in value if key not in properties]
    known = [(key, item) for key, item in value.items() if key in properties]
    return unknown + [found for key, item in known for found in unknown_fields(item, properties[key], f"{path}/{key}")]


def test_the_file_in_the_repository_is_what_is_rendered() -> None:
    assert (ROOT / "manifests/pipeline.yaml").read_text() == RENDERED, (
        "render it anew: blockline manifests render > manifests/pipeline.yaml"
    )


@pytest.mark.parametrize(
    ("manifest", "definition"),
    [(PIPELINE, PIPELINE_SCHEMA), (BUFFER_SERVICE, BUFFER_SCHEMA)],
    ids=["pipeline", "buffer"],
)
def test_numaflows_definitions_accept_it(manifest: dict[str, Any], definition: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(definition).validate(manifest)
    assert unknown_fields(manifest, definition) == []


def kubernetes_refuses(manifest: dict[str, Any]) -> list[str]:
    """What the schema of its kind has against it."""
    own = {**KUBERNETES["kinds"][manifest["kind"]], "$defs": KUBERNETES["$defs"]}
    return [error.message for error in jsonschema.Draft202012Validator(own).iter_errors(manifest)]


@pytest.mark.parametrize("manifest", DOCUMENTS[:-2], ids=lambda manifest: manifest["kind"])
def test_kubernetes_accepts_it(manifest: dict[str, Any]) -> None:
    assert kubernetes_refuses(manifest) == []


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    assert kubernetes_refuses({**CRON_JOB, "spec": {**CRON_JOB["spec"], "shedule": "* * * * *"}}) != []
    assert kubernetes_refuses({**CRON_JOB, "spec": {"schedule": "* * * * *"}}) != []


def test_a_field_that_would_be_pruned_is_found() -> None:
    manifest = {"spec": {"vertices": [{"name": "a", "limits": {"readBatchSiez": 1}}], "watermarks": {}}}
    assert unknown_fields(manifest, PIPELINE_SCHEMA) == ["/spec/watermarks", "/spec/vertices/0/limits/readBatchSiez"]


def test_every_edge_has_conditions() -> None:
    for edge in PIPELINE["spec"]["edges"]:
        assert edge["conditions"]["tags"]["values"], edge


def test_only_edges_to_runners_may_discard() -> None:
    for edge in PIPELINE["spec"]["edges"]:
        is_to_runner = edge["from"] == "orchestrator" and edge["to"].startswith("runner-")
        assert (edge["onFull"] == "discardLatest") == is_to_runner, edge


def test_every_vertex_says_how_it_reads() -> None:
    for vertex in PIPELINE["spec"]["vertices"]:
        limits = vertex["limits"]
        assert limits["concurrency"] >= limits["readBatchSize"]
        assert limits["readTimeout"].endswith("ms")
        assert ("udf" not in vertex) or limits["readBatchSize"] == 1


def test_sinks_retry_for_ever_with_backoff() -> None:
    sinks = [vertex for vertex in PIPELINE["spec"]["vertices"] if "sink" in vertex]
    assert len(sinks) == Values().shards + 1
    for vertex in sinks:
        retry = vertex["sink"]["retryStrategy"]
        assert retry["onFailure"] == "retry"
        assert "steps" not in retry["backoff"]
        assert vertex["scale"] == {"min": 1, "max": 1}


def test_sources_read_ahead() -> None:
    for vertex in PIPELINE["spec"]["vertices"]:
        if "source" in vertex:
            assert vertex["containerTemplate"]["env"] == [{"name": "NUMAFLOW_READ_AHEAD", "value": "true"}]


def container_of(vertex: dict[str, Any]) -> dict[str, Any]:
    found = vertex.get("udf") or vertex.get("source", {}).get("udsource") or vertex["sink"]["udsink"]
    container: dict[str, Any] = found["container"]
    return container


def test_a_container_gets_only_the_secrets_it_needs() -> None:
    secrets = {
        vertex["name"]: {
            source["secretRef"]["name"] for source in container_of(vertex)["envFrom"] if "secretRef" in source
        }
        for vertex in PIPELINE["spec"]["vertices"]
    }
    assert secrets == {
        "cdc": {"blockline-kafka"},
        "timer": {"blockline-atlas"},
        "orchestrator": {"blockline-engine"},
        "runner-approval": {"blockline-atlas-reader", "blockline-mail", "blockline-directory"},
        "runner-metadata": {"blockline-atlas-reader"},
        "runner-http": {"blockline-atlas-reader"},
        "runner-notification": {"blockline-atlas-reader", "blockline-mail", "blockline-directory"},
        "runner-pass": {"blockline-atlas-reader"},
        **{
            f"atlas-{shard}": {"blockline-engine", "blockline-atlas", "blockline-directory"}
            for shard in range(Values().shards)
        },
        "dead-letter": {"blockline-atlas"},
    }


def test_sinks_may_lease_and_nobody_else_may_anything() -> None:
    accounts = {vertex["name"]: vertex.get("serviceAccountName") for vertex in PIPELINE["spec"]["vertices"]}
    name = ACCOUNT["metadata"]["name"]
    assert {vertex for vertex, account in accounts.items() if account == name} == {
        f"atlas-{shard}" for shard in range(Values().shards)
    }
    assert set(accounts.values()) == {None, name}
    assert ROLE["rules"] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list", "create", "update"]}
    ]
    assert BINDING["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    assert BINDING["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": Values().namespace}]
    assert {each["metadata"]["namespace"] for each in (ACCOUNT, ROLE, BINDING, PIPELINE)} == {Values().namespace}


def test_no_secret_stands_in_the_open() -> None:
    assert not [name for name in CONFIG_MAP["data"] if name.endswith(("_KEY", "_TOKEN", "_PASSWORD", "_USER"))]


def test_retention_has_the_archive_and_the_secrets_it_needs() -> None:
    pod = CRON_JOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["python", "-m", "cli", "retention", "run"]
    secrets = {source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source}
    assert secrets == {"blockline-engine", "blockline-atlas-purger"}
    environment = {each["name"]: each["value"] for each in container["env"]}
    (mount,) = container["volumeMounts"]
    (volume,) = pod["volumes"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], environment["BLOCKLINE_ARCHIVE_DIR"])
    assert volume["persistentVolumeClaim"] == {"claimName": CLAIM["metadata"]["name"]}
    assert not pod["automountServiceAccountToken"]


def test_runs_that_are_kept_for_ever_need_no_job() -> None:
    values = Values.model_validate({"retention": {"days": 0}})
    kinds = {each["kind"] for each in yaml.safe_load_all(render(build_topology(BLOCKS, values.shards), values))}
    assert kinds.isdisjoint({"CronJob", "PersistentVolumeClaim"})


def test_retention_follows_its_values() -> None:
    given = {"days": 30, "schedule": "0 * * * *", "volume_size": "1Ti", "storage_class": "slow"}
    values = Values.model_validate({"retention": given, "authorities": "company-ca"})
    rendered = {each["kind"]: each for each in yaml.safe_load_all(render(build_topology(BLOCKS, 1), values))}
    assert [kubernetes_refuses(rendered[kind]) for kind in ("CronJob", "PersistentVolumeClaim")] == [[], []]
    assert rendered["CronJob"]["spec"]["schedule"] == "0 * * * *"
    assert rendered["PersistentVolumeClaim"]["spec"]["storageClassName"] == "slow"


def test_authorities_are_where_the_settings_say() -> None:
    values = Values.model_validate({"authorities": "company-ca"})
    rendered = list(yaml.safe_load_all(render(build_topology(BLOCKS, values.shards), values)))
    jsonschema.Draft202012Validator(PIPELINE_SCHEMA).validate(rendered[-1])
    assert unknown_fields(rendered[-1], PIPELINE_SCHEMA) == []
    file = rendered[0]["data"]["BLOCKLINE_DIRECTORY_AUTHORITIES"]
    assert file == rendered[0]["data"]["BLOCKLINE_HTTP_AUTHORITIES"]
    for vertex in rendered[-1]["spec"]["vertices"]:
        (volume,) = (each for each in vertex["volumes"] if each.get("configMap") == {"name": "company-ca"})
        (mount,) = (each for each in container_of(vertex)["volumeMounts"] if each["name"] == volume["name"])
        assert file == f"{mount['mountPath']}/ca.crt"
