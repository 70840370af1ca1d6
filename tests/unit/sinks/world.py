"""One sink on a store in memory: what the unit tests of the sink share."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.directory.port import Person
from pipeline.messages.canonical import decode
from pipeline.messages.changes import Tag
from pipeline.messages.envelopes import EntityWrite, Message, Outcome, Requester, Result
from pipeline.messages.seal import Seal, Sealed
from pipeline.store import types
from pipeline.store.kinds import Kind
from pipeline.store.mapping import command_write
from pipeline.store.memory import MemoryEntityStore
from pipeline.store.port import Entity, Query, StoreRefusedError, StoreUnavailableError
from pipeline.store.starting import request_body, run_write
from pipeline.testing.fake_evaluator import FakeEvaluator
from pipeline.testing.handlers import MemoryDirectory
from sinks.atlas.admission import Admission
from sinks.atlas.answers import Answer, Shard, SinkObserver
from sinks.atlas.handler import AtlasSinkHandler
from tests.simulation.real_handlers import QuietObserver

NOW = 1_800_000_000_000
SEAL = Seal(b"a key of thirty-two bytes or more")
NOTHING: dict[str, Any] = {}
ALONE = Shard(0, 1)


class TestClock:
    __test__ = False

    def __init__(self) -> None:
        self.ms = NOW

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


class TestLease:
    __test__ = False

    def __init__(self) -> None:
        self.left_s = 30.0

    async def acquire(self) -> bool:
        return self.left_s > 0

    def remaining_s(self) -> float:
        return self.left_s

    async def release(self) -> None:
        self.left_s = 0


class Wire:
    """The store with what a test wants to go wrong; counts requests."""

    def __init__(self, store: MemoryEntityStore) -> None:
        self.store = store
        self.before_write: list[Exception | None] = []
        self.after_write: list[Exception | None] = []
        self.reads = 0
        self.bulks: list[list[EntityWrite]] = []
        self.is_refused: Callable[[EntityWrite], bool] = lambda _: False
        self.classify_errors: list[Exception] = []
        self.unreadable = ""
        self.refuses_names: Exception | None = None
        self.on_read: Callable[[], None] = lambda: None

    async def get(self, guids: Sequence[str], *, has_terms: bool = False) -> dict[str, Entity]:
        self.reads += 1
        self.on_read()
        if self.unreadable in guids:
            raise StoreUnavailableError("away")
        return await self.store.get(guids, has_terms=has_terms)

    async def get_by_name(self, type_name: str, qualified_name: str) -> Entity | None:
        if self.refuses_names is not None:
            raise self.refuses_names
        return await self.store.get_by_name(type_name, qualified_name)

    async def find(self, query: Query) -> list[Entity]:
        return await self.store.find(query)

    async def delete(self, guids: Sequence[str]) -> None:
        await self.store.delete(guids)

    async def purge(self, guids: Sequence[str]) -> None:
        await self.store.purge(guids)

    async def classify(self, guid: str, tags: Sequence[Tag], untag: Sequence[str]) -> None:
        if self.classify_errors:
            raise self.classify_errors.pop(0)
        await self.store.classify(guid, tags, untag)

    async def kind(self, type_name: str, *, is_fresh: bool = False) -> Kind | None:
        return await self.store.kind(type_name, is_fresh=is_fresh)

    async def upsert(self, entities: Sequence[EntityWrite]) -> dict[str, str]:
        self.bulks.append(list(entities))
        if self.before_write and (error := self.before_write.pop(0)):
            raise error
        if any(self.is_refused(write) for write in entities):
            raise StoreRefusedError("not this one")
        guids = await self.store.upsert(entities)
        if self.after_write and (error := self.after_write.pop(0)):
            raise error
        return guids


class SinkWorld:
    """One shard of one."""

    def __init__(self) -> None:
        self.clock = TestClock()
        self.store = MemoryEntityStore(self.clock.now_ms)
        self.wire = Wire(self.store)
        self.lease = TestLease()
        self.observer = QuietObserver()
        self.directory = MemoryDirectory([Person("ann", "ann@example.org", roles=("requester",)), Person("mallory")])
        self.sink = self.new_sink()

    def new_sink(self, shard: Shard = ALONE) -> AtlasSinkHandler:
        return AtlasSinkHandler(
            self.wire,
            SEAL,
            FakeEvaluator(),
            self.lease,
            self.clock,
            shard=shard,
            admission=Admission(self.store, self.directory, NOTHING),
            observer=self.told(shard),
        )

    def told(self, shard: Shard) -> SinkObserver:
        """Whom the sink tells what it saw."""
        del shard  # whoever counts, counts by it
        return self.observer

    def handle(self, *messages: Message | bytes) -> list[Answer]:
        batch = [
            (str(number), message if isinstance(message, bytes) else message.encode())
            for number, message in enumerate(messages)
        ]
        answers = asyncio.run(self.sink.handle(batch))
        return [answers[str(number)] for number in range(len(messages))]

    def write(self, *writes: EntityWrite, user: str = "blockline") -> dict[str, str]:
        return asyncio.run(self.store.as_user(user).upsert(writes))

    def delete(self, guid: str) -> None:
        asyncio.run(self.store.delete([guid]))

    def start(self, *tasks: dict[str, Any], name: str = "blockline/runs/1") -> str:
        """A run of these tasks; its guid."""
        body = request_body(
            spec=spec_of_tasks(*tasks),
            input={},
            requester=Requester(name="ann"),
            asset=None,
            workflow=None,
            comment=None,
            created_at=NOW,
            blocks={},
        )
        request = SEAL.seal(Sealed.REQUEST, name, body)
        write = run_write(qualified_name=name, request=request, created_at=NOW, created_by="ann")
        return self.write(write)[name]

    def ask(self, guid: str, action: str, *, ident: str = "c1", at: int = NOW, **parts: Any) -> str:
        """An open command; its guid."""
        body = {"v": 1, "id": ident, "action": action, "task": None, "arguments": {}, "by": "ann", "as": "requester"}
        write = command_write(guid, ident, {**body, "at": at, "comment": None, **parts}, SEAL)
        return self.write(write)[write.qualified_name]

    def entity(self, guid: str) -> Entity:
        return asyncio.run(self.store.get([guid]))[guid]

    def named(self, type_name: str, name: str) -> Entity | None:
        return asyncio.run(self.store.get_by_name(type_name, name))

    def document(self, guid: str) -> dict[str, Any]:
        document: dict[str, Any] = decode(self.entity(guid).attributes[types.RUN_CONFIG])
        return document

    def status(self, guid: str) -> str:
        return str(self.entity(guid).attributes.get(types.RUN_STATUS))


def task(name: str = "a", **parts: Any) -> dict[str, Any]:
    return {"name": name, "type": "PASS", "arguments": [], **parts}


def spec_of_tasks(*tasks: dict[str, Any]) -> dict[str, Any]:
    tasks = tasks or (task(),)
    names = [one["name"] for one in tasks]
    return {"dag": {"entrypoint": names[0], "exitpoints": [names[-1]], "tasks": list(tasks)}}


def result(guid: str, name: str = "a", *, outcome: Outcome = Outcome.SUCCEEDED, **parts: Any) -> Result:
    return Result(run_guid=guid, task=name, outcome=outcome, started_at=NOW, ended_at=NOW, **parts)


def table(name: str) -> EntityWrite:
    return EntityWrite(type_name="Table", qualified_name=name, attributes={"name": name})
