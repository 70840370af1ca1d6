import pytest

from pipeline.core.durations import DURATION_DAYS_MAX, DurationError, parse_duration_ms

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("text", "length_ms"),
    [
        ("P3D", 3 * DAY_MS),
        ("P2W", 14 * DAY_MS),
        ("P1DT12H", DAY_MS + DAY_MS // 2),
        ("PT15M", 900_000),
        ("PT0.5S", 500),
        ("PT1H30M5S", 5_405_000),
        (f"P{DURATION_DAYS_MAX}D", DURATION_DAYS_MAX * DAY_MS),
    ],
)
def test_a_duration_is_read_in_milliseconds(text: str, length_ms: int) -> None:
    assert parse_duration_ms(text) == length_ms


@pytest.mark.parametrize(
    ("text", "part_of_sentence"),
    [
        ("", "looks like"),
        ("P", "looks like"),
        ("PT", "looks like"),
        ("P1DT", "looks like"),
        ("3D", "looks like"),
        ("p3d", "looks like"),
        ("-P3D", "looks like"),
        ("P3D ", "looks like"),
        ("P3D\n", "looks like"),
        ("P٣D", "looks like"),  # Arabic-Indic three: a digit to str.isdigit, not to ISO 8601
        ("PT" + "1" * 100 + "S", "looks like"),
        ("P1M", "years and months"),
        ("P1Y", "years and months"),
        ("PT0S", "no length"),
        (f"P{DURATION_DAYS_MAX}DT1S", "at most"),
    ],
)
def test_what_is_no_duration_is_refused_with_a_sentence(text: str, part_of_sentence: str) -> None:
    with pytest.raises(DurationError, match=part_of_sentence):
        parse_duration_ms(text)
