"""Notifications in Atlas' wire format, as captured from a real one (see ``tests/golden/notifications``)."""

import base64
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

BYTES_MAX: Final = 1_000_000
"""Above it Atlas compresses, and cuts into parts what is still larger then."""
_PART_CHARS: Final = 999_488
"""Of the message in a part: what Atlas' own parts hold, which leaves room for the envelope."""
_HEAD: Final = (
    b'{"version":{"version":"1.0.0","versionParts":[1]},"msgCompressionKind":"NONE","msgSplitIdx":1,'
    b'"msgSplitCount":1,"msgSourceIP":"127.0.0.1","msgCreatedBy":"","msgCreationTime":%d,'
    b'"message":{"type":"ENTITY_NOTIFICATION_V2","entity":%b,"operationType":"%b","eventTime":%d}}'
)
_PACKED: Final = (
    b'{"version":{"version":"1.0.0","versionParts":[1]},"msgId":"%b","msgCompressionKind":"GZIP","msgSplitIdx":%d,'
    b'"msgSplitCount":%d,"message":"%b"}'
)
_ON_DELETE: Final = ("owner", "qualifiedName", "name", "description")


def created(
    type_name: str, guid: str, told: Mapping[str, Any], classifications: Sequence[Mapping[str, Any]], at: int
) -> list[bytes]:
    """``told``: all notified attributes; nulls are left out here."""
    entity = _entity(type_name, guid, told)
    if classifications:
        entity["classificationNames"] = [each["typeName"] for each in classifications]
        entity["classifications"] = list(classifications)
    return _messages(b"ENTITY_CREATE", entity, at)


def updated(type_name: str, guid: str, told: Mapping[str, Any], at: int) -> list[bytes]:
    """``told``: the notified attributes that the request carried, whether or not they changed."""
    return _messages(b"ENTITY_UPDATE", _entity(type_name, guid, told), at)


def marked(  # noqa: PLR0917  (a notification's parts)
    operation: bytes,
    type_name: str,
    guid: str,
    told: Mapping[str, Any],
    classifications: Sequence[Mapping[str, Any]],
    at: int,
) -> list[bytes]:
    """``told``: all notified attributes; ``classifications`` as they are after the change."""
    entity = _entity(type_name, guid, told, status="ACTIVE")
    if classifications:
        entity["classificationNames"] = [each["typeName"] for each in classifications]
        entity["classifications"] = list(classifications)
    return _messages(operation, entity, at)


def deleted(type_name: str, guid: str, attributes: Mapping[str, Any], at: int) -> list[bytes]:
    """The status still says ACTIVE, as Atlas' own."""
    told = {name: attributes.get(name) for name in _ON_DELETE}
    return _messages(b"ENTITY_DELETE", _entity(type_name, guid, told, status="ACTIVE"), at)


def _entity(type_name: str, guid: str, told: Mapping[str, Any], status: str | None = None) -> dict[str, Any]:
    attributes = {name: value for name, value in told.items() if value is not None}
    entity: dict[str, Any] = {"typeName": type_name, "attributes": attributes, "guid": guid}
    if status is not None:
        entity["status"] = status
    display = attributes.get("name") or attributes.get("qualifiedName")
    if display:
        entity["displayText"] = display
    entity["isIncomplete"] = False
    return entity


def _messages(operation: bytes, entity: Mapping[str, Any], at: int) -> list[bytes]:
    """What goes onto the topic: one message, or the parts of one in their order."""
    payload = _HEAD % (at, orjson.dumps(entity), operation, at)
    if len(payload) <= BYTES_MAX:
        return [payload]
    # Atlas' own are random; the same bytes under the same name do no harm when they are sent again.
    message_id = hashlib.sha256(payload).hexdigest()[:32].encode()
    packed = base64.b64encode(gzip.compress(payload, mtime=0))
    parts = [packed[start : start + _PART_CHARS] for start in range(0, len(packed), _PART_CHARS)]
    if len(parts) == 1:
        return [_PACKED % (message_id, 1, 1, packed)]
    return [_PACKED % (message_id, index, len(parts), part) for index, part in enumerate(parts)]
