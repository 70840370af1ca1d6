"""What a question came to, as soon as that is certain; the table stands in docs/language.md.

Nobody has to answer: what is certain is so whether those who are left approve, reject or stay silent, except that a
number of approvals which can't be reached any more is a rejection.
"""

from typing import Final, NamedTuple

from pipeline.machine.approvals.question import APPROVED, REJECTED, Approval, meaning, seats

ANY: Final = "ANY"
ALL: Final = "ALL"
ALL_RESPONDED_ANY: Final = "ALL_RESPONDED_ANY"
COUNT: Final = "COUNT"
PERCENT: Final = "PERCENT"
RULES: Final = (ANY, ALL, ALL_RESPONDED_ANY, COUNT, PERCENT)


class Tally(NamedTuple):
    """How many are asked, and what they have said."""

    asked: int
    approved: int
    rejected: int


def verdict(rule: str, tally: Tally, needed: int = 1) -> str | None:
    """APPROVED, REJECTED, or None while it isn't certain. ``needed`` approvals are what COUNT and PERCENT ask for."""
    match rule:
        case "ANY":
            return _first(is_approved=tally.approved > 0, is_rejected=tally.rejected > 0)
        case "ALL":
            return _first(is_approved=tally.approved == tally.asked, is_rejected=tally.rejected > 0)
        case "ALL_RESPONDED_ANY":
            has_all = tally.approved + tally.rejected == tally.asked
            return _first(is_approved=has_all and tally.approved > 0, is_rejected=has_all)
        case _:
            is_out_of_reach = tally.asked - tally.rejected < needed
            return _first(is_approved=tally.approved >= needed, is_rejected=is_out_of_reach)


def _first(*, is_approved: bool, is_rejected: bool) -> str | None:
    if is_approved:
        return APPROVED
    return REJECTED if is_rejected else None


def needed(approval: Approval) -> int:
    """The approvals that COUNT or PERCENT ask for; a percentage is rounded up."""
    if approval["rule"] == PERCENT:
        return -(-len(seats(approval)) * int(approval["percent"]) // 100)
    return int(approval.get("count", 1))


def outcome(approval: Approval) -> str | None:
    """What the question came to: APPROVED, REJECTED, or ``None`` while it is open."""
    meant = [meaning(approval, decision["action"]) for decision in approval["decisions"]]
    tally = Tally(len(seats(approval)), meant.count(APPROVED), meant.count(REJECTED))
    return verdict(approval["rule"], tally, needed(approval))
