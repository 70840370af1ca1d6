"""The API over the store in memory, with fakes of what isn't its business; asked in process, without a socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette

from api.app import build_api
from api.auth import Authenticator
from api.hub import Hub
from api.ports import AuditEntry, Checked, Mail
from api.services import Services
from pipeline.cdc.codec import Notification
from pipeline.core.errors import Problem
from pipeline.core.statuses import CommandStatus
from pipeline.directory.port import Person
from pipeline.expressions.cel import CelEvaluator
from pipeline.local.atlas.guard import Guard
from pipeline.machine.opened import OpenedRuns
from pipeline.messages.envelopes import EntityWrite
from pipeline.messages.seal import Seal
from pipeline.store import types
from pipeline.store.memory import Change, MemoryEntityStore

OPEN_GROUPS = frozenset({"everyone"})
"""Groups whose members the directory doesn't know."""
KEY = b"k" * 32
T0 = 1_795_439_555_000
PASSWORD = "correct-horse"
PEOPLE = (
    Person("ada", "ada@example.org", (), ("admin",)),
    Person("otto", "otto@example.org", (), ("author",)),
    Person("olga", "olga@example.org", (), ("author",)),
    Person("rosa", "rosa@example.org", ("users",), ("requester",)),
    Person("sam", "sam@example.org", ("stewards",), ("requester",)),
    Person("nobody", None, (), ()),
)


class ManualClock:
    """Stands still unless a test moves it; sleeping moves it."""

    def __init__(self) -> None:
        self.ms = T0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)
        await asyncio.sleep(0)


class FakeUsers:
    """Users in memory, with one password for all who didn't set their own."""

    def __init__(self) -> None:
        self.people = {person.name: person for person in PEOPLE}
        self.passwords: dict[str, str] = {}
        self.tokens: dict[str, tuple[str, str]] = {}
        self.asked = 0
        self.right: set[tuple[str, str]] = set()

    def remembered(self, name: str, password: str) -> Person | None:
        return self.people[name] if (name, password) in self.right else None

    async def by_password(self, name: str, password: str) -> Person | None:
        self.asked += 1
        is_right = name in self.people and self.passwords.get(name, PASSWORD) == password
        if is_right:
            self.right.add((name, password))
        return self.people[name] if is_right else None

    async def by_token(self, token: str) -> Person | None:
        return self.people[self.tokens[token][0]] if token in self.tokens else None

    async def listed(self) -> Sequence[Person]:
        return [self.people[name] for name in sorted(self.people)]

    async def get(self, name: str) -> Person | None:
        return self.people.get(name)

    async def put(self, person: Person, password: str | None) -> None:
        self.people[person.name] = person
        self.right.clear()
        if password is not None:
            self.passwords[person.name] = password

    async def remove(self, name: str) -> None:
        self.people.pop(name, None)

    async def new_token(self, user: str, name: str) -> str:
        token = f"token-{len(self.tokens)}"
        self.tokens[token] = (user, name)
        return token

    async def remove_token(self, user: str, name: str) -> bool:
        found = [token for token, owner in self.tokens.items() if owner == (user, name)]
        for token in found:
            del self.tokens[token]
        return bool(found)


class FakeDirectory:
    """The same people, to choose from."""

    async def person(self, name: str) -> Person | None:
        return next((person for person in PEOPLE if person.name == name), None)

    async def members(self, group: str) -> Sequence[Person] | None:
        return [person for person in PEOPLE if group in person.groups] or None

    async def has_unknown_members(self, group: str) -> bool:
        return group in OPEN_GROUPS

    async def search(self, text: str, *, kind: str, limit: int) -> Sequence[str]:
        names = {"user": [person.name for person in PEOPLE], "group": ["stewards", "users"]}[kind]
        return sorted(name for name in names if text in name)[:limit]


class FakeCatalog:
    """Knows PASS and APPROVAL, and finds a spec wrong that isn't an object with ``dag.tasks``."""

    def check(self, spec: Any) -> Checked:
        if not isinstance(spec, dict) or not isinstance(spec.get("dag"), dict):
            return Checked(None, (Problem("/dag", "Spec.Missing", "`dag` is missing."),))
        problems = tuple(
            Problem(f"/dag/tasks/{index}/type", "Spec.UnknownType", f"There is no block {task.get('type')}.")
            for index, task in enumerate(spec["dag"]["tasks"])
            if task.get("type") not in {"PASS", "APPROVAL"}
        )
        if problems:
            return Checked(None, problems)
        dag = {"exitpoints": [spec["dag"]["tasks"][-1]["name"]], **spec["dag"]}
        return Checked({**spec, "dag": dag}, (), (Problem("/dag", "Spec.Warning", "Something to think about."),))

    def check_input(self, spec: Mapping[str, Any], value: Mapping[str, Any]) -> tuple[Problem, ...]:
        missing = [name for name in spec.get("input", {}).get("required", []) if name not in value]
        return tuple(Problem(f"/input/{name}", "Input.Missing", f"`{name}` is missing.") for name in missing)

    def palette(self) -> Sequence[Mapping[str, Any]]:
        return [_block("APPROVAL"), _block("PASS")]

    def run_defaults(self, spec: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
        return {task["type"]: {"lease_ms": 30_000, "timeout_s": 60, "retry": []} for task in spec["dag"]["tasks"]}


class FakeMails:
    """One kept mail that tries to be more than text."""

    async def kept(self, limit: int) -> Sequence[Mail]:
        return [Mail(T0, "rosa@example.org", "<script>alert(1)</script>", "a & b")][:limit]


@dataclass
class World:
    """A store, its topic, and the API; ``verdict`` is what the shard says to every command (None: nothing yet)."""

    clock: ManualClock = field(default_factory=ManualClock)
    users: FakeUsers = field(default_factory=FakeUsers)
    seal: Seal = field(default_factory=lambda: Seal(KEY))
    verdict: tuple[CommandStatus, str] | None = (CommandStatus.APPLIED, "")
    is_ready: bool = True
    has_mail_server: bool = False
    is_topic_away: bool = False
    drawn: int = 0
    loop_tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.hub = Hub()
        self.store = MemoryEntityStore(self.clock.now_ms, self._told)
        self.services = Services(
            store=self.store,
            seal=self.seal,
            evaluator=CelEvaluator(),
            opened=OpenedRuns(self.seal, CelEvaluator()),
            catalog=FakeCatalog(),
            users=self.users,
            directory=FakeDirectory(),
            authenticator=Authenticator(Guard(self.users, self.clock)),
            hub=self.hub,
            clock=self.clock,
            audit=self._audit,
            ready=self._ready,
            new_id=self._new_id,
            mails=None if self.has_mail_server else FakeMails(),
        )
        self.app: Starlette = build_api(self.services)

    def client(self, name: str = "ada", password: str = PASSWORD) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://test/api/v1", auth=(name, password)
        )

    async def watched(self) -> None:
        """Until somebody waits for a run."""
        async with asyncio.timeout(5):
            while not self.hub.watchers:  # noqa: ASYNC110  (the product has no event for a test's sake)
                await asyncio.sleep(0)

    async def settled(self) -> None:
        while self.loop_tasks:
            await asyncio.gather(*self.loop_tasks)

    def _told(self, change: Change) -> None:
        if self.is_topic_away:
            return
        told = Notification(
            change.type_name, change.operation, change.guid, change.qualified_name, change.attributes, change.at
        )
        self.hub.publish(told)
        if change.type_name == types.COMMAND and change.operation == "CREATE" and self.verdict is not None:
            task = asyncio.get_running_loop().create_task(self._judge(change, self.verdict))
            self.loop_tasks.add(task)
            task.add_done_callback(self.loop_tasks.discard)

    async def _judge(self, change: Change, verdict: tuple[CommandStatus, str]) -> None:
        await asyncio.sleep(0)
        assert change.qualified_name is not None
        write = EntityWrite(
            type_name=types.COMMAND,
            qualified_name=change.qualified_name,
            attributes={"name": "c", types.COMMAND_STATUS: verdict[0].value, types.COMMAND_REASON: verdict[1]},
        )
        await self.store.upsert([write])

    async def _audit(self, guid: str) -> Sequence[AuditEntry]:
        return [AuditEntry(T0, "blockline", "ENTITY_CREATE")]

    async def _ready(self) -> Mapping[str, bool]:
        return {"store": self.is_ready}

    def _new_id(self) -> str:
        self.drawn += 1
        return f"{self.drawn:032x}"


def play(story: Callable[[World], Awaitable[None]], world: World | None = None) -> None:
    """Run a test's story in a world of its own."""

    async def whole() -> None:
        lived = world or World()
        await story(lived)
        await lived.settled()

    asyncio.run(whole())


@asynccontextmanager
async def each(world: World, *names: str) -> AsyncIterator[list[httpx.AsyncClient]]:
    """A client for each name."""
    clients = [world.client(name) for name in names]
    try:
        yield clients
    finally:
        for client in clients:
            await client.aclose()


def spec(*names: str, required: Sequence[str] = ()) -> dict[str, Any]:
    """PASS tasks in a row."""
    tasks: list[dict[str, Any]] = []
    for name in names or ("only",):
        depends = {"depends": tasks[-1]["name"]} if tasks else {}
        tasks.append({"name": name, "type": "PASS", "arguments": [{"output": 1}], **depends})
    body: dict[str, Any] = {"dag": {"entrypoint": tasks[0]["name"], "tasks": tasks}}
    if required:
        body["input"] = {"type": "object", "required": list(required)}
    return body


async def published(client: httpx.AsyncClient, name: str = "five", body: dict[str, Any] | None = None) -> str:
    """The guid of a workflow that was just stored and published."""
    stored = await client.post("/workflows", json={"name": name, "spec": body or spec()})
    assert stored.status_code == 201, stored.text
    guid: str = stored.json()["guid"]
    done = await client.post(f"/workflows/{guid}/publish")
    assert done.status_code == 200, done.text
    return guid


def _block(name: str) -> dict[str, Any]:
    texts = dict.fromkeys(("title", "summary", "category", "icon"), name)
    return {"type": name, **texts, "arguments": {}, "output": {}, "ui": {}, "ports": ["SUCCESS"]}
