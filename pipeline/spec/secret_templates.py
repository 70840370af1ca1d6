"""Secrets in templates: ``{{ secrets.NAME }}``, alone in its template, never evaluated and never stored.

Instead of the string the engine handles ``{"$parts": ["Bearer ", {"$secret": "NAME"}]}``; where that stands is said
beside the arguments, so that a value from outside that looks like it stays a value.
"""

import re
from typing import Any, Final

PARTS: Final = "$parts"
NAMED: Final = "$secret"
NAME_CHARS_MAX: Final = 128
_NAME: Final = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{NAME_CHARS_MAX - 1}}}")
_SECRET: Final = re.compile(rf"secrets\s*\.\s*({_NAME.pattern})")


def is_secret_name(text: str) -> bool:
    """Whether a secret can have that name: a letter or ``_``, then letters, digits and ``_``; 128 at most."""
    return _NAME.fullmatch(text) is not None


def secret_named(expression: str) -> str | None:
    """The secret that a template's expression is, if it is one and nothing else."""
    found = _SECRET.fullmatch(expression.strip())
    return found[1] if found else None


def parted(parts: list[str | dict[str, str]]) -> dict[str, Any]:
    """What stands for a string with secrets: its texts, and :func:`reference` for each secret."""
    return {PARTS: parts}


def reference(name: str) -> dict[str, str]:
    """What stands for a secret."""
    return {NAMED: name}
