"""What is kept changes nothing but the time it takes."""

import hashlib

import pytest

from pipeline.machine.document import to_document
from pipeline.machine.opened import OpenedRuns
from pipeline.machine.run import Run
from pipeline.machine.start import start
from pipeline.messages.canonical import MalformedError
from pipeline.messages.seal import Seal, Sealed, TamperedError
from pipeline.store.starting import request_body
from tests.unit.machine.runs import EVALUATOR, GUID, Story, request, task

SEAL = Seal(b"a key of thirty-two bytes or more")
NAME = "blockline/runs/1"


class CountedSeal(Seal):
    """Counts what is verified."""

    opened = 0

    def open(self, kind: Sealed, identity: str, text: str) -> dict[str, object]:
        self.opened += 1
        return super().open(kind, identity, text)


def opened_runs(**limits: int) -> tuple[OpenedRuns, CountedSeal]:
    seal = CountedSeal(b"a key of thirty-two bytes or more")
    return OpenedRuns(seal, EVALUATOR, **limits), seal


def document(run: Run) -> str:
    return SEAL.seal(Sealed.DOCUMENT, run.guid, to_document(run))


def other(text: str) -> str:
    """The same characters as another object, as they come from the store."""
    return text.encode().decode()


def test_a_document_is_opened_once() -> None:
    opened, seal = opened_runs()
    run = Story(request(task("a"))).run
    assert opened.document(GUID, document(run)) == run
    assert opened.document(GUID, other(document(run))) == run
    assert seal.opened == 1


def test_what_was_signed_here_is_not_opened() -> None:
    opened, seal = opened_runs()
    run = Story(request(task("a"))).run
    text = document(run)
    assert opened.kept(GUID, text) is None
    opened.signed(run, text)
    assert opened.kept(GUID, other(text)) is run
    assert opened.document(GUID, other(text)) is run
    assert seal.opened == 0


@pytest.mark.parametrize("changed", ['"round":1', '"round": 0'])
def test_a_changed_text_is_another_one(changed: str) -> None:
    opened, _ = opened_runs()
    run = Story(request(task("a"))).run
    text = document(run)
    opened.signed(run, text)
    assert text.replace('"round":0', changed) != text
    with pytest.raises(TamperedError):
        opened.document(GUID, text.replace('"round":0', changed))


def test_a_text_that_stands_elsewhere_is_another_one() -> None:
    opened, _ = opened_runs()
    run = Story(request(task("a"))).run
    opened.signed(run, document(run))
    with pytest.raises(TamperedError):
        opened.document("another-guid", document(run))
    with pytest.raises(TamperedError):
        opened.started(NAME, GUID, document(run))
    assert opened.kept("another-guid", document(run)) is None


def test_what_was_refused_is_refused_again() -> None:
    opened, _ = opened_runs()
    for _ in range(2):
        with pytest.raises(TamperedError):
            opened.document(GUID, "{}")
        with pytest.raises(MalformedError):
            opened.document(GUID, SEAL.seal(Sealed.DOCUMENT, GUID, {"v": 2}))


def test_a_start_is_made_once_a_run_and_name() -> None:
    opened, seal = opened_runs()
    asked = request(task("a"), task("b", "a"))
    body = request_body(
        spec=asked.spec.source,
        input=dict(asked.input),
        requester=asked.requester,
        created_at=asked.created_at,
        blocks={},
        asset=None,
        workflow=None,
        comment=None,
    )
    text = SEAL.seal(Sealed.REQUEST, NAME, body)
    made = opened.started(NAME, GUID, text)
    assert made == start(made.run.request, GUID, EVALUATOR)
    assert opened.started(NAME, GUID, other(text)) is made
    assert seal.opened == 1
    assert opened.started(NAME, "another-guid", text).run.guid == "another-guid"
    with pytest.raises(TamperedError):
        opened.started("blockline/runs/2", GUID, text)


def test_the_least_recently_used_leave_first() -> None:
    runs = [Story(request(task("a"), comment=hashlib.sha256(bytes([n])).hexdigest())).run for n in range(4)]
    texts = [document(run) for run in runs]
    opened, seal = opened_runs(chars_max=3 * len(texts[0]))
    for text in texts[:3]:
        opened.document(GUID, text)
    opened.document(GUID, texts[0])
    opened.document(GUID, texts[3])
    assert seal.opened == 4
    assert [opened.kept(GUID, text) is not None for text in texts] == [True, False, True, True]


def test_a_text_that_is_too_large_is_not_kept() -> None:
    opened, _ = opened_runs(chars_max=10)
    run = Story(request(task("a"))).run
    assert opened.document(GUID, document(run)) == run
    assert opened.kept(GUID, document(run)) is None
