"""What goes wrong in a world, and how often."""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.testing.chance import Chance


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities, each of one occasion. Nothing happens in a calm world."""

    event_lost: float = 0.0
    event_doubled: float = 0.0
    event_late: float = 0.0
    dispatch_lost: float = 0.0
    message_doubled: float = 0.0
    message_late: float = 0.0
    read_fails: float = 0.0
    write_fails: float = 0.0
    answer_lost: float = 0.0
    crash_at_write: float = 0.0
    lease_renewal_fails: float = 0.0
    runner_hangs: float = 0.0
    runner_crashes: float = 0.0
    sink_crashes: int = 0
    """How many crashes, overlaps and freezes of each sink there are in a world."""
    sink_overlaps: int = 0
    sink_freezes: int = 0
    clock_jumps: int = 0
    garbage: int = 0
    skew_ms: int = 0
    """Clocks of two nodes differ by up to twice this."""


def draw_faults(chance: Chance) -> Faults:
    """A world's weather: one in eight is calm; in the others each kind of fault is there or not, more or less often.

    Worlds with few kinds of fault find what a storm of all of them hides.
    """
    if chance.hits(1 / 8):
        return Faults()
    strength = chance.one_of((0.3, 1.0, 2.0))

    def some(probability: float) -> float:
        return probability * strength if chance.hits(0.6) else 0.0

    def few(most: int) -> int:
        return chance.between(0, most) if chance.hits(0.5) else 0

    return Faults(
        event_lost=some(0.08),
        event_doubled=some(0.1),
        event_late=some(0.1),
        dispatch_lost=some(0.08),
        message_doubled=some(0.1),
        message_late=some(0.1),
        read_fails=some(0.03),
        write_fails=some(0.05),
        answer_lost=some(0.06),
        crash_at_write=some(0.04),
        lease_renewal_fails=some(0.05),
        runner_hangs=some(0.03),
        runner_crashes=some(0.05),
        sink_crashes=few(2),
        sink_overlaps=few(2),
        sink_freezes=few(2),
        clock_jumps=few(2),
        garbage=few(2),
        skew_ms=chance.between(0, 1000) if chance.hits(0.6) else 0,
    )


class WriteFate(StrEnum):
    """What becomes of one write request."""

    DONE = "DONE"
    NOT_DONE = "NOT_DONE"
    """Refused connection: nothing written, and the caller knows."""
    DONE_UNANSWERED = "DONE_UNANSWERED"
    DONE_LATER = "DONE_LATER"
    """The caller hears nothing, reads, and only then is it carried out."""
    NOT_DONE_UNANSWERED = "NOT_DONE_UNANSWERED"
    CRASH_BEFORE = "CRASH_BEFORE"
    CRASH_AFTER = "CRASH_AFTER"


def draw_write(chance: Chance, faults: Faults) -> WriteFate:
    """The fate of one write."""
    if chance.hits(faults.write_fails):
        return WriteFate.NOT_DONE
    if chance.hits(faults.answer_lost):
        return chance.one_of((WriteFate.DONE_UNANSWERED, WriteFate.DONE_LATER, WriteFate.NOT_DONE_UNANSWERED))
    if chance.hits(faults.crash_at_write):
        return chance.one_of((WriteFate.CRASH_BEFORE, WriteFate.CRASH_AFTER))
    return WriteFate.DONE
