"""Where templates name secrets: do they stand where a block keeps them from people."""

from collections.abc import Collection
from typing import Any, Final

from pipeline.spec.secret_templates import secret_named
from pipeline.spec.syntax import Reading
from pipeline.spec.templates import references

CODE: Final = "Spec.Secret"


def check_secrets(reading: Reading, pointer: str, value: Any, key: str, allowed: Collection[str]) -> None:
    """Report secrets in an argument that isn't among ``allowed``, and those with a default."""
    for found in references(value, pointer, on_error=lambda _, __: None):
        if secret_named(found.placeholder.expression) is None:
            continue
        if key not in allowed:
            reading.say(found.pointer, CODE, _elsewhere(allowed))
        elif found.placeholder.default is not None:
            reading.say(found.pointer, CODE, "A secret has no default: without it the task fails Auth.Denied.")


def _elsewhere(allowed: Collection[str]) -> str:
    if not allowed:
        return "A task of this type is given no secrets: what it is told can be read by people."
    places = " or ".join(f"`{name}`" for name in sorted(allowed))
    return f"A secret can't stand here, where people can read it; in this task it can stand in {places}."
