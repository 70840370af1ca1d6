"""The bytes a real Atlas 2.1 sent, made again from what they say."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.local.atlas import notifications
from pipeline.local.atlas.errors import AtlasError

RECORDED = Path(__file__).parents[2] / "golden" / "notifications"


def recorded(name: str) -> Any:
    """A recorded message; of its two times, which are the same here, the later one."""
    envelope = orjson.loads((RECORDED / f"{name}.json").read_bytes())
    envelope["msgCreationTime"] = envelope["message"]["eventTime"]
    return envelope


def parts(name: str) -> tuple[str, str, dict[str, Any], int]:
    message = recorded(name)["message"]
    entity = message["entity"]
    return entity["typeName"], entity["guid"], entity["attributes"], message["eventTime"]


@pytest.mark.parametrize("name", ["001-create", "pyatlan-entity_create-1", "pyatlan-entity_create-2"])
def test_created(name: str) -> None:
    type_name, guid, attributes, at = parts(name)
    made = notifications.created(type_name, guid, {**attributes, "unset": None}, [], at)
    assert orjson.loads(made) == recorded(name)


@pytest.mark.parametrize(
    "name",
    [
        "002-partial-update-notified-attr",
        "003-partial-update-unnotified-attr",
        "pyatlan-entity_update-1",
        "pyatlan-entity_update-2",
    ],
)
def test_updated(name: str) -> None:
    made = notifications.updated(*parts(name))
    assert orjson.loads(made) == recorded(name)


@pytest.mark.parametrize("name", ["013-delete", "pyatlan-entity_delete-1", "pyatlan-entity_delete-2"])
def test_deleted(name: str) -> None:
    type_name, guid, attributes, at = parts(name)
    made = notifications.deleted(type_name, guid, {**attributes, "note": "not told"}, at)
    assert orjson.loads(made) == recorded(name)


def test_the_envelope_is_atlas_own_byte_by_byte() -> None:
    raw = (RECORDED / "003-partial-update-unnotified-attr.json").read_bytes()
    ours = notifications.updated(*parts("003-partial-update-unnotified-attr"))
    head = raw[: raw.index(b'"msgCreationTime"')]
    assert ours.startswith(head)
    assert ours[ours.index(b'"message"') :] == raw[raw.index(b'"message"') :]


def test_one_that_is_too_long_is_refused() -> None:
    assert notifications.updated("T", "g", {"note": "x" * 999_000}, 1)
    with pytest.raises(AtlasError, match="1000000 are possible") as refused:
        notifications.updated("T", "g", {"note": "x" * 1_000_000}, 1)
    assert refused.value.status == 400
