"""What a map sends on, and the tags that edges of the pipeline route by.

A tag holds letters, digits and ``-`` only, so that it needs no quoting in a manifest.
"""

from typing import Final, NamedTuple

DEAD_TAG: Final = "dead"
"""To the dead letter."""


class Tagged(NamedTuple):
    """Bytes of a message and the tag that says where it goes."""

    payload: bytes
    tag: str


def type_tag(block_type: str) -> str:
    """The tag of a dispatch to the runner of this type."""
    return f"type-{block_type}"


def shard_tag(shard: int) -> str:
    """The tag of an input of this shard."""
    return f"shard-{shard}"
