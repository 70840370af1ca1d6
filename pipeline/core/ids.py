"""Identities, all derived: nothing here draws a random number."""

import zlib
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from pipeline.core.limits import SLOTS

RUN_PREFIX: Final = "blockline/runs/"
WORKFLOW_PREFIX: Final = "blockline/workflows/"
DEAD_LETTER_PREFIX: Final = "blockline/dead-letters/"
_DIGEST_CHARS: Final = 16
GROUP_PREFIX: Final = "group:"
"""Before the name of a group that is asked as a whole: no user can sign in by a name with a colon."""


class EffectKey(NamedTuple):
    """The name under which an outside effect happens; the same for every delivery and attempt."""

    run_guid: str
    task: str
    round: int
    step: int

    def __str__(self) -> str:
        """``<run guid>/<task>/<round>/<step>``, the task's name percent-encoded."""
        return f"{self.run_guid}/{quote(self.task, safe='')}/{self.round}/{self.step}"

    @classmethod
    def parse(cls, text: str) -> "EffectKey":
        """The inverse of ``str``.

        Raises:
            ValueError: the text isn't an effect key.
        """
        run_guid, task, round_, step = text.split("/")
        return cls(run_guid, unquote(task), int(round_), int(step))


def slot_of(run_guid: str) -> int:
    """The slot (0..255) of a run; fixed for its life."""
    return zlib.crc32(run_guid.encode()) % SLOTS


def shard_of(run_guid: str, shards: int) -> int:
    """The sink (0..shards-1) whose range of slots holds this run."""
    return slot_of(run_guid) * shards // SLOTS


def slots_of_shard(shard: int, shards: int) -> range:
    """The slots a sink owns: contiguous, and the inverse of :func:`shard_of`."""
    first = -(-shard * SLOTS // shards)
    last = -(-(shard + 1) * SLOTS // shards)
    return range(first, last)


def item_name(key: EffectKey, recipient: str) -> str:
    """Qualified name of the inbox item that asks ``recipient`` the question of ``key``."""
    return f"{key}/{quote(recipient, safe='')}"


def output_name(run_guid: str, task: str, round_: int, sha256: str) -> str:
    """Qualified name of the entity that keeps an output; what it holds is part of it, so that it never changes."""
    return f"{run_guid}/{quote(task, safe='')}/{round_}/{sha256[:_DIGEST_CHARS]}"


def command_name(run_guid: str, command_id: str) -> str:
    """Qualified name of a command entity."""
    return f"{run_guid}/{command_id}"


def run_guid_of(qualified_name: str) -> str:
    """The run that a command, an inbox item or an output belongs to."""
    return qualified_name.partition("/")[0]
