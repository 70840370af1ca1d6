import json  # noqa: TID251  (reads what a collector reads)
import logging
import sys

import pytest

from pipeline.core.errors import BlocklineError
from pipeline.process.logs import DiscreetFormatter, JsonFormatter

SECRET = "hunter2-of-a-request"


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("sink", logging.WARNING, __file__, 1, message, arguments, None)


def test_a_line_is_one_json_object() -> None:
    line = JsonFormatter().format(record("run %s\nis late", "g"))
    assert "\n" not in line
    body = json.loads(line)
    assert (body["level"], body["logger"], body["message"]) == ("WARNING", "sink", "run g\nis late")
    assert body["at"].endswith("+00:00")
    assert "trace" not in body
    assert not {"vertex", "run", "task", "attempt"} & body.keys()


def test_a_line_says_what_it_is_about() -> None:
    about = record("late")
    about.run, about.task, about.attempt = "g", "a task", 2
    body = json.loads(JsonFormatter("timer").format(about))
    assert [body[name] for name in ("vertex", "run", "task", "attempt")] == ["timer", "g", "a task", 2]


def test_a_line_for_people_says_what_it_is_about_and_stays_one_line() -> None:
    about = record("late")
    about.run, about.task = "g", "a\ntask"
    assert DiscreetFormatter("%(message)s").format(about) == "late (run 'g', task 'a\\ntask')"


def test_a_record_knows_its_vertex_better_than_its_process() -> None:
    about = record("late")
    about.vertex = "atlas-3"
    assert json.loads(JsonFormatter("timer").format(about))["vertex"] == "atlas-3"


def failed(error: Exception) -> logging.LogRecord:
    """The record of an error that was raised, with another one that led to it."""
    try:
        try:
            raise KeyError(SECRET)  # noqa: TRY301  (an error needs a frame)
        except KeyError as first:
            raise error from first
    except type(error):
        return logging.LogRecord("sink", logging.ERROR, __file__, 1, "it failed", (), sys.exc_info())


@pytest.mark.parametrize("formatter", [JsonFormatter(), DiscreetFormatter()])
@pytest.mark.parametrize("error", [ValueError(SECRET), ExceptionGroup(SECRET, [OSError(SECRET)])])
def test_words_of_others_errors_are_left_out(formatter: logging.Formatter, error: Exception) -> None:
    line = formatter.format(failed(error))
    assert SECRET not in line
    assert f"builtins.{type(error).__name__}" in line
    assert "builtins.KeyError" in line
    assert "test_logs.py" in line


def test_parts_of_a_group_are_named() -> None:
    assert "builtins.OSError" in DiscreetFormatter().format(failed(ExceptionGroup("g", [OSError(SECRET)])))


def test_words_of_the_engines_own_errors_are_kept() -> None:
    assert "the directory doesn't answer" in JsonFormatter().format(
        failed(BlocklineError("the directory doesn't answer"))
    )
