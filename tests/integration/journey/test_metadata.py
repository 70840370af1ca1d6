"""A workflow changes the catalog: what it wrote stands on the asset, and in the run."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.messages.canonical import decode
from tests.integration.journey.actors import ROOT, Stage, staged, statuses

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("metadata")) as stage:
        yield stage


def attributes_of(stage: Stage, guid: str) -> dict[str, Any]:
    with stage.api() as admin:
        answer = admin.get(f"{stage.product.url}/api/atlas/v2/entity/guid/{guid}").raise_for_status()
    attributes: dict[str, Any] = answer.json()["entity"]["attributes"]
    return attributes


def workflow(*tasks: dict[str, Any]) -> dict[str, Any]:
    return {"dag": {"entrypoint": tasks[0]["name"], "tasks": list(tasks)}}


def change(name: str, arguments: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"name": name, "type": "METADATA", "arguments": arguments, **members}


def test_a_workflow_changes_an_asset_and_reads_it_afresh(stage: Stage) -> None:
    asset = stage.table("orders", "hans")
    spec = workflow(
        change("describe", {"set": {"description": "Orders of {{ run.requester.name }}"}}),
        change("own", {"owners": {"users": {"add": ["rosa"]}}}, depends="describe"),
        change("look", {"read": ["description", "ownerUsers"]}, depends="own"),
    )
    stage.publishes("describe-table", spec)
    run = stage.starts("rosa", "describe-table", asset_guid=asset)
    ended = stage.run(run, wait_s=40)
    assert ended["status"] == "SUCCESS", ended["dag"]["tasks"]
    attributes = attributes_of(stage, asset)
    assert attributes["description"] == "Orders of rosa"
    assert sorted(attributes["ownerUsers"]) == ["hans", "rosa"]
    assert ended["dag"]["tasks"][2]["output"]["attributes"]["description"] == "Orders of rosa"


def in_catalog(stage: Stage, type_name: str, name: str, **parts: Any) -> str:
    """The guid of an entity that an administrator has put there."""
    attributes = {"name": name, "qualifiedName": name, **parts.pop("attributes", {})}
    entity = {"typeName": type_name, "guid": "-1", "attributes": attributes, **parts}
    with stage.api() as admin:
        answer = admin.post(f"{stage.product.url}/api/atlas/v2/entity/bulk", json={"entities": [entity]})
    guid: str = answer.raise_for_status().json()["guidAssignments"]["-1"]
    return guid


def by_pyatlan(stage: Stage, guid: str) -> Any:
    with stage.api("otto") as otto:
        token = otto.post("/me/tokens", json={"name": "pyatlan"}).json()["token"]
    command = [sys.executable, "-m", "tests.integration.journey.asset_by_pyatlan", stage.product.url, token, guid]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert shown.returncode == 0, shown.stderr
    return decode(shown.stdout)


def test_all_that_a_task_may_change_stands_there_for_who_looks_with_pyatlan(stage: Stage) -> None:
    revenue, churn, old = [
        in_catalog(stage, "AtlasGlossaryTerm", f"{name}@Sales") for name in ("revenue", "churn", "old")
    ]
    meanings = [{"guid": guid, "typeName": "AtlasGlossaryTerm"} for guid in (churn, old)]
    asset = in_catalog(
        stage,
        "Table",
        "db/customers",
        attributes={"ownerUsers": ["hans", "gone"], "description": "old", "rowCount": 5},
        relationshipAttributes={"meanings": meanings},
        classifications=[{"typeName": "Confidential"}],
        customAttributes={"team": "sales", "left": "alone"},
    )
    arguments = {
        "asset": {"typeName": "Table", "qualifiedName": "{{ run.input.table }}"},
        "set": {"rowCount": "{{ run.input.rows }}"},
        "description": "Customers, checked by {{ run.requester.name }}",
        "owners": {"users": {"add": ["rosa", "hans"], "remove": ["gone"]}, "groups": {"set": ["stewards"]}},
        "certificate": {"status": "VERIFIED", "message": "checked"},
        "terms": {"add": ["revenue@Sales", churn], "remove": [old]},
        "customAttributes": {"set": {"team": "finance", "since": "2026"}},
        # pyatlan can't read what is classified in an Apache Atlas, which has no struct types: none is left.
        "classifications": {"remove": ["Confidential"]},
        "expect": {"description": "old"},
        "read": ["description", "ownerUsers"],
    }
    look = change("look", {"asset": arguments["asset"], "read": ["description", "ownerUsers"]}, depends="change")
    stage.publishes("change-all", workflow(change("change", arguments), look))
    run = stage.starts("rosa", "change-all", input={"table": "db/customers", "rows": 7})
    ended = stage.run(run, wait_s=40)
    assert statuses(ended) == {"change": "SUCCESS", "look": "SUCCESS"}, ended["dag"]["tasks"]
    assert by_pyatlan(stage, asset) == {
        "description": "Customers, checked by rosa",
        "rows": 7,
        "owners": ["hans", "rosa"],
        "groups": ["stewards"],
        "certificate": ["VERIFIED", "checked"],
        "terms": ["churn@Sales", "revenue@Sales"],
        "custom": {"left": "alone", "since": "2026", "team": "finance"},
        "by": "blockline",
    }
    before, after = (task["output"] for task in ended["dag"]["tasks"])
    assert (before["attributes"]["description"], sorted(before["terms"])) == ("old", sorted([churn, old]))
    assert after["attributes"] == {"description": "Customers, checked by rosa", "ownerUsers": ["hans", "rosa"]}
    assert sorted(after["terms"]) == sorted([churn, revenue])
    assert (list(before["classifications"]), before["customAttributes"]["team"]) == (["Confidential"], "sales")
    assert (list(after["classifications"]), after["customAttributes"]["team"]) == ([], "finance")
    again = stage.run(stage.starts("rosa", "change-all", input={"table": "db/customers", "rows": 8}), wait_s=40)
    assert statuses(again) == {"change": "FAILURE", "look": "OMITTED"}
    assert again["dag"]["tasks"][0]["error"]["name"] == "Metadata.Conflict"
    assert by_pyatlan(stage, asset)["rows"] == 7


def test_a_term_that_isnt_there_fails_its_task(stage: Stage) -> None:
    asset = stage.table("untermed", "hans")
    stage.publishes("untermed", workflow(change("term", {"terms": {"add": ["nothing@Sales"]}, "set": {"rowCount": 1}})))
    ended = stage.run(stage.starts("rosa", "untermed", asset_guid=asset), wait_s=40)
    assert ended["dag"]["tasks"][0]["error"]["name"] == "Metadata.Refused"
    assert "nothing@Sales" in ended["dag"]["tasks"][0]["error"]["message"]
    assert "rowCount" not in attributes_of(stage, asset)


def test_the_example_marks_a_table(stage: Stage) -> None:
    asset = stage.table("marked-by-example", "hans")
    published = stage.types("otto", "workflow", "publish", str(ROOT / "examples" / "certify-table.json"))
    assert published.code == 0, published.err
    started = stage.types(
        "rosa", "run", "start", "certify-table", "--asset", asset, "--set", "reason=checked", "--wait"
    )
    assert started.code == 0, started.err
    attributes = attributes_of(stage, asset)
    assert (attributes["certificateStatus"], attributes["certificateStatusMessage"]) == ("VERIFIED", "checked")
    assert attributes["ownerUsers"] == ["hans", "rosa"]


def test_what_the_catalog_refuses_fails_that_task_alone(stage: Stage) -> None:
    asset = stage.table("refused", "hans")
    wrong = change("bad", {"set": {"nonsense": "x"}}, depends="a")
    stage.publishes("refused", workflow({"name": "a", "type": "PASS"}, wrong))
    run = stage.starts("rosa", "refused", asset_guid=asset)
    ended = stage.run(run, wait_s=40)
    assert statuses(ended) == {"a": "SUCCESS", "bad": "FAILURE"}
    error = ended["dag"]["tasks"][1]["error"]
    assert error["name"] == "Metadata.Refused"
    assert "nonsense" in error["message"]


def test_classifications_custom_attributes_and_an_expectation(stage: Stage) -> None:
    asset = stage.table("marked", "hans")
    marks = {"classifications": {"add": ["PII"]}, "customAttributes": {"set": {"team": "sales"}}}
    spec = workflow(
        change("mark", marks),
        change("expect", {"expect": {"name": "other"}, "set": {"rowCount": 1}}, depends="mark"),
    )
    stage.publishes("mark-table", spec)
    ended = stage.run(stage.starts("rosa", "mark-table", asset_guid=asset), wait_s=40)
    assert statuses(ended) == {"mark": "SUCCESS", "expect": "FAILURE"}
    assert ended["dag"]["tasks"][1]["error"]["name"] == "Metadata.Conflict"
    with stage.api() as admin:
        answer = admin.get(f"{stage.product.url}/api/atlas/v2/entity/guid/{asset}").raise_for_status()
    entity = answer.json()["entity"]
    assert [tag["typeName"] for tag in entity["classifications"]] == ["PII"]
    assert entity["customAttributes"] == {"team": "sales"}
    assert "rowCount" not in entity["attributes"]
