from pathlib import Path

import pytest

from pipeline.machine.document import from_document, to_document
from pipeline.messages.canonical import decode
from tests.golden.histories import GUID, HISTORIES, history_of, lines_of
from tests.golden.recorded import HISTORIES_V1, HOW_TO

FILES = sorted(HISTORIES_V1.glob("*.jsonl"))
ENDS = {
    "auto-approved": "APPROVED",
    "approved-on-the-second-mail": "APPROVED",
    "rejected-on-the-item": "REJECTED",
    "expired": "REJECTED",
    "withdrawn": "WITHDRAWN",
    "a-large-output": "SUCCESS",
    "refused-by-the-store": "FAILURE",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_inputs_lead_to_the_same_documents(path: Path) -> None:
    recorded = path.read_bytes()
    replayed = lines_of(history_of(recorded))
    for number, (was, is_) in enumerate(zip(recorded.splitlines(), replayed.splitlines(), strict=True)):
        assert decode(is_) == decode(was), f"step {number} of {path.name}. {HOW_TO}"
    assert replayed == recorded, HOW_TO


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_document_is_read_for_ever(path: Path) -> None:
    for line in path.read_bytes().splitlines():
        document = decode(line)["document"]
        assert to_document(from_document(document, GUID)) == document, HOW_TO


def test_the_histories_tell_what_they_are_called() -> None:
    ends = {path.stem: decode(path.read_bytes().splitlines()[-1])["document"]["engine"]["status"] for path in FILES}
    assert ends == ENDS
    assert set(HISTORIES) == set(ENDS), HOW_TO
