"""What people ask of a run, and the verdict: applied, or refused with a sentence for them.

An applied command is known by what it left (``ended_by``, a decision), a refused one is remembered under
``refusals``: one that arrives again gets the same verdict and changes nothing.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pipeline.core.errors import ErrorName
from pipeline.core.limits import COMMENT_CHARS_MAX, REFUSALS_KEPT_MAX
from pipeline.core.statuses import CommandStatus, ItemStatus, RunStatus, TaskStatus
from pipeline.machine.approvals import (
    REJECTED,
    Approval,
    Decision,
    decided,
    item_of,
    outcome,
    output_of,
    refusal,
    settled_item,
)
from pipeline.machine.effects import CloseCommand, CloseItem
from pipeline.machine.inputs import Command, ItemDecision
from pipeline.machine.run import TaskError, cut
from pipeline.machine.transitions import Draft

_ENDS: Final = {
    "withdraw": (RunStatus.WITHDRAWN, "withdrew"),
    "cancel": (RunStatus.TERMINATED, "cancelled"),
    "terminate": (RunStatus.TERMINATED, "terminated"),
}
_RUN_IS_OVER: Final = "This run is over."
_UNREADABLE: Final = "This command can't be read."


class _Asked(NamedTuple):
    """A command's body with its types checked."""

    action: str
    task: str | None
    arguments: Mapping[str, Any]
    by: str
    role: str
    at: Any
    comment: str | None


def obey(draft: Draft, command: Command) -> None:
    """Apply a command or refuse it; its entity is closed with the verdict in either case."""
    if _is_applied(draft, command.id):
        draft.emit(_verdict(command, None))
        return
    remembered = next((entry["reason"] for entry in draft.refusals if entry["command"] == command.id), None)
    if remembered is not None:
        draft.emit(_verdict(command, remembered))
        return
    reason = _apply(draft, command)
    if reason is not None and not draft.is_over:
        # Of a run that is over every command is refused alike; before that the same one could be applied later.
        draft.has_remarks = True
        if not draft.is_tight:
            draft.refusals = (*draft.refusals, {"command": command.id, "reason": reason})[-REFUSALS_KEPT_MAX:]
            draft.is_changed = True
    draft.emit(_verdict(command, reason))


def _verdict(command: Command, reason: str | None) -> CloseCommand:
    if reason is None:
        return CloseCommand(command.guid, command.qualified_name, CommandStatus.APPLIED)
    return CloseCommand(command.guid, command.qualified_name, CommandStatus.REFUSED, reason)


def _is_applied(draft: Draft, command_id: str) -> bool:
    if draft.ended_by is not None and draft.ended_by["command"] == command_id:
        return True
    return any(
        decision.get("command") == command_id
        for state in draft.tasks.values()
        if state.approval is not None
        for decision in state.approval["decisions"]
    )


def _apply(draft: Draft, command: Command) -> str | None:
    """Do what is asked; a sentence if it can't be done, and then nothing has changed."""
    asked = _read(command.body)
    if asked is None:
        return _UNREADABLE
    if not command.qualified_name.startswith(f"{draft.base.guid}/"):
        return "This command belongs to another run."
    if asked.action == "decide":
        return _decide_by_command(draft, asked, command.id)
    if asked.action in _ENDS:
        return _end_run(draft, asked, command.id)
    return f"'{asked.action}' isn't available in this version."


def _read(body: Mapping[str, Any]) -> _Asked | None:
    asked = _Asked(
        body.get("action", ""),
        body.get("task"),
        body.get("arguments") or {},
        body.get("by", ""),
        body.get("as", ""),
        body.get("at"),
        body.get("comment"),
    )
    texts = (asked.action, asked.by, asked.role, asked.task or "", asked.comment or "")
    is_readable = (
        body.get("v") == 1
        and all(isinstance(text, str) for text in texts)
        and bool(asked.by)
        and isinstance(asked.at, int)
        and isinstance(asked.arguments, Mapping)
    )
    return asked if is_readable else None


def _end_run(draft: Draft, asked: _Asked, command_id: str) -> str | None:
    if draft.is_over:
        return _RUN_IS_OVER
    if asked.comment is not None and len(asked.comment) > COMMENT_CHARS_MAX:
        return f"A comment has at most {COMMENT_CHARS_MAX} characters."
    status, verb = _ENDS[asked.action]
    draft.ended_by = {
        "action": asked.action,
        "by": asked.by,
        "as": asked.role,
        "at": asked.at,
        "comment": asked.comment,
        "command": command_id,
    }
    draft.cancel_living(f"{asked.by} {verb} the run.")
    draft.end_run(status)
    return None


def _decide_by_command(draft: Draft, asked: _Asked, command_id: str) -> str | None:
    action = asked.arguments.get("action")
    item = asked.arguments.get("item")
    if asked.task is None or not isinstance(action, str) or not isinstance(item, str | None):
        return _UNREADABLE
    state = draft.tasks.get(asked.task)
    if state is None:
        return f"This run has no task '{asked.task}'."
    if state.approval is None:
        return _RUN_IS_OVER if draft.is_over else f"Task '{asked.task}' doesn't ask for a decision now."
    decision = Decision(asked.by, action, asked.at, asked.comment, command_id, item)
    return _decide(draft, asked.task, state.approval, decision)


def decide_on_item(draft: Draft, decision: ItemDecision) -> None:
    """A decision written straight on an inbox item counts if the store says that its recipient wrote it.

    An item whose question is settled is written again as it must read.
    """
    for name, state in draft.tasks.items():
        if state.approval is None or item_of(state.approval, decision.by) != decision.item:
            continue
        made = Decision(decision.by, decision.action, decision.at, decision.comment, item=decision.item)
        reason = _decide(draft, name, state.approval, made)
        if reason is not None and (state.is_over or _has_decided(state.approval, decision.by)):
            is_expired = state.status is TaskStatus.EXPIRED
            otherwise = ItemStatus.EXPIRED if is_expired else ItemStatus.CLOSED
            draft.emit(settled_item(name, state.approval, decision.by, otherwise))
        return


def _has_decided(approval: Approval, name: str) -> bool:
    return any(decision["by"] == name for decision in approval["decisions"])


def _decide(draft: Draft, name: str, approval: Approval, decision: Decision) -> str | None:
    state = draft.tasks[name]
    reason = refusal(approval, decision, is_closed=state.is_over, requester=draft.request.requester.name)
    if reason is not None:
        return reason
    item = item_of(approval, decision.by)
    assert item is not None, "refusal() found the recipient"  # noqa: S101  (for the impossible)
    approval = decided(approval, decision)
    draft.note(name, approval=approval)
    draft.emit(
        CloseItem(item, name, ItemStatus.DECIDED, decision.action, decision.comment or None, decision.by, decision.at)
    )
    result = outcome(approval)
    if result == REJECTED:
        why = f"{decision.by}: {decision.comment}" if decision.comment else f"{decision.by} rejected it."
        error = TaskError(ErrorName.APPROVAL_REJECTED.value, cut(why))
        draft.end(name, TaskStatus.FAILURE, error=error, output=output_of(approval, result))
    elif result is not None:
        draft.end(name, TaskStatus.SUCCESS, output=output_of(approval, result))
    return None
