"""Atlas' notifications (topic ``ATLAS_ENTITIES``): bytes in, what the engine needs to know out.

What came in several parts has been put together before (:mod:`pipeline.cdc.parts`).

The format was captured from a real Apache Atlas 2.1; recorded messages are in ``tests/golden/notifications``. Most of
what is on a company's topic is about other types: it is dropped without being parsed.
"""

import base64
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core.ids import run_guid_of
from pipeline.core.limits import NOTIFICATION_BYTES_MAX
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
        MalformedError: not a notification of Atlas, a part of one, or one that is too large.
    """
    if _is_foreign(data):
        return None
    envelope = _object(decode(data), "the message")
    if "message" not in envelope:
        raise MalformedError("not a notification: there is no message in it")
    if envelope.get("msgSplitCount", 1) != 1:
        raise MalformedError("a part of a notification whose other parts didn't come")
    if envelope.get("msgCompressionKind", "NONE") != "NONE":
        data = _unpacked(envelope)
        if _is_foreign(data):
            return None
        envelope = _object(decode(data), "what is packed in it")
    elif isinstance(envelope["message"], str):
        # Atlas can be told not to compress: then the parts are those of the whole text.
        envelope = _object(decode(envelope["message"]), "what was in its parts")
    message = _object(envelope.get("message"), "its message")
    if message.get("type") != "ENTITY_NOTIFICATION_V2":
        raise MalformedError("not a notification of an entity, version 2")
    return _notification(message)


def _is_foreign(data: bytes) -> bool:
    is_entity = _PLAIN.search(data) and _ENTITY.search(data) and _TYPE_NAME in data
    return bool(is_entity) and not _OWN.search(data)


def _unpacked(envelope: Mapping[str, Any]) -> bytes:
    """The whole envelope that is in a compressed one."""
    kind, text = envelope["msgCompressionKind"], envelope["message"]
    if kind != "GZIP" or not isinstance(text, str):
        raise MalformedError("a notification compressed in a way that isn't known")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        data = unpacker.decompress(base64.b64decode(text, validate=True), NOTIFICATION_BYTES_MAX)
    except (ValueError, zlib.error) as error:
        raise MalformedError("a compressed notification that can't be unpacked") from error
    if unpacker.unconsumed_tail:
        raise MalformedError(f"a compressed notification of more than {NOTIFICATION_BYTES_MAX} bytes")
    if not unpacker.eof:
        raise MalformedError("a compressed notification whose end is missing")
    return data


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
