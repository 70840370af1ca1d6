import json  # noqa: TID251  (reads what a collector reads)
import logging

from pipeline.process.logs import JsonFormatter


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("sink", logging.WARNING, __file__, 1, message, arguments, None)


def test_a_line_is_one_json_object() -> None:
    line = JsonFormatter().format(record("run %s\nis late", "g"))
    assert "\n" not in line
    body = json.loads(line)
    assert (body["level"], body["logger"], body["message"]) == ("WARNING", "sink", "run g\nis late")
    assert body["at"].endswith("+00:00")
    assert "trace" not in body
