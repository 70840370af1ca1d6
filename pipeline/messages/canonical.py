"""One JSON text for one value: sorted keys, no spaces, UTF-8."""

from typing import Any

import orjson

from pipeline.core.errors import BlocklineError


class MalformedError(BlocklineError):
    """Bytes that aren't the message they should be."""


def encode(value: Any) -> bytes:
    """Canonical bytes of a JSON value.

    Raises:
        MalformedError: the value has something JSON hasn't (NaN and infinities become null in orjson; integers
            beyond 64 bits, other types and lone surrogates are refused).
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        msg = f"not a JSON value: {error}"
        raise MalformedError(msg) from error


def decode(data: bytes | str) -> Any:
    """The JSON value of a text.

    Raises:
        MalformedError: not JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        msg = f"not JSON: {error}"
        raise MalformedError(msg) from error
