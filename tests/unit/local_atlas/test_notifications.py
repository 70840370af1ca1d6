"""The bytes a real Atlas 2.1 sent, made again from what they say."""

import base64
import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.local.atlas import notifications
from tests.texts import random_text

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
    (made,) = notifications.created(type_name, guid, {**attributes, "unset": None}, [], at)
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
    (made,) = notifications.updated(*parts(name))
    assert orjson.loads(made) == recorded(name)


@pytest.mark.parametrize("name", ["013-delete", "pyatlan-entity_delete-1", "pyatlan-entity_delete-2"])
def test_deleted(name: str) -> None:
    type_name, guid, attributes, at = parts(name)
    (made,) = notifications.deleted(type_name, guid, {**attributes, "note": "not told"}, at)
    assert orjson.loads(made) == recorded(name)


def test_the_envelope_is_atlas_own_byte_by_byte() -> None:
    raw = (RECORDED / "003-partial-update-unnotified-attr.json").read_bytes()
    (ours,) = notifications.updated(*parts("003-partial-update-unnotified-attr"))
    head = raw[: raw.index(b'"msgCreationTime"')]
    assert ours.startswith(head)
    assert ours[ours.index(b'"message"') :] == raw[raw.index(b'"message"') :]


def test_a_long_one_is_compressed_as_atlas_does() -> None:
    (made,) = notifications.updated("T", "g", {"note": "x" * 1_000_000}, 1)
    theirs = orjson.loads((RECORDED / "008-large-compressible-2MB.json").read_bytes())
    ours = orjson.loads(made)
    assert list(ours) == list(theirs)
    assert {**ours, "msgId": 0, "message": 0} == {**theirs, "msgId": 0, "message": 0}
    inside = orjson.loads(gzip.decompress(base64.b64decode(ours["message"])))
    assert inside["message"]["entity"]["attributes"] == {"note": "x" * 1_000_000}


def test_one_that_is_still_too_long_is_cut_as_atlas_does() -> None:
    note = random_text(2_000_000)
    made = [orjson.loads(part) for part in notifications.updated("T", "g", {"note": note}, 1)]
    theirs = orjson.loads((RECORDED / "011-large-random-2MB.json").read_bytes())
    assert [(part["msgSplitIdx"], part["msgSplitCount"]) for part in made] == [(0, 3), (1, 3), (2, 3)]
    assert len({part["msgId"] for part in made}) == 1
    assert list(made[2]) == list(theirs)
    assert [len(part["message"]) for part in made[:2]] == [999_488, 999_488]  # as in theirs, which are 2 MB in sum
    packed = "".join(part["message"] for part in made)
    inside = orjson.loads(gzip.decompress(base64.b64decode(packed)))
    assert inside["message"]["entity"]["attributes"] == {"note": note}
