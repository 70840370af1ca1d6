"""A run's trace, as a real collector gets it from a real ``blockline up``; and what a bad collector does to a run."""

from collections import Counter
from pathlib import Path

import pytest

from pipeline.telemetry.traces_ids import run_span, trace_id_of
from tests.collector import Collector, Got
from tests.integration.journey.actors import WITHIN_S, staged, statuses, until
from tests.integration.journey.test_http import Tickets, tickets

__all__ = ["tickets"]  # a fixture

pytestmark = pytest.mark.timeout(240)
MARK = "s3cret-mark"
CALLER = (0x1234, 0x5678)


def spec(url: str) -> dict[str, object]:
    """Two at once (one of them tried twice), then a question, each with words that must not be told."""
    call = {
        "method": "POST",
        "url": f"{url}?q={MARK}",
        "body": {"for": MARK},
        "headers": {"X-Private": MARK, "Authorization": "{{ secrets.TOKEN }}"},
    }
    ask = {"title": f"{MARK}?", "body": MARK, "approvers": {"users": ["sam"]}, "rule": "ANY", "dueIn": "P3D"}
    tasks = [
        {"name": "first", "type": "PASS", "arguments": {"output": MARK}},
        {
            "name": "open",
            "type": "HTTP",
            "depends": "first",
            "arguments": call,
            "retry": [{"errorEquals": ["Http.5xx"], "intervalSeconds": 0.1}],
        },
        {
            "name": "beside",
            "type": "PASS",
            "depends": "first",
            "title": MARK,
            "arguments": {"output": "{{ run.input.x }}"},
        },
        {"name": "ask", "type": "APPROVAL", "depends": "open && beside", "arguments": ask},
        {"name": "wrong", "type": "PASS", "depends": "ask", "arguments": {"output": "{{ run.input.nothing }}"}},
    ]
    return {"dag": {"entrypoint": "first", "tasks": tasks}, "labels": {"k": MARK}}


def the(spans: list[Got], name: str, attempt: int | None = None) -> Got:
    (found,) = [
        span for span in spans if span.name == name and attempt in {None, span.attributes.get("blockline.attempt")}
    ]
    return found


def nothing_private(collector: Collector) -> None:
    for content in collector.bodies:
        assert MARK.encode() not in content
        assert b"example.org" not in content
    contents: dict[tuple[str, str], set[object]] = {}
    for span in collector.spans():
        told = (span.name, span.parent, span.started_at, span.ended_at, str(span.attributes), span.links, span.is_error)
        contents.setdefault((span.trace, span.id), set()).add(told)
    assert all(len(each) == 1 for each in contents.values()), "one span, one content"


def one_tree(spans: list[Got], run: str) -> None:
    root = the(spans, "run")
    assert (root.id, root.parent, root.is_error) == (f"{run_span(run).span_id:016x}", "", True)
    ids = {span.id for span in spans}
    assert {span.parent for span in spans} - {""} <= ids, "everything hangs together"
    tried = [the(spans, "task open", attempt=number) for number in (1, 2)]
    works = [the(spans, "attempt open", attempt=number) for number in (1, 2)]
    assert [work.parent for work in works] == [task.id for task in tried]
    assert [work.attributes.get("error.type") for work in works] == ["Http.5xx", None]
    again = the(spans, "resumed open")
    assert again.links == ((root.trace, tried[0].id),)
    assert (root.trace, again.id) in tried[1].links
    settled = the(spans, "settled ask")
    assert settled.attributes["blockline.status"] == "SUCCESS"
    assert settled.links[0][1] in {span.id for span in spans if span.name == "task ask"}
    for name in ("first", "beside"):
        assert the(spans, f"attempt {name}").parent == the(spans, f"task {name}").id
    assert the(spans, "task wrong").attributes["error.type"].startswith("Expression.")
    assert {span.attributes["blockline.hop"] for span in spans} >= {"api", "cdc", "orchestrator", "atlas-0", "machine"}
    assert Counter(span.name for span in spans)["write"] == root.attributes["blockline.revision"]


def links_of_callers_and_batches(spans: list[Got], others: list[Got]) -> None:
    start = the(spans, "start")
    (theirs,) = [span for span in others if span.trace == f"{CALLER[0]:032x}"]
    assert (theirs.parent, theirs.links) == (f"{CALLER[1]:016x}", ((start.trace, start.id),))
    assert start.links == ((theirs.trace, theirs.id),)
    batches = [span for span in others if span.name == "batch"]
    linked = {link for batch in batches for link in batch.links}
    writes = {(span.trace, span.id) for span in spans if span.name == "write"}
    assert writes <= linked


def test_a_run_is_one_trace_that_tells_no_secret(tmp_path: Path, tickets: Tickets) -> None:
    with Collector() as collector:
        settings = {
            "BLOCKLINE_OTLP_ENDPOINT": collector.url,
            "BLOCKLINE_OTLP_HEADERS": f"x-key={MARK}",
            "BLOCKLINE_HTTP_ALLOW": "127.0.0.1",
            "BLOCKLINE_HTTP_ALLOW_PLAIN": "127.0.0.1",
        }
        secrets = tmp_path / "data" / "secrets"
        secrets.mkdir(parents=True)
        (secrets / "TOKEN").write_text(f"Bearer {MARK}")
        with staged(tmp_path, **settings) as stage:
            stage.publishes("traced", spec(tickets.url))
            with stage.api("rosa") as rosa:
                body = {"workflow": "traced", "input": {"x": MARK}, "comment": MARK}
                header = f"00-{CALLER[0]:032x}-{CALLER[1]:016x}-01"
                run = rosa.post("/runs", json=body, headers={"traceparent": header}).raise_for_status().json()["guid"]
            until(lambda: statuses(stage.run(run))["ask"] == "WAITING" or None, "the question")
            with stage.api("sam") as sam:
                item = until(lambda: sam.get("/tasks").json()["items"] or None, "an item")[0]
                decision = {"action": "APPROVED", "comment": MARK}
                sam.post(f"/tasks/{item['guid']}/decide", json=decision).raise_for_status()
            ended = stage.run(run, wait_s=40)
            assert statuses(ended)["wrong"] == "FAILURE"
            until(lambda: [span for span in collector.spans() if span.name == "run"] or None, "the root")
        log = (tmp_path / "up.log").read_text()
        spans = collector.spans(f"{trace_id_of(run):032x}")
        others = [span for span in collector.spans() if span.trace != spans[0].trace]

    assert MARK not in log
    assert collector.headers[0]["x-key"] == MARK
    nothing_private(collector)
    one_tree(spans, run)
    links_of_callers_and_batches(spans, others)


@pytest.mark.parametrize("answer", [500, None])
def test_a_bad_collector_holds_nobody_up(tmp_path: Path, answer: int | None) -> None:
    with Collector(answer=answer) as collector:
        with staged(tmp_path, BLOCKLINE_OTLP_ENDPOINT=collector.url) as stage:
            stage.publishes("plain", {"dag": {"entrypoint": "a", "tasks": [{"name": "a", "type": "PASS"}]}})
            for _ in range(3):
                ended = stage.run(stage.starts("rosa", "plain"), wait_s=WITHIN_S)
                assert ended["status"] == "SUCCESS"
            until(lambda: collector.requests or None, "a request")
        log = (tmp_path / "up.log").read_text()
    assert "spans" in log
    assert "Traceback" not in log
