"""A workflow changes the catalog: what it wrote stands on the asset, and in the run."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.journey.actors import Stage, staged, statuses

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
