"""Where a message goes: the tags that the pipeline's edges carry as conditions."""

import base64
import hashlib
from typing import Final, NamedTuple

from pipeline.core.limits import DEAD_LETTER_PAYLOAD_BYTES_MAX
from pipeline.messages.envelopes import DeadLetter

DEAD_TAG: Final = "dead"


class Tagged(NamedTuple):
    """What a map hands on: bytes and the one tag whose edge they take."""

    payload: bytes
    tag: str


def type_tag(task_type: str) -> str:
    """The edge to the runner of a type; tags know letters, digits and ``-`` only."""
    return f"type-{task_type.replace('_', '-')}"


def shard_tag(shard: int) -> str:
    """The edge to a sink."""
    return f"shard-{shard}"


def dead_letter(
    payload: bytes,
    *,
    reason: str,
    vertex: str,
    at: int,
    run_guid: str | None = None,
    source_offset: str | None = None,
) -> DeadLetter:
    """The dead letter of ``payload``; ``reason`` is one sentence, without stack trace or secret."""
    kept = payload[:DEAD_LETTER_PAYLOAD_BYTES_MAX]
    return DeadLetter(
        reason=reason,
        vertex=vertex,
        run_guid=run_guid,
        payload_base64=base64.b64encode(kept).decode(),
        payload_bytes=len(payload),
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        source_offset=source_offset,
        at=at,
    )
