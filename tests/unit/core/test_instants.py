"""RFC 3339, read and written."""

import pytest

from pipeline.core.instants import InstantError, instant_text, parse_instant_ms


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01 00:00:01Z", 1000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.5Z", -500),
        ("2026-12-24T18:00:00.1239Z", 1798135200123),
        ("2024-02-29T00:00:00-00:30", 1709166600000),
        ("9999-12-31T23:59:59.999Z", 253402300799999),
    ],
)
def test_an_instant(text: str, at_ms: int) -> None:
    assert parse_instant_ms(text) == at_ms
    assert parse_instant_ms(instant_text(at_ms)) == at_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-12-24",
        "2026-12-24T18:00Z",
        "2026-12-24T18:00:00",
        "20261224T180000Z",
        "2026-12-24T18:00:00 Z",
        "2026-12-24T18:00:00+1:00",
        "1798135200",
        "٢٠٢٦-12-24T18:00:00Z",
        "2026-12-24T18:00:00." + "0" * 60 + "Z",
    ],
)
def test_what_looks_otherwise(text: str) -> None:
    with pytest.raises(InstantError, match="a time looks like"):
        parse_instant_ms(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00Z",
        "2026-12-24T25:00:00Z",
        "2026-12-24T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_day_or_time(text: str) -> None:
    with pytest.raises(InstantError, match="no such day"):
        parse_instant_ms(text)
