"""What a world is handed: the real handlers, by whoever may import shells."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pipeline.core.clock import Clock
from pipeline.directory.port import Directory, Person
from pipeline.messages.envelopes import Event, Replay
from pipeline.messages.seal import Seal
from pipeline.messages.tagged import Tagged
from pipeline.spec.expressions import Evaluator
from pipeline.store.leases import SlotLease
from pipeline.store.port import EntityStore


class SinkAnswer(StrEnum):
    """What a sink says of a message."""

    OK = "OK"
    RETRY = "RETRY"
    FALLBACK = "FALLBACK"


class Orchestrator(Protocol):
    """See ``udfs.orchestrator.handler``."""

    def handle(self, payload: bytes, now_ms: int) -> list[Tagged]:
        """Tagged messages that follow from an event."""
        ...


class Sink(Protocol):
    """See ``sinks.atlas.handler``, its answers reduced to what a plane acts on."""

    async def handle(self, batch: Sequence[tuple[str, bytes]]) -> dict[str, SinkAnswer]:
        """An answer a message."""
        ...


class Timer(Protocol):
    """See ``sources.timer.handler``."""

    async def poll(self) -> list[tuple[str, Event | Replay]]:
        """What is due, by offset."""
        ...


@dataclass(frozen=True, slots=True)
class SinkPorts:
    """What one sink of a world runs on."""

    store: EntityStore
    lease: SlotLease
    clock: Clock
    seal: Seal
    evaluator: Evaluator
    directory: Directory
    blocks: dict[str, Any]
    shard: int
    shards: int


class Handlers(Protocol):
    """Makes a node's handler; called again when the node starts again."""

    def orchestrator(self, seal: Seal, evaluator: Evaluator, known_types: Collection[str], shards: int) -> Orchestrator:
        """The map."""
        ...

    def sink(self, ports: SinkPorts) -> Sink:
        """One incarnation of a shard's sink."""
        ...

    def timer(self, store: EntityStore, clock: Clock) -> Timer:
        """The source of ticks."""
        ...


class MemoryDirectory:
    """People by name."""

    def __init__(self, people: Collection[Person]) -> None:
        """Groups are what people say they are in."""
        self._people = {person.name: person for person in people}

    async def person(self, name: str) -> Person | None:
        """See :class:`pipeline.directory.port.Directory`."""
        return self._people.get(name)

    async def members(self, group: str) -> Sequence[Person] | None:
        """See :class:`pipeline.directory.port.Directory`."""
        members = [person for person in self._people.values() if group in person.groups]
        return members or None

    async def has_unknown_members(self, group: str) -> bool:
        """See :class:`pipeline.directory.port.Directory`."""
        del group
        return False

    async def search(self, text: str, *, kind: str, limit: int) -> Sequence[str]:
        """See :class:`pipeline.directory.port.Directory`."""
        groups = {group for person in self._people.values() for group in person.groups}
        names = groups if kind == "group" else self._people
        return sorted(name for name in names if text in name)[:limit]
