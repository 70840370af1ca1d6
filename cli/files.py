"""Files that people hand to commands."""

from pathlib import Path
from typing import Any, Final

import orjson

from cli.context import UsageError
from pipeline.spec.json_text import faults

FILE_BYTES_MAX: Final = 2 * 1024 * 1024
FAULTS_MAX: Final = 20
"""Said of one file."""


def read_json(name: str) -> Any:
    """The JSON in a file.

    Raises:
        UsageError: no such file, too large, or not JSON, or with a key given twice.
    """
    try:
        with Path(name).open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{name} can't be read: {error.strerror}.") from None
    if len(raw) > FILE_BYTES_MAX:
        raise UsageError(f"{name} is larger than {FILE_BYTES_MAX} bytes.")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{name} isn't JSON: {error}.") from None
    if shown := faults(raw)[:FAULTS_MAX]:
        raise UsageError("\n".join(f"{name} {problem.pointer or '/'}: {problem.detail}" for problem in shown))
    return value


def json_object(text: str, option: str, example: str) -> dict[str, Any]:
    """The object that was typed after ``option``, or that stands in the file it names (``@FILE``).

    Raises:
        UsageError: it isn't one; ``example`` shows what one looks like.
    """
    if text.startswith("@"):
        value = read_json(text[1:])
    else:
        try:
            value = orjson.loads(text[:FILE_BYTES_MAX])
        except orjson.JSONDecodeError as error:
            raise UsageError(f"{option} isn't JSON: {error}.") from None
    if not isinstance(value, dict):
        raise UsageError(f"{option} is a JSON object, such as '{example}'.")
    return value


def pairs(texts: list[str], option: str) -> dict[str, str]:
    """``KEY=VALUE`` texts as an object.

    Raises:
        UsageError: one has no ``=``.
    """
    wrong = [text for text in texts if "=" not in text]
    if wrong:
        raise UsageError(f"{option} is given as KEY=VALUE, unlike {wrong[0]}.")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}
