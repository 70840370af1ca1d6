"""``blockline doctor``, typed at a running product: when all is well, and when something isn't."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.spec.model import digest
from pipeline.store import types
from tests.integration.journey.actors import Said, Stage, row, staged

pytestmark = pytest.mark.timeout(180)


def findings(said: Said) -> dict[str, tuple[str, str]]:
    return {one["check"]: (one["grade"], one["detail"]) for one in said.json["findings"]}


def uses_a_block_that_is_gone(stage: Stage) -> None:
    """A published workflow of a time when there was another block."""
    spec: dict[str, Any] = {
        "dag": {"entrypoint": "a", "exitpoints": ["a"], "tasks": [{"name": "a", "type": "GONE", "arguments": []}]}
    }
    draft_and_version = [
        {
            "typeName": types.WORKFLOW,
            "attributes": {
                "name": "old one",
                "qualifiedName": f"blockline/workflows/old one{ending}",
                types.WORKFLOW_CONFIG: orjson.dumps(spec).decode(),
                types.WORKFLOW_DIGEST: digest(spec),
                types.WORKFLOW_STATUS: "PUBLISHED",
                types.WORKFLOW_VERSION: version,
            },
        }
        for version, ending in enumerate(("", "/v1"))
    ]
    with stage.api() as admin:
        atlas = f"{stage.product.url}/api/atlas/v2/entity/bulk"
        admin.post(atlas, json={"entities": draft_and_version}).raise_for_status()


def test_an_atlas_alone_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with staged(tmp_path) as stage:
        url = stage.product.url
        nobody = stage.types("rosa", "doctor", "--atlas", url)
        assert nobody.code == 1
        assert "BLOCKLINE_ATLAS_USER" in nobody.err
        monkeypatch.setenv("BLOCKLINE_ATLAS_USER", "admin")
        monkeypatch.setenv("BLOCKLINE_ATLAS_PASSWORD", stage.product.password)
        said = stage.types("rosa", "doctor", "--atlas", url, "--json")
        assert said.code == 0, said.out
        assert {check: grade for check, (grade, _) in findings(said).items()} == dict.fromkeys(
            ("atlas", "clock", "types", "leases", "commands"), "OK"
        )
        monkeypatch.setenv("BLOCKLINE_ATLAS_PASSWORD", "not-this-one")
        said = stage.types("rosa", "doctor", "--atlas", url, "--json")
        assert said.code == 1
        assert "refuses this account (401)" in findings(said)["atlas"][1]
        assert "not-this-one" not in said.out
    said = stage.types("rosa", "doctor", "--atlas", url)
    assert said.code == 1
    assert said.out.startswith("FAIL  atlas")


def test_the_doctor_says_what_is_well_and_what_to_do(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        stage.publishes("five", row())
        assert stage.run(stage.starts("rosa", "five"), wait_s=30)["status"] == "SUCCESS"
        said = stage.types("admin", "doctor", "--json")
        found = findings(said)
        assert {check for check, (grade, _) in found.items() if grade != "OK"} == set(), said.out
        assert found.keys() >= {"store", "broker", "clock", "types", "vertices", "lag", "topic", "leases", "blocks"}
        assert said.code == 0
        plain = stage.types("admin", "doctor")
        assert plain.code == 0
        assert plain.out.count("\n") == len(found)

        uses_a_block_that_is_gone(stage)
        said = stage.types("admin", "doctor", "--json")
        assert said.code == 1
        grade, detail = findings(said)["blocks"]
        assert grade == "FAIL"
        assert "GONE" in detail
        assert "old one" in detail

        said = stage.types("rosa", "doctor", "--json")
        assert said.code == 1, "who isn't an administrator sees too little"
        assert "sign in as an administrator" in str(findings(said))
    gone = stage.types("admin", "doctor")
    assert gone.code == 1
    assert gone.out.startswith("FAIL  server")
    assert gone.out.count("No answer from") == 1
