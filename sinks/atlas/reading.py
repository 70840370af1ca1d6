"""What a shard must know before it judges: runs it doesn't hold, and for a tick or a look what people did."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

from pipeline.core.errors import ErrorName
from pipeline.core.statuses import CommandStatus, ItemStatus, TaskStatus
from pipeline.machine.approvals.question import groups_asked
from pipeline.machine.effects import CloseCommand, CloseItem, Effect
from pipeline.machine.failure import fail_run, tampered
from pipeline.machine.inputs import Command, Input, ItemDecision
from pipeline.machine.opened import OpenedRuns
from pipeline.machine.run import Request, Run, parse_request
from pipeline.machine.start import start, unstarted
from pipeline.messages.canonical import MalformedError, decode
from pipeline.messages.envelopes import CommandInput, Look, Requester, Result, Tick
from pipeline.messages.seal import Seal, Sealed, TamperedError, is_signed
from pipeline.spec.expressions import Evaluator
from pipeline.spec.model import digest, spec_of
from pipeline.store import types
from pipeline.store.mapping import CommandView, command_view, item_view
from pipeline.store.port import (
    Entity,
    EntityStore,
    Filter,
    Query,
    StoreRefusedError,
    StoreUnavailableError,
    StoreUnknownError,
)
from sinks.atlas.answers import NotAdmitted, SinkObserver
from sinks.atlas.cache import Kept, WrittenRuns
from sinks.atlas.judging import Loaded

T = TypeVar("T")
FOUND_MAX: Final = 1_000
"""Open commands, or decided items, of all runs read at once; with more of them each run is asked for alone."""
_REVISION_MAX: Final = 2**53
"""A revision read from a document that somebody forged counts up to here only, so that it stays a JSON number."""
_NO_SPEC: Final = {"dag": {"entrypoint": "", "exitpoints": [], "tasks": []}}

Message = Result | Look | Tick | CommandInput
NOT_SIGNED: Final = "This command wasn't signed by the engine; ask by the API."
NO_SUCH_RUN: Final = "there is no such run"


class Admits(Protocol):
    """Whoever judges a run that was created straight in the store."""

    async def admit(self, entity: Entity) -> dict[str, Any] | NotAdmitted:
        """See :meth:`sinks.atlas.admission.Admission.admit`."""
        ...

    async def groups_of(self, name: str) -> tuple[str, ...]:
        """See :meth:`sinks.atlas.admission.Admission.groups_of`."""
        ...


@dataclass(frozen=True, slots=True)
class NoRun:
    """There is no such run (any more); ``effects`` close what was asked of it, else it would be due for ever."""

    effects: tuple[Effect, ...] = ()


class Reader:
    """Reads runs in bulk and believes only what is signed."""

    def __init__(
        self,
        store: EntityStore,
        seal: Seal,
        evaluator: Evaluator,
        admission: Admits,
        observer: SinkObserver,
        *,
        opened: OpenedRuns | None = None,
    ) -> None:
        """Writes nothing."""
        self._store = store
        self._seal = seal
        self._evaluator = evaluator
        self._opened = opened or OpenedRuns(seal, evaluator)
        self._admission = admission
        self._observer = observer

    async def load(
        self, groups: Mapping[str, Sequence[Message]], cache: WrittenRuns, now_ms: int
    ) -> dict[str, Loaded | NoRun]:
        """Each group's run by guid; with a tick or a look also its open commands and decided items, with a command that
        has its turn also the other open commands.

        A run that can't be judged for another reason than the store's absence has ended FAILURE, and says so.

        Raises:
            StoreUnavailableError: not everything could be read, so nothing may be judged.
        """
        looked_at = {guid for guid, given in groups.items() if any(isinstance(item, Tick | Look) for item in given)}
        unknown = [guid for guid in groups if guid in looked_at or cache.get(guid) is None]
        commands = [item for given in groups.values() for item in given if isinstance(item, CommandInput)]
        entities = await self._get({*unknown, *(command.command_guid for command in commands)})
        loaded: dict[str, Loaded | NoRun] = {}
        for guid in groups:
            kept = cache.get(guid)
            if kept is not None and guid not in looked_at:
                loaded[guid] = Loaded(kept.run, kept.name)
            else:
                loaded[guid] = await self._from_store_alone(entities.get(guid), kept, now_ms)
        await self._close_items(loaded)
        asked = self._each(
            command_view, [entities[one.command_guid] for one in commands if one.command_guid in entities]
        )
        in_turn = self._in_turn(asked)
        if looked_at or in_turn:
            asked += await self._open_commands(looked_at | in_turn)
        if looked_at:
            self._add(loaded, await self._with_groups(loaded, await self._decisions(looked_at)))
        self._add_commands(loaded, asked)
        return loaded

    async def _from_store_alone(self, entity: Entity | None, kept: Kept | None, now_ms: int) -> Loaded | NoRun:
        """What somebody wrote into one run must not stop the others of its batch."""
        try:
            return await self._from_store(entity, kept, now_ms)
        except (StoreUnavailableError, StoreUnknownError):
            raise
        except Exception as error:
            if entity is None:
                raise
            self._observer.alert("unreadable-run", entity.guid, f"{type(error).__name__}: {error}")
            return self.failed(entity, kept, now_ms, f"The engine can't read this run ({type(error).__name__}).")

    def failed(self, entity: Entity, kept: Kept | None, now_ms: int, sentence: str) -> Loaded:
        """The run FAILURE ``Engine.Internal``, on what can be believed of it."""
        attributes: dict[str, Any] = {}
        run = self._signed_run(entity) if kept is None else kept.run
        if run is None:
            request = self._signed_request(entity)
            if request is None and entity.created_by:
                attributes[types.RUN_CREATED_BY] = entity.created_by
            revision = _claimed_revision(entity) if entity.attributes.get(types.RUN_CONFIG) else -1
            run = unstarted(request or _nobodys_request(entity), entity.guid, revision=revision)
        ended = fail_run(run, ErrorName.ENGINE_INTERNAL, sentence, now_ms=now_ms)
        return Loaded(ended.run, _name_of(entity), must_write=True, effects=ended.effects, attributes=attributes)

    async def _get(self, guids: Iterable[str]) -> dict[str, Entity]:
        wanted = sorted(guids)
        if not wanted:
            return {}
        try:
            return await self._store.get(wanted)
        except StoreRefusedError:
            if len(wanted) == 1:
                return {}  # the store says that nothing can have this guid
            middle = len(wanted) // 2
            return {**await self._get(wanted[:middle]), **await self._get(wanted[middle:])}

    async def _from_store(self, entity: Entity | None, kept: Kept | None, now_ms: int) -> Loaded | NoRun:
        if entity is None or entity.is_deleted or entity.type_name != types.RUN:
            return NoRun()
        name = _name_of(entity)
        if not entity.attributes.get(types.RUN_CONFIG):
            return await self._from_request(entity, name, now_ms)
        run = self._signed_run(entity)
        if run is None:
            return self._tampered(entity, name, kept, now_ms)
        if kept is not None and kept.run.revision > run.revision:
            detail = f"the store has revision {run.revision}, revision {kept.run.revision} was written"
            self._observer.alert("stale-document", entity.guid, detail)
            return Loaded(kept.run, name, must_write=True)
        status, wake_at = entity.attributes.get(types.RUN_STATUS), entity.attributes.get(types.RUN_WAKE_AT, 0)
        return Loaded(run, name, must_write=status != run.status or wake_at != run.wake_at)

    async def _from_request(self, entity: Entity, name: str, now_ms: int) -> Loaded:
        text = entity.attributes.get(types.RUN_REQUEST) or ""
        try:
            transition = self._opened.started(entity.qualified_name, entity.guid, text)
        except TamperedError:
            if not is_signed(text):
                return await self._admit(entity, name, now_ms)
            return self._tampered(entity, name, None, now_ms)
        except MalformedError:
            return self._tampered(entity, name, None, now_ms)
        # A start that dispatched nothing leaves no trace but a document; of any other one the create event has told.
        has_told = any(state.status is TaskStatus.RUNNING for state in transition.run.tasks.values())
        return Loaded(transition.run, name, must_write=not has_told, is_new=True, effects=transition.effects)

    async def _admit(self, entity: Entity, name: str, now_ms: int) -> Loaded:
        admitted = await self._admission.admit(entity)
        attributes = {types.RUN_CREATED_BY: entity.created_by} if entity.created_by else {}
        if isinstance(admitted, NotAdmitted):
            never_begun = unstarted(_nobodys_request(entity), entity.guid)
            ended = fail_run(never_begun, admitted.name, admitted.message, now_ms=now_ms)
            return Loaded(ended.run, name, must_write=True, is_new=True, attributes=attributes)
        request = parse_request(admitted, entity.qualified_name)
        transition = start(request, entity.guid, self._evaluator)
        return Loaded(
            transition.run,
            name,
            must_write=True,
            is_new=True,
            is_untold=True,
            effects=transition.effects,
            attributes=attributes,
        )

    def _tampered(self, entity: Entity, name: str, kept: Kept | None, now_ms: int) -> Loaded:
        self._observer.alert("tampered", entity.guid, "the document or request wasn't signed by the engine")
        request = self._signed_request(entity) if kept is None else kept.run.request
        revision = max(_claimed_revision(entity), kept.run.revision if kept else 0)
        ended = tampered(request or _nobodys_request(entity), entity.guid, revision, now_ms)
        return Loaded(ended.run, name, must_write=True, effects=ended.effects)

    def _signed_run(self, entity: Entity) -> Run | None:
        text = entity.attributes.get(types.RUN_CONFIG) or ""
        try:
            return self._opened.document(entity.guid, text)
        except (TamperedError, MalformedError):
            return None

    def _signed_request(self, entity: Entity) -> Request | None:
        text = entity.attributes.get(types.RUN_REQUEST) or ""
        try:
            return parse_request(self._seal.open(Sealed.REQUEST, entity.qualified_name, text), entity.qualified_name)
        except (TamperedError, MalformedError):
            return None

    def _in_turn(self, asked: Sequence[CommandView]) -> set[str]:
        """The runs of commands that have their turn: an earlier one may be late (a lost event, a batch given back)."""
        return {command.run_guid for command in asked if not _is_decision(command)}

    async def _open_commands(self, run_guids: set[str]) -> list[CommandView]:
        is_open = Filter(types.COMMAND_STATUS, "eq", CommandStatus.OPEN)
        wanted = (types.COMMAND_REQUEST, types.COMMAND_STATUS, types.COMMAND_AT)
        found = await self._of_runs(types.COMMAND, (is_open,), wanted, types.COMMAND_RUN_GUID, run_guids)
        return self._each(command_view, found)

    async def _decisions(self, run_guids: set[str]) -> list[tuple[str, ItemDecision]]:
        decided = (Filter(types.ITEM_STATUS, "eq", ItemStatus.OPEN), Filter(types.ITEM_ACTION, "not_null"))
        wanted = (types.ITEM_ACTION, types.ITEM_COMMENT, types.ITEM_STATUS)
        found = await self._of_runs(types.ITEM, decided, wanted, types.ITEM_RUN_GUID, run_guids)
        return self._each(_decision, found)

    async def _with_groups(
        self, loaded: Mapping[str, Loaded | NoRun], decisions: Sequence[tuple[str, ItemDecision]]
    ) -> list[tuple[str, ItemDecision]]:
        """Where it matters in which groups somebody is, they are looked up now."""
        found: list[tuple[str, ItemDecision]] = []
        for guid, decision in decisions:
            run = loaded.get(guid)
            tasks = run.run.tasks.values() if isinstance(run, Loaded) else ()
            if any(groups_asked(state.approval, decision.item) for state in tasks):
                groups = await self._admission.groups_of(decision.by)
                found.append((guid, replace(decision, groups=groups)))
            else:
                found.append((guid, decision))
        return found

    async def _close_items(self, loaded: dict[str, Loaded | NoRun]) -> None:
        """A document that isn't believed can't say which questions it asked, nor can one that was deleted: the store is
        asked for the open ones.
        """
        is_open = Filter(types.ITEM_STATUS, "eq", ItemStatus.OPEN)
        for guid, found in loaded.items():
            if isinstance(found, Loaded) and not (found.must_write and _is_tampered(found.run)):
                continue
            query = Query(
                types.ITEM,
                (is_open, Filter(types.ITEM_RUN_GUID, "eq", guid)),
                limit=FOUND_MAX,
                attributes=(types.ITEM_STATUS,),
            )
            items = self._each(item_view, await self._store.find(query))
            closed = tuple(CloseItem(item.qualified_name, item.task, ItemStatus.CLOSED) for item in items)
            loaded[guid] = replace(found, effects=(*found.effects, *closed))

    def _each(self, view: Callable[[Entity], T], entities: Iterable[Entity]) -> list[T]:
        """One search finds what belongs to all runs, so one entity that can't be read must not stop it."""
        views = []
        for entity in entities:
            try:
                views.append(view(entity))
            except (ValueError, TypeError, AttributeError, OverflowError) as error:
                self._observer.alert("unreadable-entity", entity.guid, f"{type(error).__name__}: {error}")
        return views

    async def _of_runs(
        self, type_name: str, filters: tuple[Filter, ...], wanted: tuple[str, ...], by: str, run_guids: set[str]
    ) -> list[Entity]:
        """One search for all runs; many only where one can't hold the answer."""
        page = await self._store.find(Query(type_name, filters, limit=FOUND_MAX, attributes=wanted))
        if len(page) < FOUND_MAX:
            return page
        found = []
        for guid in sorted(run_guids):
            of_run = (*filters, Filter(by, "eq", guid))
            found += await self._store.find(Query(type_name, of_run, limit=FOUND_MAX, attributes=wanted))
        return found

    def _add(self, loaded: dict[str, Loaded | NoRun], inputs: Iterable[tuple[str, Input]]) -> None:
        for guid, given in inputs:
            found = loaded.get(guid)
            if isinstance(found, Loaded):
                loaded[guid] = replace(found, inputs=(*found.inputs, given))

    def _add_commands(self, loaded: dict[str, Loaded | NoRun], asked: Sequence[CommandView]) -> None:
        """Each open command once, by the guid of its entity; one with a bad seal is closed unheard."""
        seen: set[str] = set()
        for command in asked:
            found = loaded.get(command.run_guid)
            if command.guid in seen or command.status is not CommandStatus.OPEN or found is None:
                continue
            seen.add(command.guid)
            if isinstance(found, NoRun):
                refusal = CloseCommand(command.guid, command.qualified_name, CommandStatus.REFUSED, NO_SUCH_RUN)
                loaded[command.run_guid] = replace(found, effects=(*found.effects, refusal))
                continue
            heard = self._hear(command)
            if isinstance(heard, Command):
                loaded[command.run_guid] = replace(found, inputs=(*found.inputs, heard))
            else:
                loaded[command.run_guid] = replace(found, effects=(*found.effects, heard))

    def _hear(self, command: CommandView) -> Command | Effect:
        try:
            body = self._seal.open(Sealed.COMMAND, command.qualified_name, command.text)
        except (TamperedError, MalformedError):
            return CloseCommand(command.guid, command.qualified_name, CommandStatus.REFUSED, NOT_SIGNED)
        return Command(command.guid, command.qualified_name, body)


def _decision(entity: Entity) -> tuple[str, ItemDecision]:
    """What stands on an item, with the store's own word for who wrote it and when."""
    view = item_view(entity)
    return view.run_guid, ItemDecision(
        item=view.qualified_name,
        action=view.action or "",
        by=entity.updated_by,
        at=entity.updated_at,
        comment=view.comment,
    )


def _is_decision(command: CommandView) -> bool:
    """Whether it is an answer to a question, for which its turn among the run's commands doesn't matter."""
    try:
        return bool(decode(command.text)["action"] == "decide")
    except (MalformedError, KeyError, TypeError):
        return False


def _is_tampered(run: Run) -> bool:
    return run.error is not None and run.error.name == ErrorName.ENGINE_TAMPERED


def _name_of(entity: Entity) -> str:
    return str(entity.attributes.get("name") or entity.qualified_name)


def _nobodys_request(entity: Entity) -> Request:
    """Of a run that never had a request to believe: it can say who created it, and why it ended."""
    return Request(
        name=entity.qualified_name,
        spec=spec_of(_NO_SPEC),
        spec_digest=digest(_NO_SPEC),
        requester=Requester(name=entity.created_by),
        created_at=entity.created_at,
    )


def _claimed_revision(entity: Entity) -> int:
    """What a document that can't be believed says of its revision; only so that the next one is higher."""
    try:
        body = decode(entity.attributes.get(types.RUN_CONFIG) or "")
        revision = body["engine"]["revision"]
    except (MalformedError, KeyError, TypeError, IndexError):
        return 0
    return revision if isinstance(revision, int) and 0 <= revision < _REVISION_MAX else 0
