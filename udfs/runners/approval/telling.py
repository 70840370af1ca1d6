"""The mails that ask for a decision and remind of it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from pipeline.blocks.contract import Attempt
from pipeline.core.ids import EffectKey
from pipeline.mail.port import Link, Mail, message_id_of

INBOX: Final = "/inbox"
_RULES: Final = {
    "ANY": "One decision is enough.",
    "ALL": "Everybody who is asked must approve.",
    "ALL_RESPONDED_ANY": "Everybody is heard; one approval is enough.",
}


def question_mail(
    recipient: Mapping[str, Any], address: str, reminder: int | None, attempt: Attempt, public_url: str
) -> Mail:
    """The mail to one who is asked; ``reminder`` counts from 0 where it isn't the first.

    Its id is made of the inbox item it is about, so that no later step sends it again.
    """
    approval: Mapping[str, Any] = (attempt.state or {})["approval"]
    key = _key_of_item(recipient, attempt)
    about = address if reminder is None else f"{address}#{reminder}"
    begin = "Please decide" if reminder is None else "Reminder: please decide"
    url = f"{public_url.rstrip('/')}{INBOX}?run={quote(attempt.effect_key.run_guid, safe='')}"
    return Mail(
        recipient=address,
        title=f"{begin}: {approval['title']}",
        description="\n\n".join(part for part in _paragraphs(recipient, approval, attempt) if part),
        message_id=message_id_of(key, about),
        at_ms=attempt.now_ms,
        link=Link("Decide in Blockline", url) if public_url else None,
    )


def _key_of_item(recipient: Mapping[str, Any], attempt: Attempt) -> EffectKey:
    """The key of the step that opened the question; before the machine gave it an item that is the first."""
    item = str(recipient.get("item") or "")
    try:
        return EffectKey.parse(item.rpartition("/")[0])
    except ValueError:
        return attempt.effect_key._replace(step=0)


def _paragraphs(recipient: Mapping[str, Any], approval: Mapping[str, Any], attempt: Attempt) -> Iterable[str]:
    about = f" in {attempt.workflow}" if attempt.workflow else ""
    yield f"{attempt.requester_name} asks for a decision{about}."
    yield _why_you(recipient, approval)
    yield _asset(attempt.asset)
    yield approval["body"]
    yield f"Decide by {_instant(approval['due_at'])}. {_rule(approval)}"
    yield f"Answers: {', '.join(approval['options'])}."
    if "form" in approval:
        yield "There is a form to fill in with the decision."
    run = attempt.effect_key.run_guid
    yield (
        f"On the command line, blockline task list --run {run} shows the question with its number, and "
        f"blockline task decide NUMBER {approval['options'][0]} answers it."
    )


def _why_you(recipient: Mapping[str, Any], approval: Mapping[str, Any]) -> str:
    giver = recipient.get("delegated_by")
    if giver is not None:
        records = (one for one in approval.get("delegations", ()) if one.get("to") == recipient["name"])
        comment = next((one.get("comment") for one in records), None)
        return f"{giver} hands the question to you: {comment}" if comment else f"{giver} hands the question to you."
    if approval.get("earlier") is not None:
        return "Nobody decided in time, so you are asked instead."
    return ""


def _rule(approval: Mapping[str, Any]) -> str:
    if approval["rule"] == "COUNT":
        return f"{approval['count']} must approve."
    if approval["rule"] == "PERCENT":
        return f"{approval['percent']} % of those who are asked must approve."
    return _RULES[approval["rule"]]


def _asset(asset: Mapping[str, Any] | None) -> str:
    if asset is None:
        return ""
    attributes = asset.get("attributes") or {}
    name = attributes.get("displayName") or attributes.get("name") or attributes.get("qualifiedName")
    return f"It is about {asset.get('typeName', 'asset')} {name}." if name else ""


def _instant(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
