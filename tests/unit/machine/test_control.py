"""SWITCH and WAIT: decided in the write that makes them runnable."""

from typing import Any

import pytest

from pipeline.core.instants import instant_text
from pipeline.core.limits import WAIT_MS_MAX
from tests.unit.machine.runs import CREATED_AT, HOUR_MS, Story, condition, request, task

DAY_MS = 24 * HOUR_MS


def switch(name: str, *cases: tuple[str, str], depends: str = "", **arguments: Any) -> dict[str, Any]:
    listed = [{"name": case, "expression": expression} for case, expression in cases]
    entries = [{"cases": listed}, *({key: value} for key, value in arguments.items())]
    return task(name, depends, type="SWITCH", arguments=entries)


def wait(name: str, depends: str = "", **arguments: Any) -> dict[str, Any]:
    return task(name, depends, type="WAIT", arguments=[{key: value} for key, value in arguments.items()])


def routed(*cases: tuple[str, str], **arguments: Any) -> Story:
    return Story(
        request(
            switch("route", *cases, **arguments),
            task("high", 'route."high"'),
            task("low", 'route."low"'),
            task("other", '!route."high" && !route."low"'),
        )
    )


@pytest.mark.parametrize(
    ("cases", "arguments", "case", "runs"),
    [
        ([("high", "run.input.amount > 2"), ("low", "true")], {}, "high", "high"),
        ([("high", "run.input.amount > 3"), ("low", "true")], {}, "low", "low"),
        ([("high", "false")], {"default": "low"}, "low", "low"),
        ([("high", "false")], {"default": "high"}, "high", "high"),
        ([("high", "false"), ("low", "false")], {}, None, "other"),
        ([("third", "true"), ("high", "run.input.nothing")], {}, "third", "other"),
    ],
)
def test_the_first_true_case_wins(
    cases: list[tuple[str, str]], arguments: dict[str, Any], case: str | None, runs: str
) -> None:
    story = routed(*cases, **arguments)
    route = story.state("route")
    assert (route.status, route.output, route.attempt) == ("SUCCESS", {"case": case}, 1)
    expected = {name: "RUNNING" if name == runs else "OMITTED" for name in ("high", "low", "other")}
    assert story.statuses() == {"route": "SUCCESS", **expected}


def test_a_case_that_cannot_be_evaluated_fails_the_switch() -> None:
    story = routed(("high", "run.input.nothing > 2"), ("low", "true"))
    error = story.state("route").error
    assert error is not None
    assert error.name == "Expression.AbsentOutput"
    assert story.statuses() == {"route": "FAILURE", "high": "OMITTED", "low": "OMITTED", "other": "RUNNING"}
    story.succeed("other")
    assert story.run.status == "FAILURE", "`!` of a case doesn't handle a failure"


def test_a_case_of_the_wrong_type_fails_the_switch() -> None:
    error = routed(("high", "run.input.amount")).state("route").error
    assert error is not None
    assert error.name == "Expression.Error"


def test_a_failed_switch_is_handled_by_its_failure() -> None:
    story = Story(
        request(switch("route", ("high", "run.input.no")), task("high", 'route."high"'), task("mend", "route.FAILURE"))
    )
    story.succeed("mend")
    assert story.run.status == "SUCCESS"


def test_a_switch_that_is_skipped_or_omitted_took_no_case() -> None:
    never = {**switch("route", ("high", "true")), "when": "false"}
    assert Story(request(never, task("a", 'route."high"'))).statuses() == {"route": "SKIPPED", "a": "OMITTED"}
    after = switch("route", ("high", "true"), depends="no.SUCCESS")
    story = Story(request(condition("no", "false"), after, task("a", 'route."high" || no.FAILURE')))
    assert story.statuses() == {"no": "FAILURE", "route": "OMITTED", "a": "RUNNING"}


def test_a_switch_sees_outputs_and_a_case_is_unknown_before() -> None:
    story = Story(
        request(
            task("fetch"),
            switch("route", ("high", 'tasks["fetch"].output.n > 2'), depends="fetch", default="low"),
            task("a", 'route."high"'),
            task("b", 'route."low" || fetch.FAILURE'),
            task("c", "route"),
        )
    )
    assert story.statuses()["a"] == "PENDING"
    story.succeed("fetch", {"n": 5})
    assert story.statuses() == {"fetch": "SUCCESS", "route": "SUCCESS", "a": "RUNNING", "b": "OMITTED", "c": "RUNNING"}


def test_waiting_for_a_length_of_time() -> None:
    story = Story(request(wait("pause", duration="PT90S"), task("then", "pause")))
    state = story.state("pause")
    assert (state.status, state.attempt, state.continue_at) == ("WAITING", 1, CREATED_AT + 90_000)
    assert (story.run.phase, story.run.wake_at) == ("WAITING", CREATED_AT + 90_000)
    assert story.sent() == []
    story.wait(89_999)
    assert story.state("pause").status == "WAITING"
    story.wait(1)
    assert story.statuses() == {"pause": "SUCCESS", "then": "RUNNING"}
    assert story.state("pause").output == {"until": instant_text(CREATED_AT + 90_000)}


def test_waiting_longer_than_an_hour_is_looked_at_meanwhile() -> None:
    story = Story(request(wait("pause", duration="P2D"), task("then", "pause")))
    assert story.run.wake_at == CREATED_AT + HOUR_MS
    for _ in range(47):
        story.wait(HOUR_MS)
        assert story.state("pause").status == "WAITING"
    story.wait(HOUR_MS)
    assert story.state("pause").status == "SUCCESS"


@pytest.mark.parametrize(
    "until",
    [
        instant_text(CREATED_AT + DAY_MS),
        '{{ tasks["fetch"].output.at }}',
        '{{ timestamp(tasks["fetch"].output.day) + duration("20m") }}',
    ],
)
def test_waiting_until_an_instant(until: str) -> None:
    story = Story(request(task("fetch"), wait("pause", "fetch", until=until), task("then", "pause")))
    at = instant_text(CREATED_AT + DAY_MS)
    story.succeed("fetch", {"at": at, "day": instant_text(CREATED_AT + DAY_MS - 20 * 60_000)})
    assert story.state("pause").continue_at == CREATED_AT + DAY_MS
    story.wait(DAY_MS)
    assert story.state("pause").output == {"until": at}


@pytest.mark.parametrize("until", [CREATED_AT - 1, CREATED_AT, 0, -62135596800000])
def test_an_instant_that_is_past_ends_at_once(until: int) -> None:
    story = Story(request(wait("pause", until=instant_text(until)), task("then", "pause")))
    assert story.statuses() == {"pause": "SUCCESS", "then": "RUNNING"}
    assert story.state("pause").output == {"until": instant_text(until)}
    assert story.run.revision == 0, "in the same write"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"duration": "{{ run.input.amount }}"}, "Validation.Input", "duration must be text."),
        (
            {"duration": "P1M"},
            "Validation.Input",
            "duration: years and months have no fixed length: give days, like P30D.",
        ),
        ({"duration": "P367D"}, "Validation.Input", "duration: a task waits for 366 days at most."),
        (
            {"until": instant_text(CREATED_AT + WAIT_MS_MAX + 1)},
            "Validation.Input",
            "until: a task waits for 366 days at most.",
        ),
        (
            {"until": "{{ asset.attributes.name }}"},
            "Validation.Input",
            "until: a time looks like 2026-12-24T18:00:00Z or 2026-12-24T19:00:00+01:00.",
        ),
        ({}, "Validation.Input", "A WAIT needs either duration or until."),
        ({"duration": "PT1S", "until": instant_text(0)}, "Validation.Input", "A WAIT needs either duration or until."),
        ({"until": "{{ run.input.nothing }}"}, "Expression.AbsentOutput", None),
        ({"until": "{{ run.input.amount.x }}"}, "Expression.Error", None),
    ],
)
def test_a_time_that_is_none_fails_the_task(arguments: dict[str, Any], error: str, message: str | None) -> None:
    story = Story(request(wait("pause", **arguments), task("mend", "pause.FAILURE"), task("then", "pause")))
    found = story.state("pause").error
    assert found is not None
    assert found.name == error
    assert message in {None, found.message}
    assert story.statuses() == {"pause": "FAILURE", "mend": "RUNNING", "then": "OMITTED"}


def test_the_longest_wait() -> None:
    story = Story(request(wait("pause", duration="P366D"), task("then", "pause")))
    assert story.state("pause").continue_at == CREATED_AT + WAIT_MS_MAX


@pytest.mark.parametrize("action", ["withdraw", "cancel", "terminate"])
def test_a_wait_ends_with_its_run(action: str) -> None:
    story = Story(request(wait("pause", duration="P2D"), task("then", "pause")))
    story.apply(story.command(action, "ann"))
    assert story.statuses() == {"pause": "CANCELLED", "then": "CANCELLED"}


def test_a_wait_past_its_longest_duration_times_out() -> None:
    patient = {**wait("pause", duration="P2D"), "maxDurationSeconds": 60}
    story = Story(request(patient, task("then", "pause.TIMED_OUT")))
    assert story.run.wake_at == CREATED_AT + 60_000
    story.wait(60_000)
    assert story.statuses() == {"pause": "TIMED_OUT", "then": "RUNNING"}
