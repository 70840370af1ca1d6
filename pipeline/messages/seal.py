"""Signed texts: requests, documents, commands, decisions and replays as they stand in the store.

A sealed text is a JSON object whose last member is ``"signature"``: readable by people and by any JSON parser,
verified over the raw bytes without parsing them first. Any change to the text, also one of spacing, breaks it.
"""

import hashlib
import hmac
from enum import StrEnum
from typing import Any, Final

from pipeline.core.errors import BlocklineError
from pipeline.messages.canonical import MalformedError, decode, encode

_OPEN: Final = b',"signature":"v1:'
_CLOSE: Final = b'"}'
_HEX_CHARS: Final = 64
_SUFFIX_BYTES: Final = len(_OPEN) + _HEX_CHARS + len(_CLOSE)


class Sealed(StrEnum):
    """What a signature is for; a text sealed as one kind doesn't open as another."""

    REQUEST = "request"
    DOCUMENT = "document"
    COMMAND = "command"
    REPLAY = "replay"


class TamperedError(BlocklineError):
    """The text wasn't signed by this engine for this identity."""


class Seal:
    """Signs and verifies with the engine's key (HMAC-SHA-256)."""

    def __init__(self, key: bytes) -> None:
        """``key``: at least 32 bytes.

        Raises:
            ValueError: the key is shorter.
        """
        if len(key) < 32:  # noqa: PLR2004  (the digest's own size, RFC 2104)
            msg = "the engine key needs at least 32 bytes"
            raise ValueError(msg)
        self._mac = hmac.new(key, digestmod=hashlib.sha256)

    def seal(self, kind: Sealed, identity: str, body: dict[str, Any]) -> str:
        """The signed text of ``body``, which must not be empty nor have a member ``signature``.

        ``identity`` is what the text belongs to: a request's qualified name, a document's run guid, a command's
        qualified name.
        """
        if not body or "signature" in body:
            msg = "a sealed body has members, and none is called 'signature'"
            raise ValueError(msg)
        text = encode(body)
        return (text[:-1] + _OPEN + self._sign(kind, identity, text).encode() + _CLOSE).decode()

    def open(self, kind: Sealed, identity: str, text: str) -> dict[str, Any]:
        """The body of a sealed text.

        Raises:
            TamperedError: not signed, or signed for another kind, identity or content.
        """
        raw = text.encode()
        body = raw[:-_SUFFIX_BYTES] + b"}"
        signature = raw[-_SUFFIX_BYTES:]
        expected = _OPEN + self._sign(kind, identity, body).encode() + _CLOSE
        if not hmac.compare_digest(signature, expected):
            msg = f"this {kind} wasn't signed by this engine"
            raise TamperedError(msg)
        value = decode(body)
        if not isinstance(value, dict):
            msg = f"this {kind} isn't an object"
            raise TamperedError(msg)
        return value

    def _sign(self, kind: Sealed, identity: str, text: bytes) -> str:
        mac = self._mac.copy()
        mac.update(f"{kind}\0{identity}\0".encode())
        mac.update(text)
        return mac.hexdigest()


def is_signed(text: str) -> bool:
    """Whether the text claims a signature at all (not whether it is right); an unsigned request is *admitted*."""
    try:
        value = decode(text)
    except MalformedError:
        return False
    return isinstance(value, dict) and "signature" in value
