"""Counts dead letters by the vertex that refused and by why, in few words: a letter's own reason is a sentence."""

import re
from enum import StrEnum
from typing import Final

from pipeline.process.metrics import counter

UNKNOWN: Final = "unknown"


class Cause(StrEnum):
    """Why something was refused for good."""

    UNREADABLE = "UNREADABLE"
    """Not what it should be, or it holds what can't be read."""
    TOO_LARGE = "TOO_LARGE"
    FAILED = "FAILED"
    """The vertex' own code failed on it."""
    NO_RUN = "NO_RUN"
    MISDIRECTED = "MISDIRECTED"
    """It came to a vertex that isn't its own."""
    REFUSED = "REFUSED"
    """The store refused it."""


DEAD_LETTERS: Final = counter(
    "blockline_dead_letters_total",
    "Dead letters written, by the vertex that refused and the cause: "
    + ", ".join(cause.value for cause in Cause)
    + ".",
    ["vertex", "cause"],
    unit="letters",
    action="`blockline dead-letter list` says what and why; mend it, then `blockline dead-letter replay ID`.",
)
_VERTEX: Final = re.compile(r"cdc|timer|orchestrator|dead-letter|atlas-\d{1,3}|runner-[a-z0-9]{1,64}")
_SINK: Final = re.compile(r"atlas-\d+|dead-letter")
_BY_WORDS: Final = (
    (re.compile(r"\bfit in a message\b"), Cause.TOO_LARGE),
    (re.compile(r"\bfailed (on|at) this\b"), Cause.FAILED),
    (re.compile(r"^there is no such run$"), Cause.NO_RUN),
    (re.compile(r"^this run belongs to |^a task of type \S+ came to "), Cause.MISDIRECTED),
)


def cause_of(vertex: str, reason: str) -> Cause:
    """The cause that a letter's sentence tells of."""
    for words, cause in _BY_WORDS:
        if words.search(reason):
            return cause
    return Cause.REFUSED if _SINK.fullmatch(vertex) else Cause.UNREADABLE


def count_letter(vertex: str, reason: str) -> None:
    """One more; a vertex that can't be one of ours is counted as :data:`UNKNOWN`."""
    DEAD_LETTERS.labels(vertex if _VERTEX.fullmatch(vertex) else UNKNOWN, cause_of(vertex, reason)).inc()
