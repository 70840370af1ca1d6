"""What mistakes are made of: the product's handlers with a part replaced."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pipeline.messages.envelopes import EntityWrite
from pipeline.store.port import EntityStore
from pipeline.testing.handlers import Sink, SinkPorts
from sinks.atlas.blame import OneByOne
from sinks.atlas.judging import Judge
from sinks.atlas.planning import Planner
from sinks.atlas.reading import Reader
from sinks.atlas.writing import BulkWriter
from tests.simulation.real_handlers import RealHandlers


@dataclass(frozen=True)
class Apart:
    """Entities of one type, written in a request of their own: before the rest, or after it."""

    type_name: str
    is_first: bool


class _Parted:
    def __init__(self, store: EntityStore, apart: Apart) -> None:
        self._store = store
        self._apart = apart

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def upsert(self, entities: Sequence[EntityWrite]) -> dict[str, str]:
        own = [write for write in entities if write.type_name == self._apart.type_name]
        rest = [write for write in entities if write.type_name != self._apart.type_name]
        guids: dict[str, str] = {}
        for part in (own, rest) if self._apart.is_first else (rest, own):
            guids |= await self._store.upsert(part) if part else {}
        return guids


class Broken(RealHandlers):
    """Handlers whose sink has parts replaced."""

    judge_type: ClassVar[type[Judge]] = Judge
    reader_type: ClassVar[type[Reader]] = Reader
    writer_type: ClassVar[type[BulkWriter]] = BulkWriter
    apart: ClassVar[Apart | None] = None
    """What its store doesn't write in one transaction with the rest."""

    def sink(self, ports: SinkPorts) -> Sink:
        broken = self

        class BrokenSink(broken.sink_type):  # type: ignore[name-defined,misc]  # a base chosen by the mistake
            def __init__(self, *args: Any, **parts: Any) -> None:
                super().__init__(*args, **parts)
                store, seal, evaluator, lease, clock = args
                observer = parts["observer"]
                self._planner = Planner(broken.judge_type(seal, evaluator), store, observer)
                self._reader = broken.reader_type(store, seal, evaluator, parts["admission"], observer)
                self._writer = broken.writer_type(store, lease, clock, observer)
                self._alone = OneByOne(self._planner, self._writer)

        whole = RealHandlers()
        whole.sink_type = BrokenSink
        return whole.sink(self.ports(ports))

    def ports(self, ports: SinkPorts) -> SinkPorts:
        if self.apart is None:
            return ports
        store: Any = _Parted(ports.store, self.apart)
        return replace(ports, store=store)
