"""Secrets on their way into an attempt, and what a block gives back made safe to keep."""

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

from pipeline.core.errors import BlocklineError
from pipeline.core.limits import SECRET_CHARS_MIN
from pipeline.messages.canonical import encode
from pipeline.spec.secret_templates import NAMED, PARTS

MASK: Final = "***"
_SHIFTS: Final = 3
"""Base64 writes three bytes at a time, so a text inside another one is written in three ways."""


class SecretError(BlocklineError):
    """A secret can't be had; the sentence names it, and never says what it is."""


class Secrets(Protocol):
    """Port to whoever keeps the secrets of this vertex; asked at each attempt, so that a new value counts at once."""

    async def get(self, name: str) -> str:
        """The secret of that name.

        Raises:
            SecretError: there is none, or it can't be used.
        """
        ...


class NoSecrets:
    """For vertices that are given none."""

    async def get(self, name: str) -> str:
        """See :class:`Secrets`."""
        raise SecretError(f"This block's vertex is given no secrets, so there is none called {name}.")


def secret_arguments(model: type[BaseModel]) -> frozenset[str]:
    """The arguments that may hold secrets: those the model marks ``writeOnly``."""
    return frozenset(
        field.alias or name
        for name, field in model.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("writeOnly") is True
    )


class Revealed:
    """Arguments with their secrets in place. ``repr`` shows neither."""

    def __init__(self, arguments: dict[str, Any], secrets: Iterable[str]) -> None:
        """``secrets`` are the values that stand in ``arguments``."""
        self.arguments = arguments
        self._written = sorted({text for secret in secrets for text in _ways_to_write(secret)}, key=len, reverse=True)

    @property
    def has_secrets(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self._written)

    def hidden(self, text: str) -> str:
        """The text with every secret masked, as it is or as addresses, JSON and Base64 write it."""
        for written in self._written:
            text = text.replace(written, MASK)
        return text

    def hidden_in(self, value: Any) -> Any:
        """A JSON value with the secrets masked in all its texts and keys; a new one."""
        return _walked(value, self.hidden)


async def reveal(arguments: dict[str, Any], places: Iterable[str], secrets: Secrets) -> Revealed:
    """The arguments with the strings in parts at ``places`` (JSON Pointers) put together; others stay values.

    Raises:
        SecretError: a secret can't be had, or a place holds none.
    """
    used: dict[str, str] = {}
    for place in places:
        keys = [key.replace("~1", "/").replace("~0", "~") for key in place.split("/")[1:]]
        arguments = await _with_secrets(arguments, keys, secrets, used)
    for name, value in used.items():
        if len(value) < SECRET_CHARS_MIN:
            detail = f"The secret {name} is shorter than {SECRET_CHARS_MIN} characters, which can't be kept hidden."
            raise SecretError(detail)
    return Revealed(arguments, used.values())


async def _with_secrets(value: Any, keys: list[str], secrets: Secrets, used: dict[str, str]) -> Any:
    if not keys:
        return await _joined(value, secrets, used)
    key, *rest = keys
    if isinstance(value, Mapping) and key in value:
        return {**value, key: await _with_secrets(value[key], rest, secrets, used)}
    if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
        index = int(key)
        return [*value[:index], await _with_secrets(value[index], rest, secrets, used), *value[index + 1 :]]
    raise SecretError("The task's arguments have no place for their secret.")


async def _joined(value: Any, secrets: Secrets, used: dict[str, str]) -> str:
    if not isinstance(value, Mapping) or not isinstance(value.get(PARTS), list):
        raise SecretError("The task's arguments have no place for their secret.")
    texts: list[str] = []
    for part in value[PARTS]:
        if isinstance(part, str):
            texts.append(part)
            continue
        name = str(part[NAMED])
        if name not in used:
            used[name] = await secrets.get(name)
        texts.append(used[name])
    return "".join(texts)


def _ways_to_write(secret: str) -> set[str]:
    """The forms in which services repeat what they were sent."""
    ways = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), encode(secret).decode()[1:-1]}
    encoded = secret.encode()
    for shift in range(_SHIFTS):
        # Characters at both ends depend on what stands beside the secret.
        padded = base64.b64encode(b"\0" * shift + encoded).decode().rstrip("=")
        inner = padded[-(-shift * 8 // 6) :] if shift else padded
        if (len(encoded) + shift) % _SHIFTS:
            inner = inner[:-1]
        ways |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {way for way in ways if len(way) >= SECRET_CHARS_MIN}


def _walked(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key) if isinstance(key, str) else key: _walked(inner, change) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_walked(inner, change) for inner in value]
    return value
