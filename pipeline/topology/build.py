"""The frozen pipeline: two sources, an orchestrator, a runner a block, sinks a range of slots, a dead letter."""

import re
from collections.abc import Sequence
from typing import Final

from pipeline.core.errors import BlocklineError
from pipeline.core.limits import SLOTS
from pipeline.messages.tagged import DEAD_TAG, shard_tag, type_tag
from pipeline.topology.model import (
    Access,
    Condition,
    Container,
    Edge,
    Kind,
    Limits,
    OnFull,
    Operator,
    Retry,
    RunnerBlock,
    Scale,
    Topology,
    Vertex,
)

TAG_NEVER: Final = "never"
"""No message carries this tag, so ``not never`` lets all of them pass."""
RUNNER_BUFFER_MESSAGES_MAX: Final = 100_000
"""Room for a burst of dispatches before ``discardLatest`` sets in."""
SOURCE_IN_FLIGHT_MAX: Final = 5_000
"""Events of one source that are on their way; ten dispatches of each still fit into a runner's buffer."""
SINK_READ_TIMEOUT_MS: Final = 5
_TYPE: Final = re.compile(r"[A-Z][A-Z0-9]*")

_MAP_WHY: Final = (
    "A read waits for a full batch or its time-out, so one message a read; concurrency is far above it, or one slow "
    "message would stall the vertex."
)
_SOURCE_WHY: Final = (
    "The source answers as soon as it has something; the time-out bounds an empty read only. Concurrency is what may "
    "be in flight, unacked."
)
_READ_AHEAD_WHY: Final = "Else a source has one batch in flight, and a slow task would hold back every later event."
_SINK_WHY: Final = "One bulk write a batch: large batches, and a short wait for a full one."
_SINK_RETRY: Final = Retry(
    interval_ms=500,
    factor=2.0,
    cap_ms=30_000,
    jitter=0.3,
    why="For ever, never to the dead letter by itself: an outage of Atlas must not empty the pipeline into it. The "
    "default is 1 ms, without backoff.",
)
_DEAD_LETTER: Final = Container("sinks.dead_letter", access=(Access.ATLAS,))


class TopologyError(BlocklineError):
    """The blocks or the number of shards can't be made into a pipeline."""


def runner_vertex(block_type: str) -> str:
    """The vertex that runs a type of block."""
    return f"runner-{block_type.lower()}"


def atlas_vertex(shard: int) -> str:
    """The sink that owns a shard."""
    return f"atlas-{shard}"


def build_topology(blocks: Sequence[RunnerBlock], shards: int) -> Topology:
    """The pipeline for these blocks (sorted by type, so their order doesn't matter) and this many sinks (1..256).

    Raises:
        TopologyError: a type isn't upper-case letters and digits, is there twice, or ``shards`` is out of range.
    """
    if not 1 <= shards <= SLOTS:
        raise TopologyError(f"there can be 1 to {SLOTS} shards, not {shards}")
    ranked = sorted(blocks, key=lambda block: block.type)
    _check_types([block.type for block in ranked])
    runners = [_runner(block) for block in ranked]
    sinks = [_atlas(shard, shards) for shard in range(shards)]
    return Topology(
        vertices=(
            _cdc(),
            _timer(),
            _orchestrator([block.type for block in ranked], shards),
            *runners,
            *sinks,
            _dead_letter(),
        ),
        edges=tuple(_edges([block.type for block in ranked], shards)),
    )


def _check_types(types: Sequence[str]) -> None:
    for block_type in types:
        if not _TYPE.fullmatch(block_type):
            raise TopologyError(f"a block's type is upper-case letters and digits, unlike {block_type!r}")
    doubles = sorted({block_type for block_type in types if types.count(block_type) > 1})
    if doubles:
        raise TopologyError(f"installed more than once: {', '.join(doubles)}")


def _cdc() -> Vertex:
    return Vertex(
        name="cdc",
        kind=Kind.SOURCE,
        container=Container("sources.cdc", access=(Access.KAFKA,)),
        limits=Limits(read_batch_size=500, read_timeout_ms=1000, concurrency=SOURCE_IN_FLIGHT_MAX, why=_SOURCE_WHY),
        scale=Scale(1, 3, "A source at zero wakes every two minutes only."),
        read_ahead_why=_READ_AHEAD_WHY,
    )


def _timer() -> Vertex:
    return Vertex(
        name="timer",
        kind=Kind.SOURCE,
        container=Container("sources.timer", access=(Access.ATLAS,)),
        limits=Limits(read_batch_size=500, read_timeout_ms=1000, concurrency=SOURCE_IN_FLIGHT_MAX, why=_SOURCE_WHY),
        scale=Scale(1, 1, "One query a second for the whole pipeline is enough."),
        read_ahead_why=_READ_AHEAD_WHY,
    )


def _orchestrator(types: Sequence[str], shards: int) -> Vertex:
    return Vertex(
        name="orchestrator",
        kind=Kind.MAP,
        container=Container(
            "udfs.orchestrator",
            environment=(("BLOCKLINE_SHARDS", str(shards)), ("BLOCKLINE_TYPES", ",".join(types))),
            access=(Access.ENGINE,),
        ),
        limits=Limits(read_batch_size=1, read_timeout_ms=1000, concurrency=64, why=_MAP_WHY),
        scale=Scale(1, 8, "Every event passes here: never at zero."),
    )


def _runner(block: RunnerBlock) -> Vertex:
    return Vertex(
        name=runner_vertex(block.type),
        kind=Kind.MAP,
        container=Container("udfs.runners", (block.type,), block.environment, block.access, block.has_secrets),
        limits=Limits(
            read_batch_size=1,
            read_timeout_ms=1000,
            concurrency=block.concurrency,
            why=_MAP_WHY,
            buffer_max_length=RUNNER_BUFFER_MESSAGES_MAX,
            buffer_why="Room for a burst: what comes when it is full is discarded and comes again after its lease.",
        ),
        scale=Scale(block.replicas_min, block.replicas_max, "By what is pending; a type at zero starts slowly."),
    )


def _atlas(shard: int, shards: int) -> Vertex:
    return Vertex(
        name=atlas_vertex(shard),
        kind=Kind.SINK,
        container=Container(
            "sinks.atlas",
            environment=(("BLOCKLINE_SHARD", str(shard)), ("BLOCKLINE_SHARDS", str(shards))),
            access=(Access.ENGINE, Access.ATLAS, Access.DIRECTORY),
        ),
        limits=Limits(read_batch_size=500, read_timeout_ms=SINK_READ_TIMEOUT_MS, concurrency=500, why=_SINK_WHY),
        scale=Scale(1, 1, "One writer a range of slots; its lease fences what overlaps in a rollout."),
        fallback=_DEAD_LETTER,
        retry=_SINK_RETRY,
        leases_why="It leases its slots from the cluster, which nothing else of the pipeline may.",
    )


def _dead_letter() -> Vertex:
    return Vertex(
        name="dead-letter",
        kind=Kind.SINK,
        container=_DEAD_LETTER,
        limits=Limits(read_batch_size=100, read_timeout_ms=10, concurrency=100, why=_SINK_WHY),
        scale=Scale(1, 1, "Rarely used, but a dead letter has to arrive."),
        retry=_SINK_RETRY,
    )


def _edges(types: Sequence[str], shards: int) -> list[Edge]:
    every = Condition(Operator.NOT, (TAG_NEVER,))
    every_why = "A source sets no tags: NOT a tag that nobody uses lets everything pass, and says that this is meant."
    discard_why = (
        "A dead runner must not stall the other types: one full edge stalls its siblings. What is discarded comes "
        "again when its dispatch lease is over."
    )
    edges = [Edge(source, "orchestrator", every, every_why) for source in ("cdc", "timer")]
    edges += [
        Edge(
            "orchestrator",
            runner_vertex(block_type),
            Condition(Operator.OR, (type_tag(block_type),)),
            discard_why,
            OnFull.DISCARD,
        )
        for block_type in types
    ]
    for origin in ("orchestrator", *map(runner_vertex, types)):
        edges += [
            Edge(origin, atlas_vertex(shard), Condition(Operator.OR, (shard_tag(shard),))) for shard in range(shards)
        ]
        edges.append(Edge(origin, "dead-letter", Condition(Operator.OR, (DEAD_TAG,))))
    return edges
