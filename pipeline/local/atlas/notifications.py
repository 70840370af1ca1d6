"""Notifications in Atlas' wire format, as captured from a real one (see ``tests/golden/notifications``)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from pipeline.local.atlas.errors import AtlasError, Code

BYTES_MAX: Final = 1_000_000
"""Above it Atlas compresses; that comes later, so a write whose notification would be larger is refused."""
_HEAD: Final = (
    b'{"version":{"version":"1.0.0","versionParts":[1]},"msgCompressionKind":"NONE","msgSplitIdx":1,'
    b'"msgSplitCount":1,"msgSourceIP":"127.0.0.1","msgCreatedBy":"","msgCreationTime":%d,'
    b'"message":{"type":"ENTITY_NOTIFICATION_V2","entity":%b,"operationType":"%b","eventTime":%d}}'
)
_ON_DELETE: Final = ("owner", "qualifiedName", "name", "description")


def created(
    type_name: str, guid: str, told: Mapping[str, Any], classifications: Sequence[Mapping[str, Any]], at: int
) -> bytes:
    """``told``: all notified attributes; nulls are left out here."""
    entity = _entity(type_name, guid, told)
    if classifications:
        entity["classificationNames"] = [each["typeName"] for each in classifications]
        entity["classifications"] = list(classifications)
    return _message(b"ENTITY_CREATE", entity, at)


def updated(type_name: str, guid: str, told: Mapping[str, Any], at: int) -> bytes:
    """``told``: the notified attributes that the request carried, whether or not they changed."""
    return _message(b"ENTITY_UPDATE", _entity(type_name, guid, told), at)


def deleted(type_name: str, guid: str, attributes: Mapping[str, Any], at: int) -> bytes:
    """The status still says ACTIVE, as Atlas' own."""
    told = {name: attributes.get(name) for name in _ON_DELETE}
    return _message(b"ENTITY_DELETE", _entity(type_name, guid, told, status="ACTIVE"), at)


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


def _message(operation: bytes, entity: Mapping[str, Any], at: int) -> bytes:
    payload = _HEAD % (at, orjson.dumps(entity), operation, at)
    if len(payload) > BYTES_MAX:
        raise AtlasError(
            Code.INVALID_PARAMETERS,
            f"invalid parameters: the notification of {entity['typeName']} would take {len(payload)} bytes; "
            f"{BYTES_MAX} are possible.",
        )
    return payload
