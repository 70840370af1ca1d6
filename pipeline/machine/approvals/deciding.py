"""What people do to an open question: decide, hand it on, override it; and what its deadline does.

Each ``…_by_command`` gives a sentence where it can't be done, and then nothing has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from pipeline.core.errors import ErrorName
from pipeline.core.limits import DECISION_COMMENT_CHARS_MAX
from pipeline.core.statuses import ItemStatus, TaskStatus
from pipeline.machine.approvals.opening import open_item
from pipeline.machine.approvals.question import (
    APPROVED,
    DUE,
    ESCALATE,
    OVERRIDDEN,
    REJECTED,
    SEQUENTIAL,
    TELL,
    Approval,
    Decision,
    Recipient,
    asks_by,
    closing_items,
    meaning,
    open_seats,
    option_for,
    output_of,
    seat_of,
    seats,
    settled_item,
)
from pipeline.machine.approvals.refusing import (
    CLOSED,
    refusal,
    refusal_of_comment,
    refusal_of_delegation,
)
from pipeline.machine.approvals.rules import needed, outcome
from pipeline.machine.effects import CloseItem
from pipeline.machine.inputs import ItemDecision
from pipeline.machine.run import TaskError, cut
from pipeline.machine.transitions import Draft

_RUN_IS_OVER: Final = "This run is over."
_UNREADABLE: Final = "This command can't be read."
_LATE: Final = "Nobody decided in time."


@dataclass(frozen=True, slots=True)
class Said:
    """A command about a human task, its types checked but those of ``arguments`` and ``groups``."""

    task: str | None
    arguments: Mapping[str, Any]
    by: str
    at: int
    comment: str | None
    command: str
    groups: Any = None


def _question(draft: Draft, task: str | None) -> tuple[str, Approval] | str:
    """The task and its question, or why there is none."""
    if task is None:
        return _UNREADABLE
    state = draft.tasks.get(task)
    if state is None:
        return f"This run has no task '{task}'."
    if state.approval is None:
        return _RUN_IS_OVER if draft.is_over else f"Task '{task}' doesn't ask for a decision now."
    return task, state.approval


def decide_by_command(draft: Draft, said: Said) -> str | None:
    """A recipient decides."""
    decision = _decision_of(said)
    found = _question(draft, said.task)
    if decision is None or isinstance(found, str):
        return found if isinstance(found, str) else _UNREADABLE
    return _decide(draft, *found, decision)


def _decision_of(said: Said) -> Decision | None:
    action, item = said.arguments.get("action", ""), said.arguments.get("item")
    groups = said.groups
    if not isinstance(action, str) or not isinstance(item, str | None) or not isinstance(groups, list | None):
        return None
    named = None if groups is None else frozenset(group for group in groups if isinstance(group, str))
    form = said.arguments.get("form")
    return Decision(said.by, action, said.at, said.comment, said.command, item, named, form)


def decide_on_item(draft: Draft, decision: ItemDecision) -> None:
    """A decision written straight on an inbox item counts if the store says that its recipient wrote it.

    An item whose question is settled is written again as it must read.
    """
    for name, state in draft.tasks.items():
        recipient = None if state.approval is None else asks_by(state.approval, decision.item)
        if state.approval is None or recipient is None:
            continue
        if "group" not in recipient and recipient["name"] != decision.by:
            return
        groups = None if decision.groups is None else frozenset(decision.groups)
        made = Decision(decision.by, decision.action, decision.at, decision.comment, item=decision.item, groups=groups)
        reason = _decide(draft, name, state.approval, made)
        if reason is not None and (state.is_over or not _is_open(state.approval, recipient)):
            is_expired = state.status is TaskStatus.EXPIRED or _is_of_earlier(state.approval, decision.item)
            otherwise = ItemStatus.EXPIRED if is_expired else ItemStatus.CLOSED
            draft.emit(settled_item(name, state.approval, decision.item, otherwise))
        return


def _is_open(approval: Approval, recipient: Recipient) -> bool:
    return any(seat["item"] == recipient["item"] for seat in open_seats(approval))


def _is_of_earlier(approval: Approval, item: str) -> bool:
    """Whether an item belongs to the panel that was asked before the escalation."""
    earlier = approval.get("earlier")
    return earlier is not None and any(one["item"] == item for one in earlier["recipients"])


def _decide(draft: Draft, name: str, approval: Approval, decision: Decision) -> str | None:
    state = draft.tasks[name]
    reason = refusal(approval, decision, is_closed=state.is_over, requester=draft.request.requester.name)
    if reason is not None:
        return reason
    seat = seat_of(approval, decision)
    assert seat is not None, "refusal() found the recipient"  # noqa: S101  (for the impossible)
    approval = {**approval, "decisions": [*approval["decisions"], decision.as_json(seat)]}
    draft.note(name, approval=approval)
    comment = decision.comment or None
    draft.emit(CloseItem(seat["item"], name, ItemStatus.DECIDED, decision.action, comment, decision.by, decision.at))
    if not settle_question(draft, name):
        _next_in_turn(draft, name)
    return None


def settle_question(draft: Draft, name: str) -> bool:
    """End the task if its question is decided; False while it is open."""
    approval = draft.tasks[name].approval
    assert approval is not None, "the task asks something"  # noqa: S101  (for the impossible)
    result = outcome(approval)
    if result is None:
        return False
    if approval["decisions"]:
        last = approval["decisions"][-1]
        why = f"{last['by']}: {last['comment']}" if last.get("comment") else f"{last['by']} rejected it."
    else:
        why = f"{needed(approval)} must approve, and only {len(seats(approval))} can be asked."
    _end(draft, name, result, output_of(approval, result), why)
    return True


def _end(draft: Draft, name: str, result: str, output: Mapping[str, Any], why: str) -> None:
    if result == APPROVED:
        draft.end(name, TaskStatus.SUCCESS, output=output)
    else:
        error = TaskError(ErrorName.APPROVAL_REJECTED.value, cut(why))
        draft.end(name, TaskStatus.FAILURE, error=error, output=output)


def _next_in_turn(draft: Draft, name: str) -> None:
    """In a sequence: whoever comes next is asked once nobody is any more."""
    approval = draft.tasks[name].approval
    if approval is None or approval.get("order") != SEQUENTIAL or any(open_seats(approval)):
        return
    waiting = next((one for one in approval["recipients"] if one.get("waits")), None)
    if waiting is None:
        return
    asked = {key: value for key, value in waiting.items() if key != "waits"}
    _ask(draft, name, approval, asked, [asked if one is waiting else one for one in approval["recipients"]])


def _ask(draft: Draft, name: str, approval: Approval, asked: Recipient, recipients: list[Recipient]) -> None:
    """One more is asked from now on, and told."""
    approval = {**approval, "recipients": recipients}
    draft.note(name, approval=approval)
    draft.emit(open_item(draft.request, draft.base.guid, name, approval, asked, draft.now_ms))
    _tell(draft, name, asked["name"])


def _tell(draft: Draft, name: str, recipient: str) -> None:
    """The block tells them: at once where it is waiting, else when it has answered."""
    state = draft.tasks[name]
    if state.status is TaskStatus.RUNNING:
        approval = state.approval or {}
        draft.note(name, approval={**approval, "untold": [*approval.get("untold", ()), recipient]})
        return
    kept = state.state or {}
    draft.note(name, state={**kept, "tell": [*kept.get("tell", ()), recipient]})
    if state.status is TaskStatus.WAITING:
        draft.dispatch(name, attempt=state.attempt, step=state.step + 1, cause=TELL)


def delegate_by_command(draft: Draft, said: Said) -> str | None:
    """A recipient hands their question to somebody else; they stay on record."""
    to, email = said.arguments.get("to"), said.arguments.get("email")
    decision = _decision_of(said)
    if decision is None or not isinstance(to, str) or not to or not isinstance(email, str | None):
        return _UNREADABLE
    found = _question(draft, said.task)
    if isinstance(found, str):
        return found
    name, approval = found
    requester = draft.request.requester.name
    is_closed = draft.tasks[name].is_over
    reason = refusal_of_delegation(approval, decision, to, is_closed=is_closed, requester=requester)
    if reason is not None:
        return reason
    seat = seat_of(approval, decision)
    assert seat is not None, "the delegation wasn't refused"  # noqa: S101  (for the impossible)
    prefix = seat["item"].rpartition("/")[0]
    new = {"name": to, "email": email, "item": f"{prefix}/{quote(to, safe='')}", "delegated_by": seat["name"]}
    recipients: list[Recipient] = []
    for one in approval["recipients"]:
        recipients += [{**one, "delegated_to": to}, new] if one is seat else [one]
    record: dict[str, Any] = {"from": seat["name"], "to": to, "at": said.at, "command": said.command}
    if said.comment:
        record["comment"] = said.comment[:DECISION_COMMENT_CHARS_MAX]
    approval = {**approval, "delegations": [*approval.get("delegations", ()), record]}
    draft.emit(CloseItem(seat["item"], name, ItemStatus.CLOSED))
    _ask(draft, name, approval, new, recipients)
    return None


def override_by_command(draft: Draft, said: Said) -> str | None:
    """An administrator decides in everybody's place; the record says so."""
    action = said.arguments.get("action")
    found = _question(draft, said.task)
    if isinstance(found, str) or not isinstance(action, str):
        return found if isinstance(found, str) else _UNREADABLE
    name, approval = found
    if draft.tasks[name].is_over:
        return CLOSED
    if action not in approval["options"]:
        return f"This question can be answered with {' or '.join(approval['options'])} only."
    made = Decision(said.by, action, said.at, said.comment, said.command)
    reason = refusal_of_comment(approval, made)
    if reason is not None:
        return reason
    record = made.as_json({"name": said.by})
    approval = {**approval, "override": record}
    draft.note(name, approval=approval)
    output = {"decision": action, "decided_by": [said.by], "comment": record.get("comment", ""), "how": OVERRIDDEN}
    why = f"{said.by} overrode it: {said.comment}" if said.comment else f"{said.by} overrode it."
    _end(draft, name, meaning(approval, action), output, why)
    return None


def fall_due(draft: Draft, name: str) -> None:
    """Nobody decided in time: what the question says happens then."""
    approval = draft.tasks[name].approval
    assert approval is not None, "only questions fall due"  # noqa: S101  (for the impossible)
    on_due = approval.get("on_due", "EXPIRE")
    closed = tuple(closing_items(name, approval, ItemStatus.EXPIRED))
    if on_due == "ESCALATE" and not approval.get("is_escalated"):
        _escalate(draft, name, approval)
    elif on_due in {"APPROVE", "REJECT"}:
        result = APPROVED if on_due == "APPROVE" else REJECTED
        by = [decision["by"] for decision in approval["decisions"]]
        output = {"decision": option_for(approval, result), "decided_by": by, "comment": _LATE, "how": DUE}
        _end(draft, name, result, output, _LATE)
        draft.emit(*closed)
    else:
        draft.end(name, TaskStatus.EXPIRED, error=TaskError(ErrorName.APPROVAL_EXPIRED.value, _LATE))


def _escalate(draft: Draft, name: str, approval: Approval) -> None:
    """The open items are closed, and the block looks for those whom the question goes to."""
    state = draft.tasks[name]
    draft.emit(*closing_items(name, approval, ItemStatus.EXPIRED))
    left = {key: value for key, value in approval.items() if key != "untold"}
    draft.note(name, approval={**left, "escalating": True})
    draft.dispatch(name, attempt=state.attempt, step=state.step + 1, cause=ESCALATE)


def escalated(approval: Approval, new: Mapping[str, Any]) -> dict[str, Any]:
    """The question to those whom it was escalated to, with the panel before on record."""
    kept = ("rule", "recipients", "decisions", "delegations", "due_at", "means")
    return {**new, "is_escalated": True, "earlier": {key: approval[key] for key in kept if key in approval}}
