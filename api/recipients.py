"""Whom an inbox item asks: a person, or a group as a whole."""

from typing import Final

from pipeline.core.ids import GROUP_PREFIX
from pipeline.directory.port import Person

GROUPS_ASKED_MAX: Final = 50
"""Groups of a caller whose items are looked for; each is a search of its own."""


def names_of(caller: Person) -> list[str]:
    """Under which names items ask somebody: their own, and those of their groups."""
    return [caller.name, *(f"{GROUP_PREFIX}{group}" for group in caller.groups[:GROUPS_ASKED_MAX])]
