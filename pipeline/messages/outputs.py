"""Outputs that are too large for a run's document: entities of their own, believed by the digest the document holds."""

import hashlib
from typing import Any

from pipeline.messages.canonical import MalformedError, decode, encode
from pipeline.messages.seal import TamperedError


def output_text(output: Any) -> tuple[str, str]:
    """The text that is kept of an output, and its SHA-256 (hex).

    Raises:
        MalformedError: it isn't a JSON value.
    """
    raw = encode(output)
    return raw.decode(), hashlib.sha256(raw).hexdigest()


def open_output(text: str | None, sha256: str) -> Any:
    """The output of a kept text; ``None`` is a text that isn't there.

    Raises:
        TamperedError: it isn't what the engine kept.
    """
    if text is not None:
        raw = text.encode(errors="replace")
        if hashlib.sha256(raw).hexdigest() == sha256:
            try:
                return decode(raw)
            except MalformedError:
                pass
    raise TamperedError("this output isn't what the engine kept")
