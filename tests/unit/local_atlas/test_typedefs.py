"""What is registered in an Atlas, and what is refused."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest

from pipeline.store import types
from pipeline.store.memory import NOTIFIED
from pipeline.store.typedefs import (
    TypesDifferError,
    TypesUnavailableError,
    catalog_typedefs,
    engine_typedefs,
    missing_from,
    register,
)

ENGINE = {body["name"]: body for body in engine_typedefs()["entityDefs"]}
ATLAS_OWN = {types.TERM, types.MEANINGS, types.ASSIGNMENT}
NAMES = {value for name, value in vars(types).items() if name.isupper() and isinstance(value, str)} - ATLAS_OWN


def without(name: str, *dropped: str, **changed: Any) -> dict[str, Any]:
    """The engine's types as an older version would have left them."""
    body = dict(ENGINE[name])
    kept = [each for each in body["attributeDefs"] if each["name"] not in dropped]
    body["attributeDefs"] = [{**each, **changed.get(each["name"], {})} for each in kept]
    return {**ENGINE, name: body}


def test_all_names_of_the_engine_have_a_typedef() -> None:
    attributes = {each["name"] for body in ENGINE.values() for each in body["attributeDefs"]}
    assert {*attributes, *ENGINE} >= NAMES
    told = {each["name"] for body in ENGINE.values() for each in body["attributeDefs"] if each["includeInNotification"]}
    assert told == NOTIFIED, "the store in memory tells of the same attributes"


def test_an_empty_atlas_gets_all() -> None:
    change = missing_from({}, engine_typedefs())
    assert [body["name"] for body in change.new["entityDefs"]] == list(ENGINE)
    assert not change.changed


def test_one_that_has_all_gets_nothing() -> None:
    change = missing_from(ENGINE, engine_typedefs())
    assert not change.new
    assert not change.changed


def test_a_missing_attribute_is_added_beside_those_of_others() -> None:
    there = without(types.RUN, types.RUN_WAKE_AT)
    there[types.RUN]["attributeDefs"].append({"name": "theirs", "typeName": "string"})
    (changed,) = missing_from(there, engine_typedefs()).changed["entityDefs"]
    names = [each["name"] for each in changed["attributeDefs"]]
    assert "theirs" in names
    assert names[-1] == types.RUN_WAKE_AT


def test_a_missing_flag_is_set() -> None:
    there = without(types.RUN, **{types.RUN_CONFIG: {"includeInNotification": False}})
    (changed,) = missing_from(there, engine_typedefs()).changed["entityDefs"]
    (config,) = [each for each in changed["attributeDefs"] if each["name"] == types.RUN_CONFIG]
    assert config["includeInNotification"]


@pytest.mark.parametrize(
    "there",
    [
        without(types.RUN, **{types.RUN_WAKE_AT: {"typeName": "string"}}),
        without("Asset", "name"),
        without("Referenceable", qualifiedName={"typeName": "long"}),
    ],
)
def test_what_cannot_be_made_to_fit_is_refused(there: dict[str, Any]) -> None:
    with pytest.raises(TypesDifferError, match=r"Atlas"):
        missing_from(there, engine_typedefs())


def test_the_catalog_of_others_is_left_alone() -> None:
    table = {"name": "Table", "category": "ENTITY", "attributeDefs": []}
    change = missing_from({"Table": table}, catalog_typedefs(), is_ours=False)
    assert "Table" not in {body["name"] for body in change.new["entityDefs"]}
    assert not change.changed


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> list[str]:
    async def run() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://atlas") as client:
            return await register(client, with_catalog=True)

    return asyncio.run(run())


def test_registering_posts_what_is_new_and_puts_what_changed() -> None:
    there = without(types.RUN, types.RUN_WAKE_AT)
    del there[types.ITEM]
    asked: list[tuple[str, list[str]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"entityDefs": list(there.values())})
        asked.append((request.method, [each["name"] for each in orjson.loads(request.content)["entityDefs"]]))
        return httpx.Response(200, json={})

    done = answering(answer)
    assert asked[:2] == [("POST", [types.ITEM]), ("PUT", [types.RUN])]
    assert {types.ITEM, types.RUN, "Table", "PII"} <= set(done)


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (httpx.Response(403, json={"errorMessage": "you may not"}), "an administrator's. It says: you may not$"),
        (httpx.Response(200, text="<html>a login page</html>"), "answers 200, but not as Atlas does"),
        (httpx.Response(200, html="<html>a login page</html>"), "with a web page"),
        (httpx.Response(200, json=[]), "answers 200, but not as Atlas does"),
    ],
)
def test_an_atlas_that_does_not_answer_as_one(response: httpx.Response, sentence: str) -> None:
    with pytest.raises(TypesUnavailableError, match=sentence):
        answering(lambda _: response)


def test_an_atlas_that_is_not_there() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(TypesUnavailableError, match="Nobody listens"):
        answering(answer)
