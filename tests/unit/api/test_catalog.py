import json  # noqa: TID251  (reads an example as people have it)
from pathlib import Path

from api.catalog import InstalledCatalog
from pipeline.blocks.registry import Registry
from pipeline.expressions.cel import CelEvaluator

EXAMPLE = Path(__file__).parents[3] / "examples" / "access-request.json"
CATALOG = InstalledCatalog(Registry.load("udfs.runners"), CelEvaluator())


def test_the_example_is_valid_and_knows_its_defaults() -> None:
    checked = CATALOG.check(json.loads(EXAMPLE.read_text()))
    assert checked.errors == ()
    assert checked.normalised is not None
    assert set(CATALOG.run_defaults(checked.normalised)) == {"APPROVAL", "NOTIFICATION"}
    assert CATALOG.check_input(checked.normalised, {}) == ()


def test_a_block_that_was_taken_away_has_no_defaults() -> None:
    spec = {"dag": {"tasks": [{"type": "GONE"}, {"type": "PASS"}]}}
    assert set(CATALOG.run_defaults(spec)) == {"PASS"}


def test_the_palette_is_sorted_and_whole() -> None:
    palette = CATALOG.palette()
    assert [block["type"] for block in palette] == sorted(block["type"] for block in palette)
    assert {"APPROVAL", "CONDITION", "NOTIFICATION", "PASS"} <= {block["type"] for block in palette}


def test_findings_have_pointers() -> None:
    [problem] = CATALOG.check({"dag": {"entrypoint": "a", "tasks": [{"name": "a", "type": "MAGIC"}]}}).errors
    assert problem.pointer == "/dag/tasks/0/type"
