"""What a message says to somebody who only follows: garbage is the pipeline's business and is passed over."""

from pipeline.cdc.buffer import Received
from pipeline.cdc.codec import Notification, read
from pipeline.cdc.parts import Assembler
from pipeline.messages.canonical import MalformedError


def told_by(parts: Assembler, message: Received) -> Notification | None:
    """The notification of one of our types that a message is, or completes; ``parts`` keeps those of others."""
    whole = parts.put_together(message)
    if whole is None:
        return None
    parts.members(whole.position)
    try:
        return read(whole.payload)
    except MalformedError:
        return None
