from dataclasses import replace

import pytest

from pipeline.retention.records import ArchiveError, merged, parse_line
from tests.golden.archived import ARCHIVED, RUN
from tests.golden.recorded import ARCHIVE_V1, HOW_TO

LINE = ARCHIVE_V1 / "run.jsonl"


def test_an_archived_run_has_the_bytes_it_had() -> None:
    assert ARCHIVED.line() == LINE.read_bytes(), HOW_TO


def test_a_recorded_line_is_read_as_it_was_meant() -> None:
    assert parse_line(LINE.read_bytes()) == ARCHIVED, HOW_TO


@pytest.mark.parametrize(
    ("line", "sentence"),
    [(b"{", "isn't an archived run"), (b"[]", "isn't an archived run"), (b'{"format": 2}', "a later version")],
)
def test_what_is_not_such_a_line_is_refused(line: bytes, sentence: str) -> None:
    with pytest.raises(ArchiveError, match=sentence):
        parse_line(line)


def test_copies_say_together_what_was_archived() -> None:
    item = replace(RUN, guid="i", type_name="Task")
    later = replace(RUN, updated_at=RUN.updated_at + 1, attributes={"name": "later"})
    first = replace(ARCHIVED, entities=(RUN, item))
    second = replace(ARCHIVED, entities=(later,), archived_at=ARCHIVED.archived_at + 1)
    for copies in ((first, second), (second, first)):
        whole = merged(copies)
        assert whole is not None
        assert {entity.guid for entity in whole.entities} == {RUN.guid, "i"}
        assert next(entity for entity in whole.entities if entity.guid == RUN.guid).attributes == {"name": "later"}
    assert merged(()) is None
