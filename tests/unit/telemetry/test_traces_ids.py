import re

import pytest

from pipeline.telemetry.traces import caller_of, traceparent_of
from pipeline.telemetry.traces_ids import (
    SpanRef,
    attempt_span,
    is_sampled,
    resumed_span,
    run_span,
    settled_span,
    task_span,
    trace_id_of,
    write_span,
)

GUID = "5f0c6a1e-0000-4000-8000-000000000001"
TRACE = "dedd38116c6b3751b6bf5be7396880a5"
TASK = "d0210195e422aaa3"


def test_the_same_words_give_the_same_span_and_every_other_one_another() -> None:
    def named() -> list[SpanRef]:
        return [
            run_span(GUID),
            task_span(GUID, "a", 0, 1, 0),
            task_span(GUID, "a", 0, 1, 1),
            task_span(GUID, "a", 0, 2, 0),
            task_span(GUID, "a", 1, 1, 0),
            task_span(GUID, "a\udc80", 0, 1, 0),
            settled_span(GUID, "a", 0, 1, 0),
            resumed_span(GUID, "a", 0, 1, 0),
            attempt_span(GUID, "a", 0, 1, 0, 7),
            attempt_span(GUID, "a", 0, 1, 0, 8),
            write_span(GUID, 1),
        ]

    assert named() == named()
    assert len({ref.span_id for ref in named()}) == len(named())
    assert {ref.trace_id for ref in named()} == {trace_id_of(GUID)}


def test_ids_are_pinned_since_processes_of_two_versions_name_the_same_spans() -> None:
    assert f"{trace_id_of(GUID):032x}" == TRACE
    assert f"{task_span(GUID, 'a', 0, 1, 0).span_id:016x}" == TASK


def test_a_trace_says_nothing_of_its_run() -> None:
    assert GUID.replace("-", "") not in f"{trace_id_of(GUID):032x}"


@pytest.mark.parametrize(("percent", "low", "high"), [(0, 0, 0), (100, 1000, 1000), (30, 230, 370)])
def test_as_many_runs_are_traced_as_was_asked(percent: int, low: int, high: int) -> None:
    traced = sum(is_sampled(trace_id_of(f"run-{number}"), percent) for number in range(1000))
    assert low <= traced <= high


def test_a_header_is_read_as_it_is_written() -> None:
    ref = run_span(GUID)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", traceparent_of(ref))
    assert caller_of(traceparent_of(ref)) == ref


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"00-{1:032x}-{1:016x}-00",
        f"00-{0:032x}-{1:016x}-01",
        f"00-{1:032x}-{0:016x}-01",
        f"ff-{1:032x}-{1:016x}-01",
        f"00-{1:032x}-{1:016x}-01-more",
        f"00-{'A' * 32}-{1:016x}-01",
    ],
)
def test_who_isnt_sampled_or_writes_nonsense_has_no_trace_to_add_to(header: str | None) -> None:
    assert caller_of(header) is None


def test_a_header_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert caller_of(f"01-{5:032x}-{6:016x}-03-more") == SpanRef(5, 6)
