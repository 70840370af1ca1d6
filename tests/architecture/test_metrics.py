"""The metrics and what is said of them: the page, the example alerts, and labels that can't name anybody."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.metrics_page import MAKERS, SECTIONS, all_metrics, as_page, word_of
from pipeline.process.metrics import Described, counter, gauge

ROOT = Path(__file__).parents[2]
METRICS = {each.name: each for each in all_metrics()}
ALERTS = [
    rule for group in yaml.safe_load((ROOT / "manifests/alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
CLOSED = {"vertex", "process", "type", "outcome", "shard", "slots", "fate", "status"}
CLOSED |= {"kind", "cause", "method", "route"}
"""Labels whose values the engine chooses from few. A further one is a decision: can anybody's words get into it?"""
FROM_OUTSIDE = {"le"}
"""Of a histogram's buckets."""


def test_the_page_is_what_the_metrics_say() -> None:
    assert (ROOT / "docs/metrics.md").read_text() == as_page(), "run `python -m cli.metrics_page`"


def test_the_page_knows_every_module_that_makes_metrics() -> None:
    shells = ("pipeline", "udfs", "sources", "sinks", "api", "cli")
    makers = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for shell in shells
        for path in (ROOT / shell).rglob("*.py")
        if re.search(
            r"^(?:[A-Z_]+: Final = )?(?:counter|gauge|histogram)\(|^ *describe\(f?\"", path.read_text(), re.MULTILINE
        )
    }
    assert makers == set(MAKERS)


def test_nobody_makes_a_metric_that_isnt_described() -> None:
    allowed = {"pipeline/process/metrics.py", "pipeline/process/metrics_server.py", "pipeline/local/plane/metrics.py"}
    for shell in ("pipeline", "udfs", "sources", "sinks", "api"):
        for path in (ROOT / shell).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            made = re.search(
                r"\bprometheus_client\b.* import .*\b(Counter|Gauge|Histogram|Summary)\b", path.read_text()
            )
            is_typed_only = name == "sinks/atlas/counting.py"  # says of what type its children are
            assert not made or name in allowed or is_typed_only, f"{name}: make it with pipeline.process.metrics"


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda each: each.name)
def test_a_metric_says_what_it_is_and_what_to_do(metric: Described) -> None:
    sections = [title for title, words in SECTIONS if word_of(metric) in words]
    assert len(sections) == 1, "a new first word needs its place in cli/metrics_page.py"
    assert metric.text.endswith(".")
    assert len(metric.action) > 10
    assert metric.action.endswith((".", "`"))
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.name.endswith("_seconds") == (metric.unit == "seconds")


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda each: each.name)
def test_labels_come_from_closed_sets(metric: Described) -> None:
    assert set(metric.labels) <= CLOSED


def test_a_name_is_taken_once_and_is_ours() -> None:
    with pytest.raises(ValueError, match="isn't a new name"):
        gauge("blockline_cdc_pending", "Again.", unit="", action="")
    with pytest.raises(ValueError, match="begins with blockline_"):
        counter("other_total", "Not ours.", unit="", action="")


def known(name: str) -> Described | None:
    if name in METRICS:
        return METRICS[name]
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return METRICS.get(base) if base != name and METRICS[base].kind == "histogram" else None


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_names_metrics_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    expression, about = rule["expr"], rule["annotations"]["summary"]
    named = {name: known(name) for name in re.findall(r"\bblockline_\w+", expression)}
    assert named
    assert None not in named.values(), f"there is no such metric among {sorted(named)}"
    labels = {label for metric in named.values() if metric for label in metric.labels} | FROM_OUTSIDE
    asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
    asked |= {label.strip() for given in re.findall(r"\bby \(([^)]*)\)", expression) for label in given.split(",")}
    asked |= set(re.findall(r"\$labels\.(\w+)", about))
    assert asked <= labels
    assert rule["labels"]["severity"] in {"critical", "warning"}
    for opened, closed in ("()", "{}", "[]"):
        assert expression.count(opened) == expression.count(closed)


def test_the_page_for_operators_names_metrics_that_there_are() -> None:
    named = set(re.findall(r"`(blockline_[a-z_]+)`", (ROOT / "docs/operators.md").read_text()))
    assert named
    assert [name for name in sorted(named) if known(name) is None] == []
