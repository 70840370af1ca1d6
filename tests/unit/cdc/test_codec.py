"""Recorded messages of a real Apache Atlas 2.1, and ones made from them."""

import base64
import gzip
from pathlib import Path
from typing import Any

import pytest

from pipeline.cdc.codec import Notification, read, to_event
from pipeline.core.limits import NOTIFICATION_BYTES_MAX
from pipeline.messages.canonical import MalformedError, decode, encode
from pipeline.messages.envelopes import Event, Operation, parse_event
from pipeline.store import types

RECORDED = Path(__file__).parents[2] / "golden" / "notifications"


def recorded(name: str) -> bytes:
    return (RECORDED / f"{name}.json").read_bytes()


def of_type(name: str, type_name: str) -> bytes:
    """A recorded message as if it were about another type; the bytes are Atlas' own otherwise."""
    return recorded(name).replace(b'"ns_run"', f'"{type_name}"'.encode())


def made(type_name: str, operation: str, attributes: dict[str, Any], guid: str = "g-1") -> bytes:
    envelope: Any = decode(recorded("001-create"))
    envelope["message"]["entity"].update(typeName=type_name, guid=guid, attributes=attributes)
    envelope["message"]["operationType"] = operation
    return encode(envelope)


def packed(inside: bytes, kind: str = "GZIP", cut: int = 0) -> bytes:
    """A compressed message; of its base64 text ``cut`` characters are missing at the end."""
    text = base64.b64encode(gzip.compress(inside)).decode()
    return encode({"msgCompressionKind": kind, "msgSplitCount": 1, "message": text[: len(text) - cut]})


def event_of(data: bytes) -> Event | None:
    told = read(data)
    return None if told is None else to_event(told)


@pytest.mark.parametrize(
    "name", ["001-create", "002-partial-update-notified-attr", "005-classification-add", "013-delete"]
)
def test_foreign_types_are_dropped(name: str) -> None:
    assert read(recorded(name)) is None


def test_a_foreign_type_is_dropped_without_parsing() -> None:
    assert read(recorded("001-create") + b"this isn't JSON any more") is None


@pytest.mark.parametrize(
    ("name", "operation", "guid", "at"),
    [
        ("pyatlan-entity_create-1", Operation.CREATE, "14bff4ef-4074-4761-b8d6-3e04b8021e79", 1795440962831),
        ("pyatlan-entity_update-2", Operation.UPDATE, "14bff4ef-4074-4761-b8d6-3e04b8021e79", 1795440963709),
        ("pyatlan-entity_delete-1", Operation.DELETE, "14bff4ef-4074-4761-b8d6-3e04b8021e79", 1795440984780),
    ],
)
def test_a_recorded_run(name: str, operation: Operation, guid: str, at: int) -> None:
    told = read(recorded(name))
    assert told is not None
    assert (told.type_name, told.operation, told.guid, told.qualified_name, told.at) == (
        types.RUN,
        operation,
        guid,
        "default/wf/run1",
        at,
    )


def test_a_create_carries_the_request_and_an_update_the_document() -> None:
    created = event_of(made(types.RUN, "ENTITY_CREATE", {"qualifiedName": "r", types.RUN_REQUEST: "{request}"}))
    assert created is not None
    assert (created.entity, created.operation, created.run_guid) == ("run", Operation.CREATE, "g-1")
    assert (created.request, created.document, created.qualified_name) == ("{request}", None, "r")
    updated = event_of(made(types.RUN, "ENTITY_UPDATE", {"qualifiedName": "r", types.RUN_CONFIG: "{document}"}))
    assert updated is not None
    assert (updated.request, updated.document) == (None, "{document}")
    assert parse_event(updated.encode()) == updated


def test_a_partial_update_without_anything_still_names_its_run() -> None:
    event = event_of(of_type("003-partial-update-unnotified-attr", types.RUN))
    assert event is not None
    assert (event.operation, event.qualified_name, event.document) == (Operation.UPDATE, None, None)
    assert event.run_guid == "e72c106d-f7ad-4da6-a91c-3656c11aaa3d"


def test_a_compressed_one_says_what_is_in_it() -> None:
    assert read(recorded("008-large-compressible-2MB")) is None
    told = read(packed(made(types.RUN, "ENTITY_UPDATE", {"qualifiedName": "r", "note": "x" * 2_000_000})))
    assert told is not None
    assert (told.operation, told.qualified_name, len(told.attributes["note"])) == (Operation.UPDATE, "r", 2_000_000)


@pytest.mark.parametrize("name", ["005-classification-add", "006-classification-update", "007-classification-delete"])
@pytest.mark.parametrize("type_name", [types.RUN, types.ITEM, types.COMMAND])
def test_classifications_tell_nothing(name: str, type_name: str) -> None:
    assert read(of_type(name, type_name)) is None


def test_a_command_matters_when_it_is_asked() -> None:
    asked = {"qualifiedName": "run-7/c-1", types.COMMAND_REQUEST: "{asked}", types.COMMAND_STATUS: "OPEN"}
    event = event_of(made(types.COMMAND, "ENTITY_CREATE", asked, guid="c-guid"))
    assert event is not None
    assert (event.entity, event.guid, event.run_guid, event.command) == ("command", "c-guid", "run-7", "{asked}")


def test_a_verdict_is_told_but_is_no_event() -> None:
    told = read(made(types.COMMAND, "ENTITY_UPDATE", {"qualifiedName": "run-7/c-1", types.COMMAND_STATUS: "APPLIED"}))
    assert told is not None
    assert told.attributes[types.COMMAND_STATUS] == "APPLIED"
    assert to_event(told) is None


def test_an_item_matters_when_a_decision_is_on_it() -> None:
    name = "run-7/ask/0/0/sam"
    assert event_of(made(types.ITEM, "ENTITY_CREATE", {"qualifiedName": name, "name": "Ask"})) is None
    assert event_of(made(types.ITEM, "ENTITY_UPDATE", {"qualifiedName": name})) is None
    decided = event_of(made(types.ITEM, "ENTITY_UPDATE", {"qualifiedName": name, types.ITEM_ACTION: "APPROVED"}))
    assert decided is not None
    assert (decided.entity, decided.run_guid) == ("item", "run-7")
    partial = event_of(made(types.ITEM, "ENTITY_UPDATE", {types.ITEM_ACTION: "APPROVED"}))
    assert partial is not None
    assert partial.run_guid == ""


def test_a_workflow_is_told_but_is_no_event() -> None:
    told = read(made(types.WORKFLOW, "ENTITY_UPDATE", {"qualifiedName": "blockline/workflows/w"}))
    assert isinstance(told, Notification)
    assert to_event(told) is None


def test_an_operation_of_another_stream_tells_nothing() -> None:
    assert read(made(types.RUN, "BUSINESS_ATTRIBUTE_UPDATE", {"qualifiedName": "r"})) is None


def test_our_name_inside_of_a_foreign_entity_is_foreign() -> None:
    data = made("hive_table", "ENTITY_CREATE", {"qualifiedName": "t", "ref": {"typeName": types.RUN}})
    assert read(data) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe garbage", "not JSON"),
        (b"[]", "isn't an object"),
        (b"{}", "no message"),
        (b'{"message": 7}', "isn't an object"),
        (b'{"message": {"type": "ENTITY_NOTIFICATION_V1"}}', "version 2"),
        (recorded("011-large-random-2MB"), "other parts didn't come"),
        (packed(b"{}", kind="LZ4"), "compressed in a way"),
        (packed(b"no message"), "not JSON"),
        (packed(b"[]"), "isn't an object"),
        (packed(b"{}", cut=5), "can't be unpacked"),
        (packed(b"{}" * 500, cut=8), "end is missing"),
        (packed(b" " * (NOTIFICATION_BYTES_MAX + 1)), "more than"),
        ('{"msgCompressionKind": "GZIP", "message": "ä"}'.encode(), "can't be unpacked"),
        (b'{"msgCompressionKind": "GZIP", "message": {}}', "compressed in a way"),
        (b'{"message": "half a te"}', "not JSON"),
        (made(types.RUN, "ENTITY_CREATE", {"qualifiedName": 3}), "qualified name"),
        (made(types.RUN, "ENTITY_CREATE", {}, guid=""), "guid"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        read(data)


def test_a_document_that_is_no_text_is_refused() -> None:
    told = read(made(types.RUN, "ENTITY_UPDATE", {types.RUN_CONFIG: {"a": 1}}))
    assert told is not None
    with pytest.raises(MalformedError, match="workflowRunConfig"):
        to_event(told)
