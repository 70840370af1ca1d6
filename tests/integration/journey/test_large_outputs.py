"""A task's output that is too large for its run's document: used by later tasks, decided by, shown, and kept as one."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pipeline.store import types
from tests.integration.journey.actors import Stage, staged, statuses, until

pytestmark = pytest.mark.timeout(180)
TEXT = "ä" * 25_000
"""50 KB; twice of it make an output of 100 KB."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("large")) as stage:
        yield stage


def spec() -> dict[str, Any]:
    both = "{{ [run.input.text, run.input.text] }}"
    cases = [{"name": "two", "expression": 'size(tasks["fetch"].output) == 2'}]
    tasks = [
        {"name": "fetch", "type": "PASS", "arguments": {"output": both}},
        {"name": "pause", "type": "WAIT", "depends": "fetch", "arguments": {"duration": "PT1S"}},
        {"name": "route", "type": "SWITCH", "depends": "pause", "arguments": {"cases": cases, "default": "other"}},
        {
            "name": "half",
            "type": "PASS",
            "depends": 'route."two"',
            "when": 'tasks["fetch"].output[0] == run.input.text',
            "arguments": {"output": '{{ tasks["fetch"].output[1] }}'},
        },
        {
            "name": "length",
            "type": "PASS",
            "depends": "half",
            "arguments": {"output": 'It has {{ size(tasks["half"].output) }} letters.'},
        },
        {"name": "other", "type": "PASS", "depends": 'route."other"'},
    ]
    return {"dag": {"entrypoint": "fetch", "exitpoints": ["length", "half", "other"], "tasks": tasks}}


def outputs_in_atlas(stage: Stage, run: str) -> list[dict[str, Any]]:
    criterion = [{"attributeName": types.OUTPUT_RUN_GUID, "operator": "eq", "attributeValue": run}]
    asked = {
        "typeName": types.OUTPUT,
        "entityFilters": {"condition": "AND", "criterion": criterion},
        "attributes": [types.OUTPUT_TASK, types.OUTPUT_BYTES],
        "limit": 10,
    }
    answer = httpx.post(
        f"{stage.product.url}/api/atlas/v2/search/basic", json=asked, auth=("admin", stage.product.password)
    )
    found: list[dict[str, Any]] = answer.json().get("entities") or []
    return found


def test_a_large_output_goes_all_the_way(stage: Stage) -> None:
    stage.publishes("large", spec())
    run = stage.starts("rosa", "large", input={"text": TEXT})
    ended = stage.run(run, wait_s=30)
    found = statuses(ended)
    assert found == {
        "fetch": "SUCCESS",
        "pause": "SUCCESS",
        "route": "SUCCESS",
        "half": "SUCCESS",
        "length": "SUCCESS",
        "other": "OMITTED",
    }
    tasks = {task["name"]: task for task in ended["dag"]["tasks"]}
    assert tasks["fetch"]["output"] == [TEXT, TEXT]
    assert tasks["fetch"]["output_stored"]["bytes"] > 100_000
    assert tasks["half"]["output"] == TEXT
    assert tasks["length"]["output"] == "It has 25000 letters."
    assert ended["output"] == {"length": "It has 25000 letters.", "half": TEXT}

    kept = {entity["attributes"][types.OUTPUT_TASK] for entity in outputs_in_atlas(stage, run)}
    assert kept == {"fetch", "half"}
    shown = stage.types("rosa", "run", "show", run, "--json").json
    assert next(task for task in shown["dag"]["tasks"] if task["name"] == "fetch")["output"] == [TEXT, TEXT]
    with stage.api("rosa") as rosa:
        alone = rosa.get(f"/runs/{run}/tasks/half/output")
        assert (alone.status_code, alone.json()["output"]) == (200, TEXT)
        assert rosa.get(f"/runs/{run}/tasks/nobody/output").status_code == 404
    with stage.api("sam") as sam:
        assert sam.get(f"/runs/{run}/tasks/half/output").status_code == 404, "nobody else's"


def test_an_output_that_was_changed_in_atlas_isnt_believed(stage: Stage) -> None:
    tasks = [
        {"name": "fetch", "type": "PASS", "arguments": {"output": "{{ [run.input.text, run.input.text] }}"}},
        {"name": "pause", "type": "WAIT", "depends": "fetch", "arguments": {"duration": "PT3S"}},
        {"name": "use", "type": "PASS", "depends": "pause", "arguments": {"output": "{{ tasks.fetch.output[0] }}"}},
        {"name": "if", "type": "CONDITION", "depends": "pause", "arguments": {"expression": "tasks.fetch.output == 1"}},
    ]
    stage.publishes("forged", {"dag": {"entrypoint": "fetch", "tasks": tasks}})
    run = stage.starts("rosa", "forged", input={"text": TEXT})
    [entity] = until(lambda: outputs_in_atlas(stage, run), "the output is kept")
    changed = httpx.put(
        f"{stage.product.url}/api/atlas/v2/entity/guid/{entity['guid']}",
        params={"name": types.OUTPUT_TEXT},
        json='"forged"',
        auth=("admin", stage.product.password),
    )
    assert changed.status_code == 200, changed.text
    ended = stage.run(run, wait_s=30)
    errors = {task["name"]: (task.get("error") or {}).get("name") for task in ended["dag"]["tasks"]}
    assert errors["use"] == errors["if"] == "Engine.Tampered"
