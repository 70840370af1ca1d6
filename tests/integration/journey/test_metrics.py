"""What a product tells Prometheus after people have worked with it: numbers of all of it, and nobody's words."""

import base64
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.metrics_page import all_metrics
from tests.integration.journey.actors import EXAMPLE, Stage, staged, until

KNOWN = {each.name: each for each in all_metrics()}


def told(stage: Stage) -> tuple[str, dict[str, set[str]]]:
    """The text, and the values of each label; each series is one that is described."""
    text = httpx.get(f"{stage.product.url}/metrics").raise_for_status().text
    values: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        if not family.name.startswith("blockline_"):
            continue
        metric = KNOWN[f"{family.name}_total" if family.type == "counter" else family.name]
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), sample
            for label, value in sample.labels.items():
                values.setdefault(label, set()).add(value)
    return text, values


def has(stage: Stage, series: str) -> bool:
    return any(line.startswith(series) and not line.endswith(" 0.0") for line in told(stage)[0].splitlines())


@pytest.mark.timeout(180)
def test_nobodys_name_address_or_words_are_in_a_label(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        assert stage.types("otto", "workflow", "publish", str(EXAMPLE)).code == 0
        asset = stage.table("salaries-of-2026", "hans")
        run = stage.starts("rosa", "access-request", asset_guid=asset, comment="a-comment-of-rosa")
        task = stage.task_of("sam", run)
        assert stage.types("sam", "task", "decide", task, "APPROVED", "--comment", "a-comment-of-sam").code == 0
        stage.run(run, wait_s=30)
        url = stage.product.url
        wrong = base64.b64encode(b"rosa:a-wrong-password").decode()
        for method, path in (
            ("GET", f"/api/v1/runs/{run}"),
            ("GET", "/api/v1/workflows/a-path-of-mallory"),
            ("GET", "/api/v1/a-path-of-mallory"),
            ("POST", "/hooks/a-path-of-mallory"),
            ("MALLORY", f"/api/v1/runs/{run}"),
        ):
            httpx.request(method, url + path, headers={"Authorization": f"Basic {wrong}"})
            with stage.api("rosa") as rosa:
                rosa.request(method, url + path)

        until(lambda: has(stage, 'blockline_runs_ended_total{shard="0",status="APPROVED"}'), "the run is counted")
        for series in (
            'blockline_handling_seconds_count{vertex="orchestrator"}',
            'blockline_handling_seconds_count{vertex="runner-approval"}',
            'blockline_handling_seconds_count{vertex="atlas-0"}',
            'blockline_handling_seconds_count{vertex="timer"}',
            'blockline_attempts_total{outcome="WAITING",type="APPROVAL"}',
            'blockline_attempts_total{outcome="SUCCEEDED",type="NOTIFICATION"}',
            'blockline_sink_writes_total{fate="WRITTEN",shard="0"}',
            'blockline_sink_lease_held{shard="0",slots="0-255"}',
            "blockline_api_login_failures_total",
            'blockline_cdc_events_total{outcome="GIVEN"}',
        ):
            assert has(stage, series), series

        text, values = told(stage)
        private = ["rosa", "sam", "otto", "hans", "example.org", "salaries", "a-comment", "access-request", "mallory"]
        private += [run, asset, task, stage.password("rosa"), stage.product.password, "a-wrong-password"]
        for word in private:
            assert word not in text.lower(), word
        assert values["vertex"] <= {"orchestrator", "timer", "cdc", "dead-letter", "atlas-0", "atlas-0.fallback"} | {
            f"runner-{name}" for name in ("approval", "http", "metadata", "notification", "pass")
        }
        assert values["method"] <= {"GET", "POST", "PUT", "DELETE", "HEAD"}
