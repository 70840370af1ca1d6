"""Between the engine's values and the store's entities, both ways."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core.ids import DEAD_LETTER_PREFIX, EffectKey, command_name, run_guid_of
from pipeline.core.statuses import CommandStatus, ItemStatus, ReplayStatus, RunStatus
from pipeline.machine.document import to_document
from pipeline.machine.effects import ChangeAsset, CloseCommand, CloseItem, Effect, KeepOutput, OpenItem, WriteEntity
from pipeline.machine.run import Run
from pipeline.messages.canonical import MalformedError, decode, encode
from pipeline.messages.envelopes import DeadLetter, EntityWrite, Replayed
from pipeline.messages.seal import Seal, Sealed
from pipeline.store import types
from pipeline.store.port import Entity

ENGINE: Final = "blockline"
"""Who asks where nobody did: no user may be called so."""
_NAME_CHARS_MAX: Final = 200
_LETTER_NAME_CHARS: Final = 16


def run_write(run: Run, name: str, seal: Seal) -> EntityWrite:
    """The shard's own attributes of a run, its document sealed; ``name`` is the entity's, mandatory in each write."""
    return EntityWrite(
        type_name=types.RUN,
        qualified_name=run.name,
        attributes={
            "name": name,
            types.RUN_CONFIG: seal.seal(Sealed.DOCUMENT, run.guid, to_document(run)),
            types.RUN_STATUS: run.status.value,
            types.RUN_WAKE_AT: run.wake_at,
        },
    )


def command_write(run_guid: str, command_id: str, body: Mapping[str, Any], seal: Seal) -> EntityWrite:
    """What a person asks of a run, as an entity; ``body`` is the command of docs/architecture.md.

    Whoever repeats it reads first whether it exists: writing it again would open it again.
    """
    qualified_name = command_name(run_guid, command_id)
    return EntityWrite(
        type_name=types.COMMAND,
        qualified_name=qualified_name,
        attributes={
            "name": command_id,
            types.COMMAND_RUN_GUID: run_guid,
            types.COMMAND_REQUEST: seal.seal(Sealed.COMMAND, qualified_name, dict(body)),
            types.COMMAND_STATUS: CommandStatus.OPEN.value,
            types.COMMAND_AT: body["at"],
        },
    )


def effect_writes(effects: Iterable[Effect]) -> list[EntityWrite]:
    """The entities of a transition's effects, one an entity: of two effects on one the later one says what it is."""
    writes: dict[tuple[str, str], EntityWrite] = {}
    for effect in effects:
        if isinstance(effect, ChangeAsset):
            continue  # what it comes to is known only when it is written
        write = effect_write(effect)
        key = (write.type_name, write.qualified_name)
        before = writes.get(key)
        if before is not None:
            write = write.model_copy(update={"attributes": {**before.attributes, **write.attributes}})
        writes[key] = write
    return list(writes.values())


def effect_write(effect: OpenItem | CloseItem | CloseCommand | WriteEntity | KeepOutput) -> EntityWrite:
    """The entity of one effect."""
    match effect:
        case OpenItem():
            return _open_item(effect)
        case CloseItem():
            return _close_item(effect)
        case CloseCommand():
            return _close_command(effect)
        case WriteEntity():
            return effect.entity
        case KeepOutput():
            return _output(effect)


def dead_letter_write(letter: DeadLetter) -> EntityWrite:
    """The entity that keeps a dead letter, named by what it holds, so that a repeat is the same entity."""
    name = "-".join(filter(None, (letter.payload_sha256[:_LETTER_NAME_CHARS], letter.source_offset)))
    attributes = {
        "name": name,
        types.DEAD_LETTER_REASON: letter.reason,
        types.DEAD_LETTER_VERTEX: letter.vertex,
        types.DEAD_LETTER_PAYLOAD: letter.payload_base64,
        types.DEAD_LETTER_BYTES: letter.payload_bytes,
        types.DEAD_LETTER_SHA256: letter.payload_sha256,
        types.DEAD_LETTER_AT: letter.at,
    }
    if letter.run_guid is not None:
        attributes[types.DEAD_LETTER_RUN_GUID] = letter.run_guid
    if letter.source_offset is not None:
        attributes[types.DEAD_LETTER_OFFSET] = letter.source_offset
    return EntityWrite(type_name=types.DEAD_LETTER, qualified_name=f"{DEAD_LETTER_PREFIX}{name}", attributes=attributes)


def sent_on_write(letter: DeadLetter, seal: Seal) -> EntityWrite:
    """A letter that is nobody's to read: the engine itself asks that these bytes are sent again."""
    kept = dead_letter_write(letter)
    body = {"v": 1, "by": ENGINE, "at": letter.at, "sha256": letter.payload_sha256}
    return kept.model_copy(update={"attributes": kept.attributes | _asked(kept.qualified_name, body, seal)})


def _asked(qualified_name: str, body: dict[str, Any], seal: Seal) -> dict[str, Any]:
    return {
        types.DEAD_LETTER_REPLAY: seal.seal(Sealed.REPLAY, qualified_name, body),
        types.DEAD_LETTER_REPLAY_STATUS: ReplayStatus.ASKED.value,
        types.DEAD_LETTER_REPLAY_BY: body["by"],
        types.DEAD_LETTER_REPLAY_AT: body["at"],
    }


def replay_write(letter: Entity, *, by: str, at: int, seal: Seal) -> EntityWrite:
    """The request to send a dead letter again; the same bytes are meant, whatever is written on the entity later.

    Whoever asks reads first whether it was asked for already.
    """
    body = {"v": 1, "by": by, "at": at, "sha256": letter.attributes.get(types.DEAD_LETTER_SHA256, "")}
    return EntityWrite(
        type_name=types.DEAD_LETTER,
        qualified_name=letter.qualified_name,
        attributes={"name": letter.attributes["name"], **_asked(letter.qualified_name, body, seal)},
    )


def replayed_write(letter: Entity, replayed: Replayed) -> EntityWrite | None:
    """What became of a replay; None where the letter waits for another one, or for none."""
    given = letter.attributes
    if given.get(types.DEAD_LETTER_REPLAY_STATUS) != ReplayStatus.ASKED:
        return None
    if given.get(types.DEAD_LETTER_REPLAY_AT) != replayed.asked_at:
        return None
    return EntityWrite(
        type_name=types.DEAD_LETTER,
        qualified_name=letter.qualified_name,
        attributes={
            "name": given["name"],
            types.DEAD_LETTER_REPLAY_STATUS: (ReplayStatus.REFUSED if replayed.is_refused else ReplayStatus.DONE).value,
            types.DEAD_LETTER_REPLAYED_AT: replayed.at,
            types.DEAD_LETTER_REPLAY_NOTE: replayed.note,
        },
    )


def touched_by(effects: Iterable[Effect]) -> frozenset[tuple[str, str]]:
    """Entities (type, qualified name) that other runs may write as well: what blocks asked for."""
    return frozenset(
        (effect.entity.type_name, effect.entity.qualified_name) for effect in effects if isinstance(effect, WriteEntity)
    )


def _open_item(effect: OpenItem) -> EntityWrite:
    attributes: dict[str, Any] = {
        "name": _item_name(effect.task),
        "description": effect.title,
        types.ITEM_RUN_GUID: effect.run_guid,
        types.ITEM_TASK: effect.task,
        types.ITEM_STATUS: ItemStatus.OPEN.value,
        types.ITEM_OPENED_AT: effect.opened_at,
        types.ITEM_BODY: effect.body,
        types.ITEM_OPTIONS: encode(list(effect.options)).decode(),
        types.ITEM_RECIPIENT: effect.recipient,
        types.ITEM_REQUESTER: effect.requester,
        types.ITEM_DUE_AT: effect.due_at,
    }
    if effect.form is not None:
        attributes[types.ITEM_FORM] = encode(dict(effect.form)).decode()
    if effect.asset is not None:
        attributes[types.ITEM_ASSET] = encode(dict(effect.asset)).decode()
        attributes[types.ITEM_ON_ASSET_GUID] = effect.asset["guid"]
    return EntityWrite(type_name=types.ITEM, qualified_name=effect.qualified_name, attributes=attributes)


def _close_item(effect: CloseItem) -> EntityWrite:
    attributes: dict[str, Any] = {"name": _item_name(effect.task), types.ITEM_STATUS: effect.status.value}
    if effect.action is not None:
        attributes[types.ITEM_ACTION] = effect.action
    if effect.comment is not None:
        attributes[types.ITEM_COMMENT] = effect.comment
    if effect.by is not None:
        attributes[types.ITEM_UPDATED_BY] = effect.by
    return EntityWrite(type_name=types.ITEM, qualified_name=effect.qualified_name, attributes=attributes)


def _close_command(effect: CloseCommand) -> EntityWrite:
    return EntityWrite(
        type_name=types.COMMAND,
        qualified_name=effect.qualified_name,
        attributes={
            "name": effect.qualified_name.partition("/")[2],
            types.COMMAND_STATUS: effect.status.value,
            types.COMMAND_REASON: effect.reason,
        },
    )


def _output(effect: KeepOutput) -> EntityWrite:
    return EntityWrite(
        type_name=types.OUTPUT,
        qualified_name=effect.qualified_name,
        attributes={
            "name": effect.task[:_NAME_CHARS_MAX],
            types.OUTPUT_RUN_GUID: effect.run_guid,
            types.OUTPUT_TASK: effect.task,
            types.OUTPUT_TEXT: effect.text,
            types.OUTPUT_SHA256: effect.sha256,
            types.OUTPUT_BYTES: effect.bytes,
        },
    )


def _item_name(task: str) -> str:
    """Of an inbox item: the same when it opens and when it closes."""
    return task[:_NAME_CHARS_MAX]


@dataclass(frozen=True, slots=True)
class ItemView:
    """An inbox item as its entity has it; times are Unix milliseconds, ``due_at`` 0 = none."""

    guid: str
    qualified_name: str
    run_guid: str
    task: str
    title: str
    body: str
    options: tuple[str, ...]
    asset: Mapping[str, Any] | None
    recipient: str
    requester: str
    status: ItemStatus
    opened_at: int
    due_at: int
    action: str | None
    comment: str | None
    decided_by: str | None


def item_view(entity: Entity) -> ItemView:
    """An inbox item from its entity; which run and task it asks for is read from its name, never its attributes."""
    given = entity.attributes
    asset = _json(given.get(types.ITEM_ASSET))
    options = _json(given.get(types.ITEM_OPTIONS))
    status = given.get(types.ITEM_STATUS)
    return ItemView(
        guid=entity.guid,
        qualified_name=entity.qualified_name,
        run_guid=run_guid_of(entity.qualified_name),
        task=_task_of(entity.qualified_name) or str(given.get(types.ITEM_TASK, "")),
        title=str(given.get("description") or given.get("name") or ""),
        body=str(given.get(types.ITEM_BODY, "")),
        options=tuple(str(option) for option in options) if isinstance(options, list) else (),
        asset=asset if isinstance(asset, dict) else None,
        recipient=str(given.get(types.ITEM_RECIPIENT, "")),
        requester=str(given.get(types.ITEM_REQUESTER, "")),
        status=ItemStatus(status) if status in set(ItemStatus) else ItemStatus.CLOSED,
        opened_at=int(given.get(types.ITEM_OPENED_AT, 0)),
        due_at=int(given.get(types.ITEM_DUE_AT, 0)),
        action=given.get(types.ITEM_ACTION) or None,
        comment=given.get(types.ITEM_COMMENT) or None,
        decided_by=given.get(types.ITEM_UPDATED_BY) or None,
    )


@dataclass(frozen=True, slots=True)
class CommandView:
    """A command as its entity has it; ``text`` is sealed, ``reason`` empty unless it was refused."""

    guid: str
    qualified_name: str
    run_guid: str
    id: str
    text: str
    status: CommandStatus
    reason: str
    at: int


def command_view(entity: Entity) -> CommandView:
    """A command from its entity; one without a status reads as open."""
    given = entity.attributes
    status = given.get(types.COMMAND_STATUS)
    return CommandView(
        guid=entity.guid,
        qualified_name=entity.qualified_name,
        run_guid=run_guid_of(entity.qualified_name),
        id=entity.qualified_name.partition("/")[2],
        text=str(given.get(types.COMMAND_REQUEST, "")),
        status=CommandStatus(status) if status in set(CommandStatus) else CommandStatus.OPEN,
        reason=str(given.get(types.COMMAND_REASON) or ""),
        at=int(given.get(types.COMMAND_AT, 0)),
    )


def run_status(entity: Entity) -> RunStatus:
    """A run's status; an absent one (nothing written by its shard yet) reads as PENDING."""
    status = entity.attributes.get(types.RUN_STATUS)
    return RunStatus(status) if status in set(RunStatus) else RunStatus.PENDING


def _task_of(item: str) -> str | None:
    try:
        return EffectKey.parse(item.rpartition("/")[0]).task
    except ValueError:
        return None


def _json(text: Any) -> Any:
    try:
        return decode(text) if isinstance(text, str) else None
    except MalformedError:
        return None
