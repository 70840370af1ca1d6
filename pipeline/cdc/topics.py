"""Names of the topics, and how a topic says that it goes on in another one.

A real Kafka has one topic, and its retention keeps it small. The local broker holds everything in memory and frees it
only with the whole topic: there, topics are numbered, and the last message of each names the next. That mark is in
band, so a reader needs to know nobody but the broker.
"""

from typing import Final

from pipeline.messages.canonical import MalformedError, decode, encode

TOPIC: Final = "ATLAS_ENTITIES"
"""Atlas' own name."""

_MARK: Final = b'{"blockline_continues_in":'


def numbered(number: int) -> str:
    """The local topic of that number; numbers only grow, across restarts of the broker too."""
    return f"{TOPIC}.{number}"


def number_of(topic: str) -> int | None:
    """The inverse of :func:`numbered`; None for any other topic."""
    prefix, _, number = topic.rpartition(".")
    return int(number) if prefix == TOPIC and number.isdecimal() else None


def end_mark(next_topic: str) -> bytes:
    """The last message of a numbered topic."""
    return encode({"blockline_continues_in": next_topic})


def next_topic_of(payload: bytes) -> str | None:
    """Where the topic goes on, if ``payload`` is an end mark."""
    if not payload.startswith(_MARK):
        return None
    try:
        topic = decode(payload)["blockline_continues_in"]
    except MalformedError:
        return None
    return topic if isinstance(topic, str) and number_of(topic) is not None else None
