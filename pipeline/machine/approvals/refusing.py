"""Why what somebody says to a question doesn't count, as a sentence for them."""

from pipeline.core.limits import COMMENT_CHARS_MAX, DELEGATION_CHAIN_MAX, DELEGATIONS_MAX
from pipeline.machine.approvals.question import (
    REJECTED,
    Approval,
    Decision,
    Recipient,
    decision_for,
    meaning,
    recipient_of,
    seat_of,
)
from pipeline.spec.form import check_filled

NOT_ASKED = "This question wasn't put to you."
CLOSED = "This question is closed: it has been decided or the task has ended."


def refusal(approval: Approval, decision: Decision, *, is_closed: bool, requester: str) -> str | None:
    """Why a decision doesn't count; ``None`` if it does."""
    return (
        refusal_of_person(approval, decision, requester)
        or _refusal_of_time(approval, decision, is_closed=is_closed)
        or refusal_of_answer(approval, decision)
    )


def refusal_of_person(approval: Approval, decision: Decision, requester: str) -> str | None:
    """Why somebody may not decide, whatever they say."""
    if approval["prevent_self_approval"] and decision.by == requester:
        return "You can't decide on your own request."
    seat = seat_of(approval, decision)
    if seat is None:
        return NOT_ASKED
    return _refusal_of_seat(approval, seat, decision) or _refusal_of_member(seat, decision)


def _refusal_of_seat(approval: Approval, seat: Recipient, decision: Decision) -> str | None:
    if "delegated_to" in seat:
        return f"You have handed this question to {seat['delegated_to']}."
    if _has_decided(approval, decision.by):
        return "You have already decided this."
    if decision_for(approval, seat["name"]) is not None:
        return f"Somebody else of {seat['group']} has decided this already."
    if seat.get("waits"):
        return "It isn't your turn yet: those before you decide first."
    return None


def _has_decided(approval: Approval, name: str) -> bool:
    return any(decision["by"] == name for decision in approval["decisions"])


def _refusal_of_member(seat: Recipient, decision: Decision) -> str | None:
    if "group" in seat:
        is_member = decision.groups is not None and seat["group"] in decision.groups
        return None if is_member else f"This question was put to {seat['group']}, of which you aren't a member."
    asked_as = seat.get("groups")
    # Nobody asked: a command of a version that checked this before it signed.
    if asked_as is None or decision.groups is None or not decision.groups.isdisjoint(asked_as):
        return None
    return f"You were asked as a member of {' or '.join(asked_as)}, and aren't one any more."


def _refusal_of_time(approval: Approval, decision: Decision, *, is_closed: bool) -> str | None:
    if is_closed:
        return CLOSED
    if decision.at > approval["due_at"] or approval.get("escalating"):
        return "The due date of this question has passed."
    return None


def refusal_of_answer(approval: Approval, decision: Decision) -> str | None:
    """Why an answer can't be taken, whoever gives it."""
    if decision.action not in approval["options"]:
        return f"This question can be answered with {' or '.join(approval['options'])} only."
    return refusal_of_comment(approval, decision) or refusal_of_form(approval, decision)


def refusal_of_comment(approval: Approval, decision: Decision) -> str | None:
    """A comment that is too long, or missing: what counts as a rejection always needs one."""
    comment = decision.comment or ""
    if len(comment) > COMMENT_CHARS_MAX:
        return f"A comment has at most {COMMENT_CHARS_MAX} characters."
    is_rejection = meaning(approval, decision.action) == REJECTED
    if (is_rejection or decision.action in approval["require_comment_on"]) and not comment.strip():
        return "Say why: this decision needs a comment."
    return None


def refusal_of_form(approval: Approval, decision: Decision) -> str | None:
    """A form that is missing or filled in wrongly. Who rejects may leave it out."""
    is_needed = meaning(approval, decision.action) != REJECTED
    problems = check_filled(approval.get("form"), decision.form, is_needed=is_needed)
    return " ".join(problem.detail for problem in problems) or None


def refusal_of_delegation(
    approval: Approval, decision: Decision, to: str, *, is_closed: bool, requester: str
) -> str | None:
    """Why somebody can't hand a question on; ``decision`` says who they are, and when and why they do."""
    reason = refusal_of_person(approval, decision, requester) or _refusal_of_time(
        approval, decision, is_closed=is_closed
    )
    if reason is not None:
        return reason
    if len(decision.comment or "") > COMMENT_CHARS_MAX:
        return f"A comment has at most {COMMENT_CHARS_MAX} characters."
    seat = seat_of(approval, decision)
    assert seat is not None, "refusal_of_person() found the seat"  # noqa: S101  (for the impossible)
    if "group" in seat:
        return f"This question was put to {seat['group']}: any member may decide it, none can hand it on."
    return _refusal_of_heir(approval, decision, to, requester) or _refusal_of_number(approval, seat)


def _refusal_of_heir(approval: Approval, decision: Decision, to: str, requester: str) -> str | None:
    if approval["prevent_self_approval"] and to == requester:
        return f"{to} asked for this, and can't decide on their own request."
    if recipient_of(approval, to) is not None:
        return "You can't hand a question to yourself." if to == decision.by else f"{to} is asked already."
    return None


def _refusal_of_number(approval: Approval, seat: Recipient) -> str | None:
    if _chain(approval, seat) >= DELEGATION_CHAIN_MAX:
        return f"This question has been handed on {DELEGATION_CHAIN_MAX} times; it can't be once more."
    if len(approval.get("delegations", ())) >= DELEGATIONS_MAX:
        return f"One question can be handed on {DELEGATIONS_MAX} times in all."
    return None


def _chain(approval: Approval, seat: Recipient) -> int:
    """How often the question was handed on until it came to this seat."""
    count, current = 0, seat
    while "delegated_by" in current and count <= DELEGATION_CHAIN_MAX:
        before = recipient_of(approval, current["delegated_by"])
        assert before is not None, "who delegates stays on record"  # noqa: S101  (for the impossible)
        count, current = count + 1, before
    return count
