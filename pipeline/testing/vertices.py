"""The moving parts of a world's pipeline: sinks and runners on nodes that come and go."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pipeline.blocks.outputs import ArgumentReader
from pipeline.blocks.shell import RunnerShell
from pipeline.messages.tagged import Tagged
from pipeline.store.cluster_lease import ClusterSlotLease
from pipeline.store.outputs import StoredOutputs
from pipeline.testing.fake_blocks import RUNNERS, Ports, manifest_of
from pipeline.testing.handlers import SinkAnswer, SinkPorts
from pipeline.testing.nodes import Node, NodeClock, NodeLeaseRecords, NodeTimeLimit

if TYPE_CHECKING:
    from pipeline.testing.world import World

_LINGER_MS: Final = 5
_RETRY_MS: Final = 500
_RESTART_MS: Final = 2_000
_ACK_WAIT_MS: Final = 60_000
_HANG_MS: Final = 10**9
_BATCH_MAX: Final = 100


@dataclass(slots=True)
class _SinkNode:
    node: Node
    handler: Any
    is_busy: bool = False
    is_leaving: bool = False
    taken: list[tuple[str, bytes]] = field(default_factory=list)


class SinkVertex:
    """One shard: a queue that loses nothing, and the incarnations of its sink, sometimes two at once."""

    def __init__(self, world: "World", shard: int) -> None:
        """With one incarnation."""
        self._world = world
        self._shard = shard
        self._queue: deque[tuple[str, bytes]] = deque()
        self._nodes: list[_SinkNode] = []
        self._count = 0
        self._incarnations = 0
        self._is_retiring = False
        self.is_gone = False
        """Whether the vertex was taken out of the pipeline, its queue with it."""
        self._start()

    def push(self, payload: bytes) -> None:
        """A message arrives."""
        self._count += 1
        self._put((f"{self._shard}-{self._count}", payload))

    def crash(self) -> None:
        """One incarnation dies; it starts again soon."""
        if self._nodes:
            self._world.chance.one_of(self._nodes).node.crash()

    def overlap(self) -> None:
        """A rollout: a second incarnation starts before the first one goes."""
        before = list(self._nodes)
        self._start()
        for old in before:
            old.is_leaving = True
            self._world.scheduler.after(self._world.chance.between(1_000, 60_000), old.node.crash)

    def roll(self, old_for_ms: int) -> None:
        """Another number of sinks is rolled out: the incarnations before work on for a while, counting as they did."""
        self._is_retiring = False
        before = list(self._nodes)
        self._start()
        for old in before:
            self._world.scheduler.after(old_for_ms, old.node.crash)

    def retire(self, after_ms: int) -> None:
        """With fewer sinks there is no such vertex any more, and what is in its queue then is lost."""

        def end() -> None:
            if not self._is_retiring:
                return
            self.is_gone = True
            self._queue.clear()
            for sink in list(self._nodes):
                sink.node.crash()

        self._is_retiring = True
        self._world.scheduler.after(after_ms, end)

    def freeze(self) -> None:
        """An incarnation stands still for longer than its lease, perhaps; meanwhile another one starts."""
        if not self._nodes:
            return
        world = self._world
        frozen = world.chance.one_of(self._nodes)
        frozen.node.frozen_until = world.scheduler.now_ms + world.chance.between(5_000, 90_000)
        if world.chance.hits(0.7):
            world.scheduler.after(world.chance.between(1_000, 10_000), self._start)

    def _start(self) -> None:
        world = self._world
        if self.is_gone:
            return
        node = world.new_node(f"atlas-{self._shard}")
        self._incarnations += 1
        clock = NodeClock(world.scheduler, node)
        records = NodeLeaseRecords(world.scheduler, world.chance, world.faults_now, world.leases)
        holder = f"{node.name}/{self._incarnations}"
        ports = SinkPorts(
            store=world.store_for(node),
            lease=ClusterSlotLease(records, clock, shard=self._shard, shards=world.shards, holder=holder),
            clock=clock,
            seal=world.seal,
            evaluator=world.evaluator,
            directory=world.directory,
            blocks=world.blocks,
            shard=self._shard,
            shards=world.shards,
        )
        sink = _SinkNode(node, world.handlers.sink(ports))
        node.on_crash = lambda: self._crashed(sink)
        self._nodes.append(sink)
        world.scheduler.after(_LINGER_MS, self._pump)

    def _crashed(self, sink: _SinkNode) -> None:
        world = self._world
        world.note("crash", sink.node.name)
        self._nodes.remove(sink)
        taken, sink.taken = sink.taken, []
        for item in taken:
            world.scheduler.after(world.chance.between(500, _ACK_WAIT_MS), partial(self._put, item))
        if not self._nodes:
            world.scheduler.after(_RESTART_MS, lambda: None if self._nodes or self.is_gone else self._start())

    def _put(self, item: tuple[str, bytes]) -> None:
        self._queue.append(item)
        self._world.scheduler.after(_LINGER_MS, self._pump)

    def _pump(self) -> None:
        for sink in list(self._nodes):
            is_free = not sink.is_busy and not sink.is_leaving
            if self._queue and is_free and sink.node.frozen_until <= self._world.scheduler.now_ms:
                self._take(sink)

    def _take(self, sink: _SinkNode) -> None:
        sink.taken = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH_MAX))]
        sink.is_busy = True

        def ended(answers: dict[str, SinkAnswer] | None, error: BaseException | None) -> None:
            taken, sink.taken, sink.is_busy = sink.taken, [], False
            if error is not None or answers is None:
                self._world.violation(f"{sink.node.name}: {error!r} left the sink")
                return
            for item in taken:
                self._answered(item, answers.get(item[0]))
            self._world.scheduler.after(_LINGER_MS, self._pump)

        sink.node.start(self._world.scheduler, sink.handler.handle(list(sink.taken)), ended)

    def _answered(self, item: tuple[str, bytes], answer: SinkAnswer | None) -> None:
        world = self._world
        if answer is SinkAnswer.FALLBACK:
            world.dead(item[1])
        elif answer is not SinkAnswer.OK:
            world.scheduler.after(_RETRY_MS + world.chance.soon(_RETRY_MS), partial(self._put, item))


class RunnerVertex:
    """The runners of all types on one node; a crash gives its dispatches back after a while."""

    def __init__(self, world: "World", name: str) -> None:
        """Runs until it crashes, and again."""
        self._world = world
        self._name = name
        self._working: dict[int, bytes] = {}
        self._count = 0
        self._start()

    def deliver(self, block_type: str, payload: bytes) -> None:
        """One dispatch arrives."""
        self._count += 1
        ident = self._count
        self._working[ident] = payload
        world = self._world
        if world.chance.hits(world.faults_now().runner_crashes):
            world.scheduler.after(world.chance.soon(300), self._node.crash)

        def ended(tagged: Tagged | None, error: BaseException | None) -> None:
            self._working.pop(ident, None)
            if error is not None:
                world.violation(f"{self._name}: {error!r} left the runner")
            elif tagged is not None:
                world.runner_answered(tagged)

        self._node.start(world.scheduler, self._shells[block_type].handle(payload), ended)

    def _start(self) -> None:
        world = self._world
        self._node = world.new_node(self._name)
        self._node.on_crash = self._crashed
        clock = NodeClock(world.scheduler, self._node)
        limit = NodeTimeLimit(world.scheduler, self._node)
        ports = Ports(clock, world.outside, self._work_ms)
        reader = ArgumentReader(StoredOutputs(world.store_for(self._node)), world.evaluator)
        self._shells = {
            name: RunnerShell(runner(ports), manifest_of(name), clock, time_limit=limit, reader=reader)
            for name, runner in RUNNERS.items()
        }

    def _work_ms(self) -> int:
        if self._world.chance.hits(self._world.faults_now().runner_hangs):
            return _HANG_MS
        return self._world.chance.soon(100)

    def _crashed(self) -> None:
        world = self._world
        world.note("crash", self._name)
        lost, self._working = self._working, {}
        self._start()
        for payload in lost.values():
            world.scheduler.after(_ACK_WAIT_MS, _again(world, payload))


def _again(world: "World", payload: bytes) -> Callable[[], None]:
    return lambda: world.dispatch_arrives(payload)
