"""Atlas' notifications (topic ``ATLAS_ENTITIES``): bytes in, what the engine needs to know out.

The format was captured from a real Apache Atlas 2.1; recorded messages are in ``tests/golden/notifications``. Most of
what is on a company's topic is about other types: it is dropped without being parsed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core.ids import run_guid_of
from pipeline.messages.canonical import MalformedError, decode
from pipeline.messages.envelopes import Event, Operation
from pipeline.store import types

TYPES: Final = frozenset({types.RUN, types.COMMAND, types.ITEM, types.WORKFLOW})
"""What is looked at; everything else is foreign."""

_OWN: Final = re.compile(rb'"typeName"\s*:\s*"(?:' + "|".join(sorted(TYPES)).encode() + rb')"')
_PLAIN: Final = re.compile(rb'"msgCompressionKind"\s*:\s*"NONE"')
_ENTITY: Final = re.compile(rb'"type"\s*:\s*"ENTITY_NOTIFICATION_V2"')
_TYPE_NAME: Final = b'"typeName"'
_OPERATIONS: Final = {
    "ENTITY_CREATE": Operation.CREATE,
    "ENTITY_UPDATE": Operation.UPDATE,
    "ENTITY_DELETE": Operation.DELETE,
}


@dataclass(frozen=True, slots=True)
class Notification:
    """One change of one entity of ours.

    ``attributes`` are what the notification carried: of a create all notified ones that are set, of an update those
    that its request carried, changed or not, as long as anything changed; of a partial update perhaps none (then
    ``qualified_name`` is None too: look up by ``guid``).
    ``at`` is Atlas' time of the change in milliseconds; it isn't monotone in the topic's order.
    """

    type_name: str
    operation: Operation
    guid: str
    qualified_name: str | None
    attributes: Mapping[str, Any]
    at: int


def read(data: bytes) -> Notification | None:
    """What a message says; None for a foreign type, a classification, or an operation that tells us nothing.

    Raises:
        MalformedError: not a notification of Atlas, or one in a form that isn't read yet (compressed, split).
    """
    if not _OWN.search(data) and _PLAIN.search(data) and _ENTITY.search(data) and _TYPE_NAME in data:
        return None
    envelope = _object(decode(data), "the message")
    if "message" not in envelope:
        raise MalformedError("not a notification: there is no message in it")
    if envelope.get("msgSplitCount", 1) != 1:
        raise MalformedError("a notification in several parts can't be read yet")
    if envelope.get("msgCompressionKind", "NONE") != "NONE":
        raise MalformedError("a compressed notification can't be read yet")
    message = _object(envelope["message"], "its message")
    if message.get("type") != "ENTITY_NOTIFICATION_V2":
        raise MalformedError("not a notification of an entity, version 2")
    return _notification(message)


def to_event(told: Notification) -> Event | None:
    """The pipeline's event of a notification; None where nothing follows from it.

    A command matters when it is asked, not when its verdict is written. An inbox item matters when somebody wrote a
    decision on it. Of workflows the pipeline wants to know nothing.
    """
    if told.type_name == types.RUN:
        return Event(
            entity="run",
            operation=told.operation,
            guid=told.guid,
            run_guid=told.guid,
            qualified_name=told.qualified_name,
            request=_text(told, types.RUN_REQUEST),
            document=_text(told, types.RUN_CONFIG),
            at=told.at,
        )
    if told.type_name == types.COMMAND and told.operation is Operation.CREATE:
        return _of_run(told, "command", _text(told, types.COMMAND_REQUEST))
    if told.type_name == types.ITEM and told.operation is Operation.UPDATE and told.attributes.get(types.ITEM_ACTION):
        return _of_run(told, "item", None)
    return None


def _of_run(told: Notification, entity: Any, command: str | None) -> Event:
    return Event(
        entity=entity,
        operation=told.operation,
        guid=told.guid,
        run_guid=run_guid_of(told.qualified_name or ""),
        qualified_name=told.qualified_name,
        command=command,
        at=told.at,
    )


def _notification(message: Mapping[str, Any]) -> Notification | None:
    entity = _object(message.get("entity"), "its entity")
    type_name, operation = entity.get("typeName"), _OPERATIONS.get(str(message.get("operationType")))
    if type_name not in TYPES or operation is None:
        return None
    guid, at = entity.get("guid"), message.get("eventTime", 0)
    attributes = _object(entity.get("attributes") or {}, "its attributes")
    name = attributes.get("qualifiedName")
    if not isinstance(guid, str) or not guid or not isinstance(at, int):
        raise MalformedError("a notification without guid or time")
    if name is not None and not isinstance(name, str):
        raise MalformedError("a notification whose qualified name isn't a text")
    return Notification(str(type_name), operation, guid, name, attributes, at)


def _text(told: Notification, attribute: str) -> str | None:
    value = told.attributes.get(attribute)
    if value is None or isinstance(value, str):
        return value or None
    raise MalformedError(f"a notification whose {attribute} isn't a text")


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError(f"not a notification: {what} isn't an object")
    return value
