"""What must hold in every world: while it runs, of each transaction; at its end, of all that happened."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from pipeline.core.ids import output_name, run_guid_of
from pipeline.core.limits import CLOCK_SKEW_MAX_MS
from pipeline.core.statuses import TERMINAL, CommandStatus, RunStatus, TaskStatus
from pipeline.messages.envelopes import Dispatch, EntityWrite, Result
from pipeline.messages.outputs import open_output
from pipeline.messages.seal import Seal, Sealed, TamperedError
from pipeline.store import types
from pipeline.store.mapping import command_view, run_status
from pipeline.store.memory import MemoryEntityStore
from pipeline.store.outputs import StoredOutputs
from pipeline.store.port import Entity, Query
from pipeline.testing.fake_blocks import ENTITY, ENTITY_TYPE, SPEAKING, Call
from pipeline.testing.people import Asked, People
from pipeline.testing.scheduler import at_once
from pipeline.testing.spec_maker import said

Violation = Callable[[str], None]
_ACTIONS: Final = frozenset({"pause", "resume", "skip", "resolve"})
_ENGINE_ERRORS: Final = frozenset(
    {"Condition.False", "Approval.Rejected", "Approval.Expired", "Approval.NoApprovers", "Task.Cancelled"}
)


@dataclass(slots=True)
class _Known:
    """A run as its last transaction left it."""

    revision: int
    text: str
    body: dict[str, Any]


@dataclass(slots=True)
class Checkers:
    """Told of everything; says what is wrong to ``violation``."""

    seal: Seal
    store: MemoryEntityStore
    people: People
    violation: Violation
    is_calm: bool
    runs: dict[str, _Known] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    failures: set[tuple[str, str, str]] = field(default_factory=set)
    dispatched: dict[tuple[str, int], int] = field(default_factory=dict)
    over_at: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)

    def dispatch(self, dispatch: Dispatch) -> None:
        """The orchestrator sent it."""
        known = (str(dispatch.effect_key), dispatch.attempt)
        self.dispatched[known] = self.dispatched.get(known, 0) + 1
        over_at = self.over_at.get(dispatch.run_guid)
        if over_at is not None and dispatch.dispatched_at > over_at + CLOCK_SKEW_MAX_MS:
            self.violation(f"{dispatch.run_guid} is over and starts {dispatch.task}")

    def result(self, result: Result) -> None:
        """A runner answered."""
        if result.error is not None:
            self.failures.add((result.run_guid, result.task, result.error.name))

    def committed(self, writes: Sequence[EntityWrite], *, is_engine: bool) -> None:
        """One transaction was carried out."""
        for write in writes:
            self._status_written(write)
        if not is_engine:
            return
        states = [write for write in writes if types.RUN_CONFIG in write.attributes]
        for write in states:
            self._state_written(write)
        self._entities_written(writes, states)

    def _status_written(self, write: EntityWrite) -> None:
        status = write.attributes.get(types.RUN_STATUS)
        if status is None:
            return
        before = self.statuses.get(write.qualified_name, RunStatus.PENDING)
        self.statuses[write.qualified_name] = status
        entity = at_once(self.store.get_by_name(types.RUN, write.qualified_name))
        if entity is None:
            return
        if before not in {RunStatus.PENDING, status} and entity.guid not in self.people.tampered:
            self.violation(f"{write.qualified_name} was {before} in the store and is {status}")

    def _state_written(self, write: EntityWrite) -> None:
        entity = at_once(self.store.get_by_name(types.RUN, write.qualified_name))
        if entity is None:
            return
        text = write.attributes[types.RUN_CONFIG]
        try:
            self.seal.open(Sealed.DOCUMENT, entity.guid, text)
        except TamperedError:
            self.violation(f"{write.qualified_name}: an unsigned document was written")
            return
        body = orjson.loads(text)
        known = self.runs.get(entity.guid)
        now = _Known(body["engine"]["revision"], text, body)
        self.runs[entity.guid] = now
        if known is not None and entity.guid not in self.people.tampered:
            self._compare(entity, known, now)
        self._outputs_kept(entity.guid, body)
        if body["engine"]["status"] != RunStatus.PENDING:
            self.over_at.setdefault(entity.guid, body["engine"].get("ended_at", 0))
        self._who_decided(entity.guid, body)

    def _outputs_kept(self, guid: str, body: dict[str, Any]) -> None:
        """An output that a document names is there from the same transaction on, and is what its digest says."""
        for task in body["dag"]["tasks"]:
            stored = task["engine"].get("stored")
            if stored is None:
                continue
            name = output_name(guid, task["name"], task["round"], stored["sha256"])
            try:
                open_output(at_once(StoredOutputs(self.store).text(name)), stored["sha256"])
            except TamperedError:
                self.violation(f"{guid}/{task['name']} names an output that isn't kept")
            if "output" in task:
                self.violation(f"{guid}/{task['name']} has its output twice")

    def _compare(self, entity: Entity, known: _Known, now: _Known) -> None:
        if now.revision < known.revision or (now.revision == known.revision and now.text != known.text):
            self.violation(f"{entity.qualified_name}: revision {known.revision} was overwritten by {now.revision}")
        if now.revision > known.revision + 1:
            self.violation(f"{entity.qualified_name}: revision {known.revision} is followed by {now.revision}")
        before, after = known.body["engine"], now.body["engine"]
        if before["status"] != RunStatus.PENDING and after["status"] != before["status"]:
            self.violation(f"{entity.qualified_name} was {before['status']} and is {after['status']}")
        for old, new in zip(known.body["dag"]["tasks"], now.body["dag"]["tasks"], strict=True):
            ended = old["status"] in TERMINAL and old["round"] == new["round"]
            is_same = old["engine"].get("stored") == new["engine"].get("stored")
            if ended and (not is_same or any(old.get(part) != new.get(part) for part in ("status", "output", "error"))):
                self.violation(f"{entity.qualified_name}/{old['name']} was {old['status']} and is {new['status']}")
            is_paused = before.get("paused") is not None and before["paused"] == after.get("paused")
            if is_paused and new["engine"].get("dispatched_revision", 0) > known.revision:
                self.violation(f"{entity.qualified_name} is paused and starts {new['name']}")
            if before["status"] != RunStatus.PENDING and new["status"] == TaskStatus.RUNNING:
                self.violation(f"{entity.qualified_name} is over and runs {old['name']}")

    def _who_decided(self, guid: str, body: dict[str, Any]) -> None:
        for task in body["dag"]["tasks"]:
            approval = task["engine"].get("approval")
            for decision in approval["decisions"] if approval else ():
                recipient = next((one for one in approval["recipients"] if one["name"] == decision["by"]), None)
                if recipient is None:
                    self.violation(f"{guid}/{task['name']}: {decision['by']} decided and wasn't asked")
                elif not self._said_so(guid, task["name"], recipient["item"], decision):
                    self.violation(f"{guid}/{task['name']}: {decision['by']} never said {decision['action']}")

    def _said_so(self, guid: str, task: str, item: str, decision: dict[str, Any]) -> bool:
        by, action = decision["by"], decision["action"]
        if "command" in decision:
            asked = self.people.asked.get(f"{guid}/{decision['command']}")
            return asked is not None and (asked.by, asked.answer, asked.task) == (by, action, task)
        return (item, by, action) in self.people.decided_on_items

    def _entities_written(self, writes: Sequence[EntityWrite], states: Sequence[EntityWrite]) -> None:
        """Of each task that writes an entity: in the transaction of its success, and never again."""
        brought = {write.attributes["token"] for write in writes if write.type_name == ENTITY_TYPE}
        brought = {token for token in brought if run_guid_of(token) not in self.people.tampered}
        for token in brought:
            if token in self.tokens:
                self.violation(f"the entity of {token} was written twice")
        expected: set[str] = set()
        for write in states:
            expected |= set(self._new_successes(write))
        for token in brought - expected:
            self.violation(f"the entity of {token} was written without its task's success")
        for token in expected - brought:
            self.violation(f"{token} succeeded without its entity")
        self.tokens.update(dict.fromkeys(expected | brought, "written"))

    def _new_successes(self, write: EntityWrite) -> Iterable[str]:
        entity = at_once(self.store.get_by_name(types.RUN, write.qualified_name))
        if entity is None or entity.guid in self.people.tampered:
            return
        for task in self.runs[entity.guid].body["dag"]["tasks"]:
            token = f"{entity.guid}/{task['name']}/{task['round']}/0"
            if task["type"] == ENTITY and task["status"] == TaskStatus.SUCCESS and token not in self.tokens:
                yield token

    def at_the_end(self, calls: Sequence[Call], dead_letters: int, garbage: int) -> None:
        """Nothing is left to happen."""
        for name in self.people.names:
            self._run_ended(name)
        for asked in self.people.asked.values():
            self._verdict(asked)
        self._effects(calls)
        if dead_letters > garbage:
            self.violation(f"{dead_letters} dead letters of {garbage} pieces of garbage")
        if self.is_calm:
            self._needed_no_healing()

    def _run_ended(self, name: str) -> None:
        entity = at_once(self.store.get_by_name(types.RUN, name))
        if entity is None:
            self.violation(f"{name} was lost")
            return
        if run_status(entity) is RunStatus.PENDING:
            self.violation(f"{name} is stuck")
            return
        if entity.guid in self.people.tampered:
            return
        self._no_failure_from_nowhere(entity)
        self._nothing_was_judged_unread(self.runs[entity.guid].body)

    def _nothing_was_judged_unread(self, body: dict[str, Any]) -> None:
        """A condition on what a task said is true if that task succeeded before, however large its output is."""
        succeeded = {
            said(task["name"])
            for task in body["dag"]["tasks"]
            if task["status"] == TaskStatus.SUCCESS and task["type"] in SPEAKING
        }
        for task in body["dag"]["tasks"]:
            # Where its `depends` has alternatives, it may have been decided before the other task had ended.
            is_after = "||" not in task.get("depends", "")
            is_asked = any(one.get("task") == task["name"] for one in body["engine"].get("actions", ()))
            if task["status"] == TaskStatus.SKIPPED and is_after and not is_asked and task.get("when") in succeeded:
                self.violation(f"{task['name']} was skipped though its condition is true")
            is_false = task["type"] == "CONDITION" and task["status"] == TaskStatus.FAILURE
            if is_false and is_after and task["arguments"][0]["expression"] in succeeded:
                self.violation(f"{task['name']} is false and should be true")

    def _no_failure_from_nowhere(self, entity: Entity) -> None:
        """A failed task failed in its runner, or for a reason of its spec: losing messages isn't one."""
        body = self.runs[entity.guid].body
        for task in body["dag"]["tasks"]:
            error = task.get("error")
            if error is None or task["status"] == TaskStatus.CANCELLED or error["name"] in _ENGINE_ERRORS:
                continue
            is_known = (entity.guid, task["name"], error["name"]) in self.failures
            is_poison = error["name"] == "Metadata.Refused" and {"is_poison": True} in task["arguments"]
            if not (is_known or is_poison or (error["name"] == "Task.Timeout" and "maxDurationSeconds" in task)):
                self.violation(f"{entity.qualified_name}/{task['name']} failed from nowhere: {error}")

    def _verdict(self, asked: Asked) -> None:
        entity = at_once(self.store.get_by_name(types.COMMAND, asked.qualified_name))
        if entity is None:
            if asked.is_acknowledged:
                self.violation(f"{asked.qualified_name} was acknowledged and is lost")
            return
        status = command_view(entity).status
        if status is CommandStatus.OPEN:
            self.violation(f"{asked.qualified_name} ({asked.action}) has no verdict")
        elif not asked.is_genuine and status is CommandStatus.APPLIED:
            self.violation(f"{asked.qualified_name} was forged and applied")
        elif asked.run_guid not in self.people.tampered and asked.run_guid in self.runs:
            self._meant(asked, status)

    def _meant(self, asked: Asked, status: CommandStatus) -> None:
        body = self.runs[asked.run_guid].body
        ident = asked.qualified_name.partition("/")[2]
        if asked.action in _ACTIONS:
            self._acted(asked, ident, body, status)
            return
        if asked.action not in {"decide", "delegate"}:
            ended_by = body["engine"].get("ended_by") or {}
            if (ended_by.get("command") == ident) != (status is CommandStatus.APPLIED):
                self.violation(f"{asked.qualified_name} ({asked.action}) is {status}, ended by {ended_by}")
            return
        task = next(task for task in body["dag"]["tasks"] if task["name"] == asked.task)
        approval = task["engine"].get("approval") or {"decisions": [], "recipients": []}
        said = [*approval["decisions"], *approval.get("delegations", ())]
        if (ident in {one.get("command") for one in said}) != (status is CommandStatus.APPLIED):
            self.violation(f"{asked.qualified_name} ({asked.action}) is {status} and the run has {said}")
        if asked.action == "decide":
            self._in_time(asked, task, approval, status)

    def _acted(self, asked: Asked, ident: str, body: dict[str, Any], status: CommandStatus) -> None:
        """An action that was applied is on record, and what it asked for has come about."""
        done = next((one for one in body["engine"].get("actions", ()) if one["command"] == ident), None)
        if (done is not None) != (status is CommandStatus.APPLIED):
            self.violation(f"{asked.qualified_name} ({asked.action}) is {status} and the run has {done}")
        if done is not None and asked.action == "skip":
            task = next(task for task in body["dag"]["tasks"] if task["name"] == asked.task)
            if task["status"] != TaskStatus.SKIPPED:
                self.violation(f"{asked.qualified_name}: {asked.task} was skipped and is {task['status']}")

    def _in_time(self, asked: Asked, task: dict[str, Any], approval: dict[str, Any], status: CommandStatus) -> None:
        """A recipient's decision that the store had before the deadline counts, unless others settled the question."""
        if asked.committed_at is None or task["status"] != TaskStatus.EXPIRED or status is CommandStatus.APPLIED:
            return
        own = {(one["name"], one["item"]) for one in approval["recipients"] if "delegated_to" not in one}
        spoke = {decision["by"] for decision in approval["decisions"]}
        in_time = max(asked.committed_at + CLOCK_SKEW_MAX_MS, asked.at) <= approval["due_at"]
        if in_time and (asked.by, asked.item) in own and asked.by not in spoke:
            self.violation(f"{asked.qualified_name}: {asked.by} decided in time and {task['name']} expired")

    def _effects(self, calls: Sequence[Call]) -> None:
        contents: dict[str, str] = {}
        keys: dict[tuple[str, str, str], str] = {}
        for call in calls:
            if contents.setdefault(call.key, call.content) != call.content:
                self.violation(f"{call.key} stands for {contents[call.key]} and {call.content}")
            if keys.setdefault(call.logical, call.key) != call.key:
                self.violation(f"{call.logical} happened under {keys[call.logical]} and {call.key}")
            over_at = self.over_at.get(call.logical[0])
            if over_at is not None and call.dispatched_at > over_at + CLOCK_SKEW_MAX_MS:
                self.violation(f"{call.logical} was dispatched after its run was over")

    def _needed_no_healing(self) -> None:
        """Without faults nothing is dispatched twice and no lease runs out."""
        for (key, attempt), count in self.dispatched.items():
            if count > 1:
                self.violation(f"{key}, attempt {attempt} was dispatched {count} times in a calm world")
        for guid, known in self.runs.items():
            for task in known.body["dag"]["tasks"]:
                if task["engine"].get("dispatches", 0) > 1 and guid not in self.people.tampered:
                    self.violation(f"{guid}/{task['name']} needed {task['engine']['dispatches']} dispatches")


def all_of(store: MemoryEntityStore, type_name: str, *more: str) -> list[Entity]:
    """Every live entity of a type; ``more``: attributes besides those that the world asks for."""
    wanted = (*more, types.RUN_STATUS, types.RUN_WAKE_AT, types.COMMAND_STATUS, types.COMMAND_AT, types.ITEM_STATUS)
    return at_once(store.find(Query(type_name, limit=1000, attributes=(*wanted, types.ITEM_ACTION))))
