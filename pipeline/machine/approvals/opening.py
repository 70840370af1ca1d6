"""From what a block asks for to the question that its task holds, and the inbox items that ask it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeGuard
from urllib.parse import quote

from pipeline.core.ids import GROUP_PREFIX, EffectKey, item_name
from pipeline.core.limits import OPTION_CHARS_MAX, OPTIONS_MAX, RECIPIENTS_MAX
from pipeline.machine.approvals.question import APPROVED, REJECTED, SEQUENTIAL, Approval, Recipient
from pipeline.machine.approvals.rules import ALL, ALL_RESPONDED_ANY, COUNT, PERCENT, RULES
from pipeline.machine.effects import OpenItem
from pipeline.machine.run import Request
from pipeline.spec.form import check_form

ON_DUE: Final = ("EXPIRE", "APPROVE", "REJECT", "ESCALATE")
NEEDS_MEMBERS: Final = frozenset({ALL, ALL_RESPONDED_ANY, PERCENT})
"""Rules that count those who are asked: they can't be asked of a group whose members nobody knows."""
_PLAIN: Final = (APPROVED, REJECTED)
_NUMBERS_MAX: Final = {COUNT: RECIPIENTS_MAX, PERCENT: 100}
_DEFAULTS: Final = {"order": "PARALLEL", "on_due": "EXPIRE"}
_OPTIONAL: Final = ("count", "percent", "means", "form", "order", "on_due", "is_escalated")


class BadApprovalError(ValueError):
    """What a block put under ``approval`` isn't an approval; the text says what is wrong with it."""


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
    recipients: dict[str, dict[str, Any]] = {}
    for given in body["recipients"]:
        recipient = _recipient(given, key)
        if not (prevents_self and recipient["name"] == requester):
            recipients[recipient["name"]] = recipient
    _check_members(body, recipients)
    if body.get("order") == SEQUENTIAL:
        for recipient in list(recipients.values())[1:]:
            recipient["waits"] = True
    return {
        "rule": body["rule"],
        "title": body["title"],
        "body": body.get("body") or "",
        "options": list(body["options"]),
        "recipients": list(recipients.values()),
        "due_at": body["due_at"],
        "prevent_self_approval": prevents_self,
        "require_comment_on": list(body.get("require_comment_on", ())),
        "decisions": [],
        **{name: body[name] for name in _OPTIONAL if name in body and body[name] != _DEFAULTS.get(name)},
    }


def _check(body: Mapping[str, Any]) -> None:
    options = body.get("options")
    due_at = body.get("due_at")
    recipients = body.get("recipients")
    problems = (
        (body.get("rule") not in RULES, f"its rule isn't one of {', '.join(RULES)}"),
        (not _has_number(body), "its rule needs a number"),
        (not isinstance(body.get("title"), str), "it has no title"),
        (not isinstance(body.get("body") or "", str), "its body isn't a text"),
        (not _are_options(options, body.get("means", {})), "one of its options counts as nothing, or it has too many"),
        (not _are_among(body.get("require_comment_on", []), options), "it asks for a comment on no option of its own"),
        (not _is_positive(due_at), "it has no due date"),
        (body.get("order", "PARALLEL") not in {"PARALLEL", SEQUENTIAL}, "its order is none"),
        (body.get("on_due", "EXPIRE") not in ON_DUE, "what happens when it is due is unknown"),
        ("form" in body and bool(check_form(body["form"])), "its form is no schema, or too large"),
        (not isinstance(recipients, list) or not recipients, "it has no recipients"),
        (isinstance(recipients, list) and len(recipients) > RECIPIENTS_MAX, f"it asks more than {RECIPIENTS_MAX}"),
    )
    for is_wrong, what in problems:
        if is_wrong:
            raise BadApprovalError(what)


def _has_number(body: Mapping[str, Any]) -> bool:
    rule = body.get("rule")
    if not isinstance(rule, str) or rule not in _NUMBERS_MAX:
        return True
    number = body.get(rule.lower())
    return _is_positive(number) and number <= _NUMBERS_MAX[rule]


def _is_positive(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _are_options(options: Any, means: Any) -> bool:
    if not isinstance(options, list) or not 1 <= len(options) <= OPTIONS_MAX or not isinstance(means, Mapping):
        return False
    return all(
        isinstance(option, str) and 0 < len(option) <= OPTION_CHARS_MAX and means.get(option, option) in _PLAIN
        for option in options
    )


def _are_among(value: Any, options: Any) -> bool:
    return isinstance(value, list) and all(option in options or option in _PLAIN for option in value)


def _recipient(body: Any, key: EffectKey) -> dict[str, Any]:
    if isinstance(body, Mapping) and isinstance(body.get("group"), str) and body["group"]:
        group = body["group"]
        # The colon stands there as it is: no item of a person has one, so the two can't be mistaken.
        return {
            "name": f"{GROUP_PREFIX}{group}",
            "email": None,
            "item": f"{key}/{GROUP_PREFIX}{quote(group, safe='')}",
            "group": group,
        }
    if not isinstance(body, Mapping) or not isinstance(body.get("name"), str) or not body["name"]:
        raise BadApprovalError("one of its recipients has no name")
    name, email, groups = body["name"], body.get("email"), body.get("groups")
    if email is not None and not isinstance(email, str):
        raise BadApprovalError(f"the address of {name} isn't a text")
    recipient = {"name": name, "email": email, "item": item_name(key, name)}
    if groups is not None:
        if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
            raise BadApprovalError(f"the groups of {name} aren't texts")
        recipient["groups"] = groups
    return recipient


def _check_members(body: Mapping[str, Any], recipients: Mapping[str, Recipient]) -> None:
    group = next((recipient["group"] for recipient in recipients.values() if "group" in recipient), None)
    if group is not None and body["rule"] in NEEDS_MEMBERS:
        raise BadApprovalError(f"the members of {group} aren't known, so {body['rule']} can't be asked of it")


def open_items(request: Request, key: EffectKey, approval: Approval, now_ms: int) -> Iterator[OpenItem]:
    """The questions to write when the approval opens: to those whose turn it is."""
    for recipient in approval["recipients"]:
        if not recipient.get("waits"):
            yield open_item(request, key.run_guid, key.task, approval, recipient, now_ms)


def open_item(  # noqa: PLR0917  (what an item says of its run; an object for it would only hide that)
    request: Request, run_guid: str, task: str, approval: Approval, recipient: Recipient, now_ms: int
) -> OpenItem:
    """The question to one recipient."""
    return OpenItem(
        qualified_name=recipient["item"],
        run_guid=run_guid,
        task=task,
        recipient=recipient["name"],
        title=approval["title"],
        body=approval["body"],
        options=tuple(approval["options"]),
        requester=request.requester.name,
        opened_at=now_ms,
        due_at=approval["due_at"],
        asset=_asset_of_item(request.asset),
        form=approval.get("form"),
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
