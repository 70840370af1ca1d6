"""Who may write what: rule 11."""

import pytest

from pipeline.directory.port import Person
from pipeline.local.atlas.errors import AtlasError
from pipeline.local.atlas.rights import Caller
from pipeline.store import types

ENGINE = Caller("blockline", is_author=True, is_admin=True)
ADMIN = Caller.of(Person("ada", roles=("admin",)))
AUTHOR = Caller.of(Person("bo", roles=("author",)))
REQUESTER = Caller.of(Person("cy", roles=("requester",)))
NAMES = {"name": "n", "qualifiedName": "q"}
ITEM = {types.ITEM_RECIPIENT: "cy", types.ITEM_STATUS: "OPEN"}
DECISION = {types.ITEM_ACTION, types.ITEM_COMMENT}


def allows(call: object, *arguments: object) -> bool:
    refusal = None
    try:
        call(*arguments)  # type: ignore[operator]
    except AtlasError as error:
        refusal = error
    assert refusal is None or (refusal.status == 403 and str(refusal).endswith("."))
    return refusal is None


@pytest.mark.parametrize("caller", [ENGINE, ADMIN])
def test_the_engine_and_administrators_write_everything(caller: Caller) -> None:
    for type_name in (types.RUN, types.COMMAND, types.ITEM, types.WORKFLOW, types.DEAD_LETTER, "Table"):
        assert allows(caller.may_create, type_name, {"anything": 1})
        assert allows(caller.may_update, type_name, {}, {"anything"})
        assert allows(caller.may_delete, type_name)
    assert allows(caller.must_administer, "create typedefs")


@pytest.mark.parametrize("caller", [AUTHOR, REQUESTER])
@pytest.mark.parametrize(
    ("given", "may"),
    [
        ({}, True),
        ({types.RUN_WORKFLOW_GUID: "w", types.RUN_ON_ASSET_GUID: "a"}, True),
        ({types.RUN_WORKFLOW_GUID: "w" * 200, types.RUN_ON_ASSET_GUID: None}, True),
        ({types.RUN_WORKFLOW_GUID: "w" * 201}, False),
        ({types.RUN_ON_ASSET_GUID: "a" * 70_000}, False),
        ({types.RUN_ON_ASSET_GUID: ["a"]}, False),
        ({types.RUN_REQUEST: '{"input": {"why": "because"}}'}, True),
        ({types.RUN_REQUEST: "{}"}, True),
        ({types.RUN_REQUEST: '{"input": {}, "requester": {"name": "ada"}}'}, False),
        ({types.RUN_REQUEST: '{"input": {}, "signature": "v1:00"}'}, False),
        ({types.RUN_REQUEST: '{"input": []}'}, False),
        ({types.RUN_REQUEST: "not JSON"}, False),
        ({types.RUN_REQUEST: '{"input": {"x": "' + "y" * 80_000 + '"}}'}, False),
        ({types.RUN_CONFIG: "{}"}, False),
        ({types.RUN_STATUS: "APPROVED"}, False),
        ({types.RUN_WAKE_AT: 1}, False),
        ({types.RUN_CREATED_BY: "ada"}, False),
        ({"description": "x"}, False),
        ({"nobodyKnowsThis": "x"}, False),
    ],
)
def test_people_may_ask_for_a_run_and_no_more(caller: Caller, given: dict[str, object], *, may: bool) -> None:
    assert allows(caller.may_create, types.RUN, {**NAMES, **given}) is may


@pytest.mark.parametrize("caller", [AUTHOR, REQUESTER])
@pytest.mark.parametrize("type_name", [types.COMMAND, types.ITEM, types.WORKFLOW, types.OUTPUT, types.DEAD_LETTER])
def test_nobody_else_creates_what_is_the_engines(caller: Caller, type_name: str) -> None:
    assert not allows(caller.may_create, type_name, NAMES)


@pytest.mark.parametrize("type_name", [types.RUN, types.COMMAND, types.WORKFLOW, types.OUTPUT, types.DEAD_LETTER])
def test_nobody_else_changes_what_is_the_engines(type_name: str) -> None:
    assert not allows(AUTHOR.may_update, type_name, {}, {"description"})
    assert not allows(AUTHOR.may_delete, type_name)
    assert allows(AUTHOR.may_update, type_name, {}, set()), "an update that changes nothing is no change"


@pytest.mark.parametrize(
    ("caller", "item", "changed", "may"),
    [
        (REQUESTER, ITEM, DECISION, True),
        (REQUESTER, ITEM, {types.ITEM_COMMENT}, True),
        (REQUESTER, ITEM, DECISION | {types.ITEM_STATUS}, False),
        (REQUESTER, ITEM, {types.ITEM_RECIPIENT}, False),
        (AUTHOR, ITEM, DECISION, False),
        (REQUESTER, {**ITEM, types.ITEM_STATUS: "DECIDED"}, DECISION, False),
        (REQUESTER, {}, DECISION, False),
    ],
)
def test_a_recipient_decides_on_their_own_open_item(
    caller: Caller, item: dict[str, object], changed: set[str], *, may: bool
) -> None:
    assert allows(caller.may_update, types.ITEM, item, changed) is may


def test_the_catalog_is_the_authors() -> None:
    assert allows(AUTHOR.may_create, "Table", NAMES)
    assert allows(AUTHOR.may_update, "Table", {}, {"description"})
    assert allows(AUTHOR.may_delete, "Table")
    assert not allows(REQUESTER.may_create, "Table", NAMES)
    assert not allows(REQUESTER.may_update, "Table", {}, {"description"})
    assert not allows(REQUESTER.may_delete, "Table")
    assert not allows(AUTHOR.must_administer, "create typedefs")
