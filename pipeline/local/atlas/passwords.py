"""Passwords and personal tokens, as they are kept: never readable again."""

import base64
import hashlib
import hmac
import secrets
from typing import Final

PASSWORD_CHARS_MAX: Final = 1024
TOKEN_PREFIX: Final = "blk_"  # noqa: S105  (says what a token is, so that one that leaked is recognised)
_COST: Final = 1 << 14
_BLOCK: Final = 8
_MEMORY_BYTES_MAX: Final = 64 * 1024 * 1024
_SALT_BYTES: Final = 16
_KEY_BYTES: Final = 32
_GENERATED_BYTES: Final = 12


def hash_password(password: str) -> str:
    """``scrypt$cost$block$salt$key``; about 50 ms on purpose."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _derive(password, salt, _COST, _BLOCK)
    return "$".join(("scrypt", str(_COST), str(_BLOCK), _text(salt), _text(key)))


def is_password(password: str, kept: str) -> bool:
    """Whether ``kept`` was made from that password; as slow as making it."""
    _, cost, block, salt, key = kept.split("$")
    derived = _derive(password, base64.b64decode(salt), int(cost), int(block))
    return hmac.compare_digest(derived, base64.b64decode(key))


def generated_password() -> str:
    """16 characters that can be typed."""
    return secrets.token_urlsafe(_GENERATED_BYTES)


def generated_token() -> str:
    """A personal token; it has enough chance in it that a plain digest keeps it."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def digest_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _derive(password: str, salt: bytes, cost: int, block: int) -> bytes:
    given = password.encode("utf-8", "surrogateescape")
    return hashlib.scrypt(given, salt=salt, n=cost, r=block, p=1, maxmem=_MEMORY_BYTES_MAX, dklen=_KEY_BYTES)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
