"""The question that a human task holds, a JSON object, and what can be read off it.

What the block asked for: ``rule`` (with ``count`` or ``percent``), ``title``, ``body``, ``options`` (names) and
``means`` (what own options count as), ``recipients``, ``due_at``, ``prevent_self_approval``, ``require_comment_on``,
``order``, ``form``, ``on_due``. What the machine adds: an ``item`` for each recipient, ``decisions`` (``{"by",
"action", "at", "comment"?, "command"?, "form"?, "for"?}``), ``delegations``, ``override``, ``untold`` (who is to be
told as soon as the block answers), ``escalating`` (the block looks for others), ``earlier`` (the panel before the
escalation).

A recipient is ``{"name", "email", "item"}``. ``group``: any member of it may decide, and its members aren't known;
``groups``: who was asked as a member must still be in one of them; ``waits``: not their turn yet; ``delegated_to``
and ``delegated_by``. Members that say nothing are left out, so that questions of earlier versions read the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core.limits import DECISION_COMMENT_CHARS_MAX
from pipeline.core.statuses import ItemStatus
from pipeline.machine.effects import CloseItem

APPROVED: Final = "APPROVED"
REJECTED: Final = "REJECTED"
SEQUENTIAL: Final = "SEQUENTIAL"
TELL: Final = "TELL"
"""Why a block goes on that has somebody to tell."""
ESCALATE: Final = "ESCALATE"
"""Why a block goes on that has to find others."""
OVERRIDDEN: Final = "OVERRIDE"
DUE: Final = "DUE"

Approval = Mapping[str, Any]
Recipient = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody says to a question; ``command`` is the id of the command they said it with.

    ``groups`` are the groups they are in now, as far as they matter; None where nobody asked.
    """

    by: str
    action: str
    at: int
    comment: str | None = None
    command: str | None = None
    item: str | None = None
    groups: frozenset[str] | None = None
    form: Any = None

    def as_json(self, seat: Recipient) -> dict[str, Any]:
        """The form it has in the document; a long comment stands whole on the command and the inbox item."""
        body: dict[str, Any] = {"by": self.by, "action": self.action, "at": self.at}
        if self.comment:
            body["comment"] = self.comment[:DECISION_COMMENT_CHARS_MAX]
        if self.command is not None:
            body["command"] = self.command
        if self.form is not None:
            body["form"] = self.form
        if seat["name"] != self.by:
            body["for"] = seat["name"]
        return body


def meaning(approval: Approval, option: str) -> str:
    """What an option counts as: APPROVED or REJECTED."""
    means: str = approval.get("means", {}).get(option, option)
    return means


def option_for(approval: Approval, outcome: str) -> str:
    """The first option that counts as this."""
    return next((option for option in approval["options"] if meaning(approval, option) == outcome), outcome)


def seats(approval: Approval) -> list[Recipient]:
    """Who can decide: the recipients but those who have delegated it."""
    return [recipient for recipient in approval["recipients"] if "delegated_to" not in recipient]


def recipient_of(approval: Approval, name: str) -> Recipient | None:
    """The recipient of that name, whether they can decide or not."""
    return next((recipient for recipient in approval["recipients"] if recipient["name"] == name), None)


def item_of(approval: Approval, name: str) -> str | None:
    """The inbox item of a recipient; ``None`` for anybody else."""
    recipient = recipient_of(approval, name)
    return None if recipient is None else str(recipient["item"])


def seat_of(approval: Approval, decision: Decision) -> Recipient | None:
    """Whom a decision speaks for: the recipient of the item it names, else the one who made it."""
    if decision.item is None:
        return recipient_of(approval, decision.by)
    recipient = _of_item(approval, decision.item)
    if recipient is None or "group" in recipient or recipient["name"] == decision.by:
        return recipient
    return None


def _of_item(approval: Approval, item: str) -> Recipient | None:
    return next((recipient for recipient in approval["recipients"] if recipient["item"] == item), None)


def asks_by(approval: Approval, item: str) -> Recipient | None:
    """The recipient whose item this is, now or before the question was escalated."""
    earlier = approval.get("earlier")
    return _of_item(approval, item) or (None if earlier is None else _of_item(earlier, item))


def decision_for(approval: Approval, seat: str) -> Mapping[str, Any] | None:
    """What was decided in the name of a recipient."""
    decisions: Sequence[Mapping[str, Any]] = approval["decisions"]
    return next((decision for decision in decisions if decision.get("for", decision["by"]) == seat), None)


def open_seats(approval: Approval) -> Iterator[Recipient]:
    """Those who are asked now and haven't answered."""
    if approval.get("escalating"):
        return
    for seat in seats(approval):
        if not seat.get("waits") and decision_for(approval, seat["name"]) is None:
            yield seat


def closing_items(task: str, approval: Approval | None, status: ItemStatus) -> Iterator[CloseItem]:
    """The items of those who are asked and haven't decided, closed with this status."""
    if approval is not None:
        for seat in open_seats(approval):
            yield CloseItem(seat["item"], task, status)


def settled_item(task: str, approval: Approval, item: str, otherwise: ItemStatus) -> CloseItem:
    """An item as it must read: the decision made by it, or ``otherwise``."""
    panel = approval if _of_item(approval, item) is not None else approval["earlier"]
    recipient = _of_item(panel, item)
    assert recipient is not None, "the caller found the recipient"  # noqa: S101  (for the impossible)
    decision = decision_for(panel, recipient["name"])
    if decision is None:
        return CloseItem(item, task, otherwise)
    comment = decision.get("comment", "")
    if comment is not None and len(comment) == DECISION_COMMENT_CHARS_MAX:
        comment = None  # it may have been cut for the document: the item keeps the whole of it
    return CloseItem(item, task, ItemStatus.DECIDED, decision["action"], comment, decision["by"], decision["at"])


def knows_command(approval: Approval, command_id: str) -> bool:
    """Whether a command left something in the question: then it was applied."""
    left: list[Mapping[str, Any]] = [*approval["decisions"], *approval.get("delegations", ())]
    if "override" in approval:
        left.append(approval["override"])
    if "earlier" in approval:
        left += [*approval["earlier"]["decisions"], *approval["earlier"].get("delegations", ())]
    return any(entry.get("command") == command_id for entry in left)


def groups_asked(approval: Approval | None, item: str) -> tuple[str, ...]:
    """The groups that matter for who may decide by this item; none where it is asked of a person by name."""
    recipient = None if approval is None else _of_item(approval, item)
    if recipient is None:
        return ()
    return (recipient["group"],) if "group" in recipient else tuple(recipient.get("groups", ()))


def output_of(approval: Approval, outcome: str) -> dict[str, Any]:
    """A decided task's output.

    ``decision`` is the option that the last one chose who wanted the outcome; ``comment`` and ``form`` are theirs, too
    (a question without a form has no ``form``).
    """
    decisions = approval["decisions"]
    wanted = [decision for decision in decisions if meaning(approval, decision["action"]) == outcome]
    last = (wanted or decisions)[-1:]
    output: dict[str, Any] = {
        "decision": wanted[-1]["action"] if wanted else option_for(approval, outcome),
        "decided_by": [decision["by"] for decision in decisions],
        "comment": (decisions[-1].get("comment") or "") if decisions else "",
    }
    if "form" in approval:
        output["form"] = last[0].get("form") if last else None
    return output
