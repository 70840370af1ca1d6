"""Texts for tests of what is large."""

import base64
import hashlib


def random_text(chars: int) -> str:
    """Text that hardly gets smaller by compression, the same each time."""
    blocks = (hashlib.sha512(str(number).encode()).digest() for number in range(chars // 85 + 1))
    return b"".join(base64.b85encode(block) for block in blocks).decode()[:chars]
