"""The mail that asks for a decision."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.blocks.contract import Attempt
from pipeline.mail.port import Link, Mail, message_id_of


def question_mail(address: str, approval: Mapping[str, Any], attempt: Attempt, public_url: str) -> Mail:
    """The mail to one approver; its id is that of the opening step, so no later step sends it again."""
    return Mail(
        recipient=address,
        title=f"Please decide: {approval['title']}",
        description="\n\n".join(part for part in _paragraphs(approval, attempt) if part),
        message_id=message_id_of(attempt.effect_key._replace(step=0), address),
        at_ms=attempt.now_ms,
        link=Link("Open Blockline", public_url) if public_url else None,
    )


def _paragraphs(approval: Mapping[str, Any], attempt: Attempt) -> list[str]:
    about = f" in {attempt.workflow}" if attempt.workflow else ""
    rule = "One decision is enough." if approval["rule"] == "ANY" else "Everybody who is asked must approve."
    return [
        f"{attempt.requester_name} asks for a decision{about}.",
        _asset(attempt.asset),
        approval["body"],
        f"Decide by {_instant(approval['due_at'])}. {rule}",
        "On the command line, blockline task list shows the question and blockline task decide answers it.",
    ]


def _asset(asset: Mapping[str, Any] | None) -> str:
    if asset is None:
        return ""
    attributes = asset.get("attributes") or {}
    name = attributes.get("displayName") or attributes.get("name") or attributes.get("qualifiedName")
    return f"It is about {asset.get('typeName', 'asset')} {name}." if name else ""


def _instant(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
