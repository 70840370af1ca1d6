import logging
import ssl
import threading
from collections.abc import Sequence

import pytest

from pipeline.process.clock import SystemClock
from pipeline.telemetry.traces import Span, Traces, harmless
from pipeline.telemetry.traces_ids import run_span
from pipeline.telemetry.traces_otlp import OtlpSender
from pipeline.telemetry.traces_queue import SpanQueue
from tests.collector import Collector

STOPS_WITHIN_S = 5.0


def span(number: int = 0) -> Span:
    return Span(run_span(f"run-{number}"), None, "run", 1, 2, {"blockline.run": f"run-{number}"})


class Held:
    """A sender that takes nothing until it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.asked = threading.Event()
        self.sent: list[Span] = []

    def send(self, spans: Sequence[Span]) -> bool:
        self.asked.set()
        self.may.wait()
        self.sent += spans
        return True

    def give_up(self) -> None:
        self.may.set()


def test_what_finds_no_room_is_dropped_and_counted_and_the_rest_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    sender = Held()
    queue = SpanQueue(lambda: sender, SystemClock(), spans_max=10)
    queue.start()
    queue.take(span())
    assert sender.asked.wait(STOPS_WITHIN_S)
    for number in range(1, 16):
        queue.take(span(number))
    assert queue.dropped == 5
    sender.may.set()
    with caplog.at_level(logging.WARNING):
        queue.stop(STOPS_WITHIN_S)
    assert [each.attributes["blockline.run"] for each in sender.sent] == [f"run-{number}" for number in range(11)]
    assert "5 dropped" in caplog.text


def test_a_stop_waits_no_longer_than_it_may(caplog: pytest.LogCaptureFixture) -> None:
    sender = Held()
    queue = SpanQueue(lambda: sender, SystemClock())
    queue.start()
    queue.take(span())
    assert sender.asked.wait(STOPS_WITHIN_S)
    queue.take(span(1))
    queue.stop(0.05)
    queue.stop(0.05)
    assert sender.may.is_set()
    assert "1 spans didn't get to the collector" in caplog.text


def test_a_queue_whose_sender_cant_be_made_drops_all_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Held:
        raise OSError("no")

    queue = SpanQueue(broken, SystemClock())
    queue.start()
    queue.stop(STOPS_WITHIN_S)
    queue.take(span())
    assert queue.dropped == 1
    assert "no more spans are sent" in caplog.text


@pytest.mark.parametrize("answer", [200, 500])
def test_a_collector_takes_spans_or_refuses_them(answer: int) -> None:
    with Collector(answer=answer) as collector:
        sender = OtlpSender(
            f"{collector.url}/v1/traces", {"x-key": "k"}, trusted=ssl.create_default_context(), service="here"
        )
        assert sender.send([span()]) is (answer == 200)
        sender.give_up()
        if answer == 200:
            (got,) = collector.spans()
            assert (got.name, got.service, got.ended_at, got.attributes) == (
                "run",
                "here",
                2,
                {"blockline.run": "run-0"},
            )
            assert collector.headers[0]["x-key"] == "k"


def test_a_collector_that_is_away_is_no_error_of_ours() -> None:
    with Collector() as collector:
        url = collector.url
    sender = OtlpSender(f"{url}/v1/traces", {}, trusted=ssl.create_default_context(), service="here")
    threading.Timer(0.2, sender.give_up).start()
    assert not sender.send([span()])


def test_a_span_with_another_attribute_isnt_made_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    sender = Held()
    traces = Traces(SpanQueue(lambda: sender, SystemClock()))
    wrong = Span(run_span("r"), None, "run", 1, 2, {"blockline.output": "s3cret"})
    harmless(traces.tell)(wrong)
    assert "a span can't be made" in caplog.text
    with pytest.raises(ValueError, match="no attribute"):
        traces.tell(wrong)
