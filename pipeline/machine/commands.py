"""What people ask of a run, and the verdict: applied, or refused with a sentence for them.

An applied command is known by what it left (``ended_by``, ``actions``, a decision), a refused one is remembered under
``refusals``: one that arrives again gets the same verdict and changes nothing.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pipeline.core.limits import COMMENT_CHARS_MAX, REFUSALS_KEPT_MAX
from pipeline.core.statuses import CommandStatus, RunStatus
from pipeline.machine.actions import Action, pause, resolve, resume, skip
from pipeline.machine.approvals.deciding import Said, decide_by_command, delegate_by_command, override_by_command
from pipeline.machine.approvals.question import knows_command
from pipeline.machine.effects import CloseCommand
from pipeline.machine.inputs import Command
from pipeline.machine.transitions import Draft

_ENDS: Final = {
    "withdraw": (RunStatus.WITHDRAWN, "withdrew"),
    "cancel": (RunStatus.TERMINATED, "cancelled"),
    "terminate": (RunStatus.TERMINATED, "terminated"),
}
_OF_QUESTIONS: Final = {
    "decide": decide_by_command,
    "delegate": delegate_by_command,
    "override": override_by_command,
}
_RUN_IS_OVER: Final = "This run is over."
_UNREADABLE: Final = "This command can't be read."
_ACTIONS: Final = {"pause": pause, "resume": resume, "skip": skip, "resolve": resolve}


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
    if any(action["command"] == command_id for action in draft.actions):
        return True
    return any(
        knows_command(state.approval, command_id) for state in draft.tasks.values() if state.approval is not None
    )


def _apply(draft: Draft, command: Command) -> str | None:
    """Do what is asked; a sentence if it can't be done, and then nothing has changed."""
    asked = _read(command.body)
    if asked is None:
        return _UNREADABLE
    if not command.qualified_name.startswith(f"{draft.base.guid}/"):
        return "This command belongs to another run."
    if asked.action in _OF_QUESTIONS:
        groups = command.body.get("groups")
        said = Said(asked.task, asked.arguments, asked.by, asked.at, asked.comment, command.id, groups)
        return _OF_QUESTIONS[asked.action](draft, said)
    return _act(draft, asked, command.id)


def _act(draft: Draft, asked: _Asked, command_id: str) -> str | None:
    if asked.action not in _ENDS and asked.action not in _ACTIONS:
        return f"'{asked.action}' isn't available in this version."
    if draft.is_over:
        return _RUN_IS_OVER
    if asked.comment is not None and len(asked.comment) > COMMENT_CHARS_MAX:
        return f"A comment has at most {COMMENT_CHARS_MAX} characters."
    if asked.action in _ACTIONS:
        return _ACTIONS[asked.action](draft, Action(*asked, command_id))
    _end_run(draft, asked, command_id)
    return None


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


def _end_run(draft: Draft, asked: _Asked, command_id: str) -> None:
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
