"""The rules of human tasks: who may decide, what is decided, which inbox items open and close.

The approval that a task holds is a JSON object: what the block asked for (``rule``, ``title``, ``body``, ``options``,
``recipients``, ``due_at``, ``prevent_self_approval``, ``require_comment_on``) with an ``item`` for each recipient, and
``decisions``: ``{"by", "action", "at", "comment"?, "command"?}``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core.ids import EffectKey, item_name
from pipeline.core.limits import COMMENT_CHARS_MAX, DECISION_COMMENT_CHARS_MAX, RECIPIENTS_MAX
from pipeline.core.statuses import ItemStatus
from pipeline.machine.effects import CloseItem, OpenItem
from pipeline.machine.run import Request, Run

APPROVED: Final = "APPROVED"
REJECTED: Final = "REJECTED"
OPTIONS: Final = (APPROVED, REJECTED)
RULES: Final = ("ANY", "ALL")

Approval = Mapping[str, Any]


class BadApprovalError(ValueError):
    """What a block put under ``approval`` isn't an approval; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody says to a question; ``command`` is the id of the command they said it with."""

    by: str
    action: str
    at: int
    comment: str | None = None
    command: str | None = None
    item: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The form it has in the document; a long comment stands whole on the command and the inbox item."""
        body: dict[str, Any] = {"by": self.by, "action": self.action, "at": self.at}
        if self.comment:
            body["comment"] = self.comment[:DECISION_COMMENT_CHARS_MAX]
        if self.command is not None:
            body["command"] = self.command
        return body


def opened(body: Any, key: EffectKey, requester: str) -> dict[str, Any]:
    """The approval to be kept, from what the block asked for; the step of ``key`` is the one that opened it.

    The requester isn't asked where self-approval is prevented; ``recipients`` is empty when nobody is left.

    Raises:
        BadApprovalError: it isn't an approval.
    """
    if not isinstance(body, Mapping):
        raise BadApprovalError("it isn't an object")
    _check(body)
    prevents_self = bool(body.get("prevent_self_approval", True))
    names: dict[str, dict[str, Any]] = {}
    for recipient in body["recipients"]:
        name, email = _recipient(recipient)
        if not (prevents_self and name == requester):
            names[name] = {"name": name, "email": email, "item": item_name(key, name)}
    return {
        "rule": body["rule"],
        "title": body["title"],
        "body": body.get("body") or "",
        "options": list(body["options"]),
        "recipients": list(names.values()),
        "due_at": body["due_at"],
        "prevent_self_approval": prevents_self,
        "require_comment_on": list(body.get("require_comment_on", ())),
        "decisions": [],
    }


def _check(body: Mapping[str, Any]) -> None:
    options = body.get("options")
    due_at = body.get("due_at")
    recipients = body.get("recipients")
    comment_on = body.get("require_comment_on", [])
    problems = (
        (body.get("rule") not in RULES, "its rule is neither ANY nor ALL"),
        (not isinstance(body.get("title"), str), "it has no title"),
        (not isinstance(body.get("body") or "", str), "its body isn't a text"),
        (not _are_options(options) or not options, "its options aren't among APPROVED and REJECTED"),
        (not _are_options(comment_on), "it asks for a comment on something that isn't an option"),
        (not isinstance(due_at, int) or isinstance(due_at, bool) or due_at <= 0, "it has no due date"),
        (not isinstance(recipients, list) or not recipients, "it has no recipients"),
        (isinstance(recipients, list) and len(recipients) > RECIPIENTS_MAX, f"it asks more than {RECIPIENTS_MAX}"),
    )
    for is_wrong, what in problems:
        if is_wrong:
            raise BadApprovalError(what)


def _are_options(value: Any) -> bool:
    return isinstance(value, list) and all(option in OPTIONS for option in value)


def _recipient(body: Any) -> tuple[str, str | None]:
    if not isinstance(body, Mapping) or not isinstance(body.get("name"), str) or not body["name"]:
        raise BadApprovalError("one of its recipients has no name")
    email = body.get("email")
    if email is not None and not isinstance(email, str):
        raise BadApprovalError(f"the address of {body['name']} isn't a text")
    return body["name"], email


def open_items(run: Run | Request, key: EffectKey, approval: Approval, now_ms: int) -> Iterator[OpenItem]:
    """The questions to write when the approval opens."""
    request = run.request if isinstance(run, Run) else run
    for recipient in approval["recipients"]:
        yield OpenItem(
            qualified_name=recipient["item"],
            run_guid=key.run_guid,
            task=key.task,
            recipient=recipient["name"],
            title=approval["title"],
            body=approval["body"],
            options=tuple(approval["options"]),
            requester=request.requester.name,
            opened_at=now_ms,
            due_at=approval["due_at"],
            asset=_asset_of_item(request.asset),
        )


def _asset_of_item(asset: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if asset is None:
        return None
    attributes = asset.get("attributes") or {}
    return {
        "guid": asset.get("guid"),
        "type_name": asset.get("typeName"),
        "name": attributes.get("displayName") or attributes.get("name") or attributes.get("qualifiedName"),
    }


def closing_items(task: str, approval: Approval | None, status: ItemStatus) -> Iterator[CloseItem]:
    """The items of those who haven't decided, closed with this status."""
    if approval is None:
        return
    decided = {decision["by"] for decision in approval["decisions"]}
    for recipient in approval["recipients"]:
        if recipient["name"] not in decided:
            yield CloseItem(recipient["item"], task, status)


def settled_item(task: str, approval: Approval, name: str, otherwise: ItemStatus) -> CloseItem:
    """The item of a recipient as it must read: their decision, or ``otherwise``."""
    item = item_of(approval, name)
    assert item is not None, "the caller found the recipient"  # noqa: S101  (for the impossible)
    decision = decision_of(approval, name)
    if decision is None:
        return CloseItem(item, task, otherwise)
    comment = decision.get("comment", "")
    if comment is not None and len(comment) == DECISION_COMMENT_CHARS_MAX:
        comment = None  # it may have been cut for the document: the item keeps the whole of it
    return CloseItem(item, task, ItemStatus.DECIDED, decision["action"], comment, decision["by"], decision["at"])


def item_of(approval: Approval, name: str) -> str | None:
    """The inbox item of a recipient; ``None`` for anybody else."""
    for recipient in approval["recipients"]:
        if recipient["name"] == name:
            item: str = recipient["item"]
            return item
    return None


def decision_of(approval: Approval, name: str) -> Mapping[str, Any] | None:
    """What a recipient decided."""
    decisions: Sequence[Mapping[str, Any]] = approval["decisions"]
    return next((decision for decision in decisions if decision["by"] == name), None)


def refusal(approval: Approval, decision: Decision, *, is_closed: bool, requester: str) -> str | None:
    """Why a decision doesn't count, as a sentence for the one who made it; ``None`` if it does."""
    return _refusal_of_person(approval, decision, requester) or _refusal_of_answer(
        approval, decision, is_closed=is_closed
    )


def _refusal_of_person(approval: Approval, decision: Decision, requester: str) -> str | None:
    item = item_of(approval, decision.by)
    if approval["prevent_self_approval"] and decision.by == requester:
        return "You can't decide on your own request."
    if item is None or decision.item not in {None, item}:
        return "This question wasn't put to you."
    if decision_of(approval, decision.by) is not None:
        return "You have already decided this."
    return None


def _refusal_of_answer(approval: Approval, decision: Decision, *, is_closed: bool) -> str | None:
    if is_closed:
        return "This question is closed: it has been decided or the task has ended."
    if decision.at > approval["due_at"]:
        return "The due date of this question has passed."
    if decision.action not in approval["options"]:
        return f"This question can be answered with {' or '.join(approval['options'])} only."
    return _refusal_of_comment(approval, decision)


def _refusal_of_comment(approval: Approval, decision: Decision) -> str | None:
    comment = decision.comment or ""
    if len(comment) > COMMENT_CHARS_MAX:
        return f"A comment has at most {COMMENT_CHARS_MAX} characters."
    needs_comment = decision.action == REJECTED or decision.action in approval["require_comment_on"]
    if needs_comment and not comment.strip():
        return "Say why: this decision needs a comment."
    return None


def decided(approval: Approval, decision: Decision) -> dict[str, Any]:
    """The approval with one more decision."""
    return {**approval, "decisions": [*approval["decisions"], decision.as_json()]}


def outcome(approval: Approval) -> str | None:
    """What the question came to, as soon as that is certain: APPROVED, REJECTED, or ``None`` while it is open."""
    actions = [decision["action"] for decision in approval["decisions"]]
    if REJECTED in actions:
        return REJECTED
    needed = 1 if approval["rule"] == "ANY" else len(approval["recipients"])
    return APPROVED if len(actions) >= needed else None


def output_of(approval: Approval, result: str) -> dict[str, Any]:
    """A decided task's output; ``comment`` is that of the last decision, empty where none was given."""
    decisions = approval["decisions"]
    return {
        "decision": result,
        "decided_by": [decision["by"] for decision in decisions],
        "comment": decisions[-1].get("comment") or "",
    }
