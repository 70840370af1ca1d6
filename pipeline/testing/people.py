"""People of a world: they start runs, decide, withdraw, race, and some of them cheat."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pipeline.core.ids import RUN_PREFIX, command_name
from pipeline.core.statuses import ItemStatus
from pipeline.messages.canonical import encode
from pipeline.messages.envelopes import EntityWrite, Requester
from pipeline.messages.seal import Sealed
from pipeline.spec.model import digest
from pipeline.store import types
from pipeline.store.mapping import ItemView, command_write, item_view
from pipeline.store.port import StoreUnavailableError, StoreUnknownError
from pipeline.store.starting import request_body, run_write
from pipeline.testing.authors import Author
from pipeline.testing.nodes import Node, NodeClock
from pipeline.testing.scheduler import at_once
from pipeline.testing.spec_maker import PEOPLE

if TYPE_CHECKING:
    from pipeline.testing.world import World

REQUESTERS: Final = ("ann", "eve")
_TRY_AGAIN_S: Final = 0.3
_SETTLED_S: Final = 11.0
"""After this a write without an answer is carried out or never will be."""


@dataclass(slots=True)
class Asked:
    """A command as its sender knows it. ``is_genuine``: sent by the API for who it says."""

    qualified_name: str
    run_guid: str
    action: str
    task: str | None
    by: str
    answer: str | None = None
    item: str | None = None
    at: int = 0
    is_acknowledged: bool = False
    is_genuine: bool = True
    committed_at: int | None = None


class People:
    """What they do is drawn when something happens that they'd react to."""

    def __init__(self, world: "World") -> None:
        """They use one API."""
        self._world = world
        self._api = Node("api", skew_ms=world.draw_skew())
        self._clock = NodeClock(world.scheduler, self._api)
        self._store = world.store_for(self._api, is_api=True)
        self.asked: dict[str, Asked] = {}
        self.decided_on_items: set[tuple[str, str, str]] = set()
        """Who wrote which action on which item."""
        self.tampered: set[str] = set()
        self.names: list[str] = []
        self._author = Author(world, self)

    def start_run(self, number: int) -> None:
        """A run of a random workflow, by the API or straight in the store."""
        chance = self._world.chance
        name = f"{RUN_PREFIX}{number}"
        spec = self._world.new_spec(name)
        self.names.append(name)
        requester = chance.one_of(REQUESTERS)
        is_direct = chance.hits(0.15)
        create = self._create_directly(name, spec, requester) if is_direct else self._create(name, spec, requester)
        self._do(create)

    def notice(self, writes: list[EntityWrite]) -> None:
        """React to what was written: open questions get answers, runs get withdrawn."""
        for write in writes:
            if write.type_name == types.ITEM and write.attributes.get(types.ITEM_STATUS) == ItemStatus.OPEN:
                entity = at_once(self._world.store.get_by_name(types.ITEM, write.qualified_name))
                if entity is not None:
                    self._answer_some_time(item_view(entity))
            elif write.type_name == types.RUN:
                self._author.notice(write)
            elif write.type_name == types.COMMAND and types.COMMAND_REQUEST in write.attributes:
                asked = self.asked.get(write.qualified_name)
                if asked is not None and asked.committed_at is None:
                    asked.committed_at = self._world.scheduler.now_ms

    def meddle(self, run_guid: str) -> None:
        """What happens to a run from outside, drawn when it is created."""
        world = self._world
        chance = world.chance
        self._author.meddle(run_guid)
        if chance.hits(0.25):
            action = chance.one_of(("withdraw", "cancel", "terminate"))
            world.scheduler.after(chance.soon(15_000), lambda: self.ask(run_guid, action, None, {}, "ann"))
        if chance.hits(0.08):
            world.scheduler.after(chance.soon(10_000), lambda: self._do(self._forge(run_guid)))
        if chance.hits(0.05):
            world.scheduler.after(chance.soon(20_000), lambda: self._do(self._tamper(run_guid)))

    def ask(  # noqa: PLR0917  (a command's members, in their order)
        self,
        run_guid: str,
        action: str,
        task: str | None,
        arguments: dict[str, Any],
        by: str,
        then: Callable[[], None] | None = None,
    ) -> None:
        """A command by the API; ``then`` is called once it is acknowledged."""
        ident = f"c{len(self.asked)}"
        asked = Asked(
            command_name(run_guid, ident), run_guid, action, task, by, arguments.get("action"), arguments.get("item")
        )
        self.asked[asked.qualified_name] = asked
        self._do(self._send(asked, ident, arguments, then))

    def _do(self, doing: Any) -> None:
        def ended(_: Any, error: BaseException | None) -> None:
            if error is not None:
                self._world.violation(f"a person's client failed: {error!r}")

        self._api.start(self._world.scheduler, doing, ended)

    def _answer_some_time(self, item: ItemView) -> None:
        world = self._world
        chance = world.chance
        if chance.hits(0.25):
            return
        left = max(1, item.due_at - world.scheduler.now_ms)
        wait = chance.between(0, left) if chance.hits(0.8) else left + chance.between(-1500, 1500)
        for again in range(2 if chance.hits(0.15) else 1):
            answer = chance.one_of(("APPROVED", "APPROVED", "REJECTED"))
            if chance.hits(0.1):
                world.scheduler.after(wait + again, partial(self._hand_on, item, chance.one_of(PEOPLE)))
            elif chance.hits(0.2):
                world.scheduler.after(wait + again, partial(self._do_write_on, item, answer))
            else:
                world.scheduler.after(wait + again, partial(self._decide, item, answer, item.recipient))
        if chance.hits(0.1):
            stranger = chance.one_of([*PEOPLE, "mallory"])
            world.scheduler.after(wait // 2, lambda: self._decide(item, "APPROVED", stranger))

    def _decide(self, item: ItemView, answer: str, by: str) -> None:
        if self._clock.now_ms() > item.due_at:
            return  # the API refuses
        self.ask(item.run_guid, "decide", item.task, {"action": answer, "item": item.qualified_name}, by)

    def _hand_on(self, item: ItemView, to: str) -> None:
        self.ask(item.run_guid, "delegate", item.task, {"to": to, "item": item.qualified_name}, item.recipient)

    def _do_write_on(self, item: ItemView, answer: str) -> None:
        self._do(self._write_on(item, answer))

    async def _send(self, asked: Asked, ident: str, arguments: dict[str, Any], then: Callable[[], None] | None) -> None:
        while True:
            asked.at = self._clock.now_ms()
            body = {
                "v": 1,
                "id": ident,
                "action": asked.action,
                "task": asked.task,
                "arguments": arguments,
                "by": asked.by,
                "as": "recipient" if asked.action == "decide" else "requester",
                "at": asked.at,
                "comment": "no, for a reason" if asked.answer == "REJECTED" else None,
            }
            write = command_write(asked.run_guid, ident, body, self._world.seal)
            if await self._wrote(write):
                asked.is_acknowledged = True
                if then is not None:
                    then()
                return

    async def _wrote(self, write: EntityWrite) -> bool:
        """True once it is there for certain; False if it is certainly not."""
        try:
            await self._store.upsert([write])
        except StoreUnavailableError:
            await self._clock.sleep(_TRY_AGAIN_S)
            return False
        except StoreUnknownError:
            await self._clock.sleep(_SETTLED_S)
            return await self._is_there(write)
        return True

    async def _is_there(self, write: EntityWrite) -> bool:
        while True:
            try:
                return await self._store.get_by_name(write.type_name, write.qualified_name) is not None
            except StoreUnavailableError:
                await self._clock.sleep(_TRY_AGAIN_S)

    async def _create(self, name: str, spec: dict[str, Any], requester: str) -> None:
        body = request_body(
            spec=spec,
            input={},
            requester=Requester(name=requester),
            asset=None,
            workflow=None,
            comment=None,
            created_at=self._clock.now_ms(),
            blocks=self._world.blocks,
        )
        write = run_write(
            qualified_name=name,
            request=self._world.seal.seal(Sealed.REQUEST, name, body),
            created_at=body["created_at"],
            created_by=requester,
        )
        # A client that heard nothing repeats at once, unlike for a command: a repeated create changes nothing.
        while True:
            try:
                await self._store.upsert([write])
            except (StoreUnavailableError, StoreUnknownError):
                await self._clock.sleep(_TRY_AGAIN_S)
            else:
                return

    async def _create_directly(self, name: str, spec: dict[str, Any], requester: str) -> None:
        workflow = EntityWrite(
            type_name=types.WORKFLOW,
            qualified_name=f"blockline/workflows/{name}/v1",
            attributes={
                "name": name,
                types.WORKFLOW_CONFIG: encode(spec).decode(),
                types.WORKFLOW_DIGEST: digest(spec),
                types.WORKFLOW_STATUS: "PUBLISHED",
                types.WORKFLOW_VERSION: 1,
            },
        )
        guids = at_once(self._world.store.upsert([workflow]))
        run = EntityWrite(
            type_name=types.RUN,
            qualified_name=name,
            attributes={"name": name, types.RUN_WORKFLOW_GUID: guids[workflow.qualified_name]},
        )
        self._world.commit_as(requester, [run])

    async def _write_on(self, item: ItemView, answer: str) -> None:
        """A decision straight on the item, by its recipient or by somebody else."""
        by = item.recipient if self._world.chance.hits(0.8) else "mallory"
        entity = at_once(self._world.store.get_by_name(types.ITEM, item.qualified_name))
        if entity is None or entity.attributes.get(types.ITEM_STATUS) != ItemStatus.OPEN:
            return
        self.decided_on_items.add((item.qualified_name, by, answer))
        write = EntityWrite(
            type_name=types.ITEM,
            qualified_name=item.qualified_name,
            attributes={"name": entity.attributes["name"], types.ITEM_ACTION: answer, types.ITEM_COMMENT: "so be it"},
        )
        self._world.commit_as(by, [write])

    async def _forge(self, run_guid: str) -> None:
        """A command nobody signed."""
        name = command_name(run_guid, f"forged-{self._world.scheduler.now_ms}")
        body = {"v": 1, "id": "x", "action": "cancel", "by": "mallory", "as": "admin", "at": self._clock.now_ms()}
        self.asked[name] = Asked(name, run_guid, "cancel", None, "mallory", is_genuine=False, is_acknowledged=True)
        attributes = {
            "name": "forged",
            types.COMMAND_RUN_GUID: run_guid,
            types.COMMAND_REQUEST: encode(body).decode(),
            types.COMMAND_STATUS: "OPEN",
            types.COMMAND_AT: body["at"],
        }
        self._world.commit_as(
            "mallory", [EntityWrite(type_name=types.COMMAND, qualified_name=name, attributes=attributes)]
        )

    async def _tamper(self, run_guid: str) -> None:
        """Somebody edits a run's document by hand."""
        entity = at_once(self._world.store.get([run_guid]))[run_guid]
        text = entity.attributes.get(types.RUN_CONFIG)
        if not text:
            return
        self.tampered.add(run_guid)
        attributes = {"name": entity.attributes["name"], types.RUN_CONFIG: text.replace("RUNNING", "SUCCESS") + " "}
        self._world.commit_as(
            "mallory",
            [EntityWrite(type_name=types.RUN, qualified_name=entity.qualified_name, attributes=attributes)],
        )
