"""No document is ever too large, and every run can be ended."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.limits import DOCUMENT_BYTES_MAX
from pipeline.core.statuses import RunStatus
from pipeline.machine.apply import apply
from pipeline.machine.document import document_bytes, from_document, to_document
from pipeline.machine.failure import refused
from pipeline.machine.inputs import Input
from pipeline.machine.run import Run
from pipeline.machine.start import start
from pipeline.messages.canonical import decode, encode
from pipeline.messages.envelopes import ErrorInfo, Outcome, Result
from tests.unit.machine.runs import CREATED_AT, EVALUATOR, GUID, Story, request, task

TASKS = 500
MESSAGES = ("it broke", "x" * 5000, "🙂" * 1000, "\x01" * 600, "й" * 700)
KINDS = ("fail", "succeed", "late", "refuse")


def made(kind: str, number: int, message: str, story: Story) -> Input:
    if kind == "refuse":
        return story.command("decide", "bob", id=f"r{number}", task=message, arguments={"action": "APPROVED"})
    attempt = 7 + number if kind == "late" else 1
    error = None if kind == "succeed" else ErrorInfo(name="Task.Failed", message=message)
    return Result(
        run_guid=GUID,
        task=f"t{number % TASKS}",
        attempt=0 if kind == "late" else attempt,
        outcome=Outcome.SUCCEEDED if kind == "succeed" else Outcome.FAILED,
        output="y" * 4000 if kind == "succeed" else None,
        error=error,
        started_at=number,
        ended_at=number + 1,
    )


def check(run: Run) -> None:
    size = document_bytes(run)
    assert size <= DOCUMENT_BYTES_MAX
    assert run.size in {None, size}, "the size is counted on, not guessed"
    assert from_document(decode(encode(to_document(run))), run.guid) == run


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_no_document_is_too_large_and_a_run_can_be_ended(data: st.DataObject) -> None:
    given_bytes = data.draw(st.sampled_from((10, 30_000, 60_000, 120_000)))
    story = Story(request(*(task(f"t{n}") for n in range(TASKS)), input={"text": "x" * given_bytes}))
    run = story.run
    check(run)
    for _ in range(data.draw(st.integers(1, 4))):
        kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
        message = data.draw(st.sampled_from(MESSAGES))
        first, count = data.draw(st.integers(0, 400)), data.draw(st.integers(1, TASKS))
        inputs = [made(kinds[n % len(kinds)], n, message, story) for n in range(first, first + count)]
        after = apply(run, inputs, now_ms=CREATED_AT + 1, evaluator=EVALUATOR)
        again = apply(run, inputs, now_ms=CREATED_AT + 1, evaluator=EVALUATOR)
        assert after == again, "it gives way in the same way each time"
        run = after.run
        check(run)
    check(refused(run, "no", now_ms=CREATED_AT + 2).run)
    if not run.is_over:
        end = story.command("terminate", "🙂" * 100, id="end", comment="🙂" * 4000)
        ended = apply(run, [end], now_ms=CREATED_AT + 2, evaluator=EVALUATOR).run
        check(ended)
        assert ended.status is RunStatus.TERMINATED


def test_a_start_that_is_too_large_fits_too() -> None:
    asked = request(*(task(f"t{n}") for n in range(TASKS)), input={"text": "x" * 200_000})
    run = start(asked, GUID, EVALUATOR).run
    check(run)
    assert run.error is not None
    assert (run.status, run.error.name) == (RunStatus.FAILURE, "Engine.TooLarge")


def test_five_hundred_long_failures_keep_their_names() -> None:
    story = Story(request(*(task(f"t{n}") for n in range(TASKS))))
    inputs = [made("fail", n, "🙂" * 1000, story) for n in range(TASKS)]
    run = apply(story.run, inputs, now_ms=CREATED_AT + 1, evaluator=EVALUATOR).run
    check(run)
    assert {state.error.name for state in run.tasks.values() if state.error} == {"Task.Failed"}
    assert any(state.error and state.error.message for state in run.tasks.values()), "no more is left out than must be"
