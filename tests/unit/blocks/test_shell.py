import asyncio
import json  # noqa: TID251  (reads what a collector reads)
import logging
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, JsonValue

from pipeline.blocks.contract import Arguments, Attempt, EntityIntent, Runner, ValueOutput, failed, succeeded, waiting
from pipeline.blocks.manifest import parse_manifest
from pipeline.blocks.outputs import ArgumentReader, OutputsAwayError
from pipeline.blocks.shell import RunnerShell
from pipeline.blocks.time_limit import AsyncioTimeLimit
from pipeline.core.errors import BlocklineError, ErrorName
from pipeline.core.limits import (
    CLOCK_SKEW_MAX_MS,
    ENTITIES_A_RESULT_MAX,
    ERROR_MESSAGE_CHARS_MAX,
    OUTPUT_ENTITY_BYTES_MAX,
    STATE_BYTES_MAX,
)
from pipeline.expressions.cel import CelEvaluator
from pipeline.messages.envelopes import (
    Deferred,
    Dispatch,
    ErrorInfo,
    Outcome,
    OutputRef,
    Requester,
    Result,
    parse_dead_letter,
    parse_shard_input,
)
from pipeline.messages.outputs import output_text
from pipeline.messages.tagged import DEAD_TAG
from pipeline.process.logs import JsonFormatter

MANIFEST = parse_manifest(
    'type = "SAMPLE"\ntitle = "S"\nsummary = "s"\ncategory = "Data"\nicon = "x"\nowners = ["t"]\n'
    'stability = "beta"\ndelivery = "pure"\ntimeout_seconds = 5\n',
    "sample",
)
NOW_MS = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now = NOW_MS

    def now_ms(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / 1000

    async def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


class SampleArguments(Arguments):
    do: str
    value: JsonValue = None


class SampleRunner(Runner[SampleArguments, ValueOutput]):
    arguments_type: ClassVar[type[Arguments]] = SampleArguments
    output_type: ClassVar[type[BaseModel]] = ValueOutput

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.gate = asyncio.Event()

    async def run(self, arguments: SampleArguments, attempt: Attempt) -> Any:
        self.attempts.append(attempt)
        if arguments.do == "hang":
            await self.gate.wait()
        if arguments.do in RAISED:
            raise RAISED[arguments.do]
        return ANSWERS[arguments.do](arguments.value)


RAISED = {
    "raise": KeyError("s3cret of /etc/passwd"),
    "own timeout": TimeoutError(),
    "sentence": BlocklineError("the directory doesn't answer"),
}
ANSWERS: dict[str, Callable[[Any], Any]] = {
    "value": lambda value: succeeded(ValueOutput(value)),
    "hang": lambda _: succeeded(ValueOutput("late")),
    "fail": lambda _: failed(ErrorName.HTTP_429, "x" * 2000, retry_after_s=7),
    "wait": lambda value: waiting({"n": value}, continue_at=5, continue_cause="GO"),
    "entities": lambda value: succeeded(
        ValueOutput(None), entities=tuple(EntityIntent("T", f"q{n}") for n in range(value))
    ),
    "wrong": lambda _: succeeded(SampleArguments(do="x")),
    "construct": lambda _: succeeded(ValueOutput.model_construct(object())),  # type: ignore[arg-type]
    "nothing": lambda _: None,
    "bad state": lambda _: waiting({"n": object()}),
}


def dispatch(do: str = "value", value: Any = None, **changes: Any) -> Dispatch:
    body: dict[str, Any] = {
        "run_guid": "g",
        "run_name": "n",
        "task": "a task",
        "type": "SAMPLE",
        "arguments": {"do": do, "value": value},
        "requester": Requester(name="ana"),
        "dispatched_at": NOW_MS - 10,
        "valid_until": NOW_MS + 1000,
        "shard": 7,
    }
    return Dispatch(**{**body, **changes})


def attempt(do: str, value: Any = None, **changes: Any) -> Result:
    shell = RunnerShell(SampleRunner(), MANIFEST, Clock(), time_limit=AsyncioTimeLimit())
    return asyncio.run(shell.attempt(dispatch(do, value, **changes)))


def error_of(result: Result) -> ErrorInfo:
    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    return result.error


def test_a_result_goes_to_the_shard_and_carries_the_identity_of_its_dispatch() -> None:
    shell = RunnerShell(SampleRunner(), MANIFEST, Clock())
    payload = dispatch("value", {"a": None}, round=1, attempt=2, step=3).encode()
    tagged = asyncio.run(shell.handle(payload))
    assert tagged is not None
    assert tagged.tag == "shard-7"
    result = parse_shard_input(tagged.payload)
    assert isinstance(result, Result)
    assert (result.run_guid, result.task, result.round, result.attempt, result.step) == ("g", "a task", 1, 2, 3)
    assert (result.outcome, result.output) == (Outcome.SUCCEEDED, {"a": None})


def test_the_runner_sees_the_effect_key_and_the_stored_time() -> None:
    runner = SampleRunner()
    asyncio.run(RunnerShell(runner, MANIFEST, Clock()).attempt(dispatch(round=1, attempt=2, step=3, cause="GO")))
    seen = runner.attempts[0]
    assert str(seen.effect_key) == "g/a%20task/1/3"
    assert (seen.now_ms, seen.attempt, seen.cause, seen.requester_name) == (NOW_MS - 10, 2, "GO", "ana")


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff\xfe", b'{"kind":"dispatch"}', b"[" * 5000])
def test_garbage_becomes_a_dead_letter(payload: bytes) -> None:
    tagged = asyncio.run(RunnerShell(SampleRunner(), MANIFEST, Clock()).handle(payload))
    assert tagged is not None
    assert tagged.tag == DEAD_TAG
    letter = parse_dead_letter(tagged.payload)
    assert (letter.vertex, letter.payload_bytes) == ("runner-sample", len(payload))
    assert letter.reason


def test_a_dispatch_of_another_type_becomes_a_dead_letter_that_names_the_run() -> None:
    tagged = asyncio.run(RunnerShell(SampleRunner(), MANIFEST, Clock()).handle(dispatch(type="OTHER").encode()))
    assert tagged is not None
    letter = parse_dead_letter(tagged.payload)
    assert (tagged.tag, letter.run_guid) == (DEAD_TAG, "g")


@pytest.mark.parametrize(
    ("late_ms", "is_dropped"), [(0, False), (CLOCK_SKEW_MAX_MS, False), (CLOCK_SKEW_MAX_MS + 1, True)]
)
def test_what_is_out_of_date_is_dropped_without_being_run(late_ms: int, *, is_dropped: bool) -> None:
    runner = SampleRunner()
    payload = dispatch(valid_until=NOW_MS - late_ms).encode()
    assert (asyncio.run(RunnerShell(runner, MANIFEST, Clock()).handle(payload)) is None) is is_dropped
    assert bool(runner.attempts) is not is_dropped


def test_a_duplicate_of_what_is_under_way_is_joined_and_another_attempt_is_not() -> None:
    async def scene() -> None:
        runner = SampleRunner()
        shell = RunnerShell(runner, MANIFEST, Clock())
        first = asyncio.create_task(shell.handle(dispatch("hang").encode()))
        await asyncio.sleep(0)
        assert await shell.handle(dispatch("hang", valid_until=NOW_MS + 9000).encode()) is None
        other = asyncio.create_task(shell.handle(dispatch("hang", attempt=2).encode()))
        await asyncio.sleep(0)
        assert len(runner.attempts) == 2
        runner.gate.set()
        assert await first is not None
        assert await other is not None
        assert await shell.handle(dispatch("hang").encode()) is not None, "it is over: a repeat is answered again"

    asyncio.run(scene())


def test_an_attempt_that_was_cancelled_isnt_under_way_any_more() -> None:
    async def scene() -> None:
        runner = SampleRunner()
        shell = RunnerShell(runner, MANIFEST, Clock())
        first = asyncio.create_task(shell.handle(dispatch("hang").encode()))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        runner.gate.set()
        assert await shell.handle(dispatch("hang").encode()) is not None

    asyncio.run(scene())


def test_too_long_is_a_timeout() -> None:
    error = error_of(attempt("hang", timeout_s=0.01))
    assert (error.name, error.message) == ("Task.Timeout", "the attempt took longer than 0.01 s")


def test_a_timeout_of_the_blocks_own_is_an_error_of_the_block() -> None:
    assert error_of(attempt("own timeout")).name == "Task.Failed"


def test_arguments_that_dont_fit_are_named() -> None:
    error = error_of(attempt("value", arguments={"value": 1, "vlaue": 2}))
    assert error.name == "Validation.Input"
    assert error.message == "do is missing; vlaue isn't known here; did you mean value?"


def test_an_exception_says_its_kind_to_people_and_where_it_was_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        error = error_of(attempt("raise"))
    assert (error.name, error.message) == ("Task.Failed", "the block failed with an unexpected KeyError")
    assert "KeyError" in caplog.text


def test_the_projects_own_errors_are_sentences_for_people() -> None:
    assert error_of(attempt("sentence")).message == "the directory doesn't answer"


def test_a_failure_keeps_its_name_and_a_message_of_bounded_length() -> None:
    error = error_of(attempt("fail"))
    assert (error.name, error.retry_after_s, len(error.message)) == ("Http.429", 7, ERROR_MESSAGE_CHARS_MAX)


@pytest.mark.parametrize("do", ["wrong", "construct", "nothing", "bad state"])
def test_an_output_that_isnt_what_was_promised(do: str) -> None:
    assert error_of(attempt(do)).name == "Validation.Output"


@pytest.mark.parametrize(
    ("length", "error"), [(OUTPUT_ENTITY_BYTES_MAX - 2, None), (OUTPUT_ENTITY_BYTES_MAX - 1, "Engine.TooLarge")]
)
def test_the_size_of_an_output_is_bounded_to_the_byte(length: int, error: str | None) -> None:
    result = attempt("value", "x" * length)
    assert (result.error.name if result.error else None) == error


def test_the_size_of_a_state_is_bounded() -> None:
    assert attempt("wait", "x").state == {"n": "x"}
    error = error_of(attempt("wait", "x" * STATE_BYTES_MAX))
    assert (error.name, "state" in error.message) == ("Engine.TooLarge", True)


def test_waiting_says_when_and_why_to_go_on() -> None:
    result = attempt("wait", 1)
    assert (result.outcome, result.continue_at, result.continue_cause) == (Outcome.WAITING, 5, "GO")


def test_entities_are_counted() -> None:
    assert len(attempt("entities", ENTITIES_A_RESULT_MAX).entities) == ENTITIES_A_RESULT_MAX
    assert error_of(attempt("entities", ENTITIES_A_RESULT_MAX + 1)).name == "Engine.TooLarge"


TEXT, SHA256 = output_text({"n": 7})
REFERENCE = OutputRef(task="before", name="g/before/0/x", sha256=SHA256, bytes=len(TEXT))


class Shelf:
    """Outputs by name; away for the first ``away`` times."""

    def __init__(self, texts: dict[str, str], away: int = 0) -> None:
        self.texts = texts
        self.away = away

    async def text(self, name: str) -> str | None:
        if self.away:
            self.away -= 1
            raise OutputsAwayError("not now")
        return self.texts.get(name)


def deferred() -> Dispatch:
    arguments = {"do": "value", "value": "{{ tasks.before.output.n }}"}
    scope = {
        "run": {"input": {}, "requester": {"name": "ana"}},
        "tasks": {"before": {"status": "SUCCESS"}},
        "asset": None,
        "now": NOW_MS,
    }
    left = Deferred(arguments=arguments, scope=scope, outputs=(REFERENCE,))
    return dispatch().model_copy(update={"arguments": {}, "deferred": left})


def answered(shelf: Shelf | None) -> Result | None:
    reader = None if shelf is None else ArgumentReader(shelf, CelEvaluator())
    shell = RunnerShell(SampleRunner(), MANIFEST, Clock(), reader=reader)
    tagged = asyncio.run(shell.handle(deferred().encode()))
    result = None if tagged is None else parse_shard_input(tagged.payload)
    assert result is None or isinstance(result, Result)
    return result


@pytest.mark.parametrize("away", [0, 3])
def test_arguments_that_name_a_large_output_are_made_here(away: int) -> None:
    result = answered(Shelf({REFERENCE.name: TEXT}, away))
    assert result is not None
    assert result.output == 7


def test_a_store_that_stays_away_is_no_failed_attempt() -> None:
    assert answered(Shelf({REFERENCE.name: TEXT}, 99)) is None


@pytest.mark.parametrize("texts", [{}, {REFERENCE.name: '{"n":8}'}, {REFERENCE.name: "\ud800"}])
def test_an_output_that_isnt_what_was_kept_fails_the_task(texts: dict[str, str]) -> None:
    result = answered(Shelf(texts))
    assert result is not None
    assert error_of(result).name == "Engine.Tampered"


def test_a_runner_without_a_store_says_so() -> None:
    result = answered(None)
    assert result is not None
    assert error_of(result).name == "Expression.Error"


@pytest.mark.parametrize("do", ["raise", "fail", "wrong", "bad state"])
def test_a_failed_attempt_is_logged_with_its_run_and_without_what_it_was_given(
    do: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    attempt(do, {"password": "s3cret of a request"}, attempt=2)
    lines = [JsonFormatter().format(record) for record in caplog.records if record.name == "blockline.runner"]
    assert lines
    for line in lines:
        body = json.loads(line)
        about = [body[name] for name in ("vertex", "run", "task", "attempt")]
        assert about == ["runner-sample", "g", "a task", 2]
        assert "s3cret" not in line
