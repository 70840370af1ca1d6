"""An Atlas with the types of an older version: it gets what they lack, or we get a sentence and it no change."""

import copy
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pipeline.store.typedefs import TypesDifferError, engine_typedefs, ensure

Tell = Callable[[Callable[[Any], Awaitable[None]]], None]
TYPES = ("WorkflowRun", "WorkflowRunCommand")
LATER = ("workflowRunWakeAt", "workflowRunCommandAt")
"""Attributes that the older version didn't have yet."""
UNTOLD = "workflowRunConfig"
"""One whose changes it didn't tell of."""


def of_today() -> tuple[str, dict[str, Any]]:
    """Two of the engine's types under names that no other test uses, and what their names end in: an Atlas forgets no
    type that was ever used.
    """
    token = secrets.token_hex(4)
    bodies = [body for body in copy.deepcopy(engine_typedefs()["entityDefs"]) if body["name"] in TYPES]
    return token, {"entityDefs": [{**body, "name": body["name"] + token} for body in bodies]}


def of_yesterday(today: dict[str, Any]) -> dict[str, Any]:
    older = copy.deepcopy(today)
    for body in older["entityDefs"]:
        body["attributeDefs"] = [each for each in body["attributeDefs"] if each["name"] not in LATER]
        for each in body["attributeDefs"]:
            each["includeInNotification"] = each["includeInNotification"] and each["name"] != UNTOLD
    return older


async def attributes_there(rest: Any, token: str) -> dict[tuple[str, str], dict[str, Any]]:
    """By type and name, of these types."""
    bodies = [await rest.call("GET", f"types/entitydef/name/{name}{token}") for name in TYPES]
    return {(body["name"], each["name"]): each for body in bodies for each in body["attributeDefs"]}


def test_an_older_version_is_extended_once_and_what_is_there_stays(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        token, today = of_today()
        run, command = (name + token for name in TYPES)
        assert sorted(await ensure(rest.client, of_yesterday(today))) == sorted([run, command])
        name = {"qualifiedName": f"{rest.prefix}old", "name": "old"}
        old = {"typeName": run, "attributes": {**name, "workflowRunStatus": "PENDING"}}
        guid = await rest.saved(old)

        assert sorted(await ensure(rest.client, today)) == sorted([run, command])
        assert await ensure(rest.client, today) == []
        there = await attributes_there(rest, token)
        for body in today["entityDefs"]:
            for each in body["attributeDefs"]:
                has = there[body["name"], each["name"]]
                assert (has["typeName"], has["includeInNotification"] or not each["includeInNotification"]) == (
                    each["typeName"],
                    True,
                )
        assert (await rest.attributes(guid))["workflowRunStatus"] == "PENDING"
        await rest.save({"typeName": run, "attributes": {**name, "workflowRunWakeAt": 7}})
        found = await rest.attributes(guid)
        assert (found["workflowRunStatus"], found["workflowRunWakeAt"]) == ("PENDING", 7)
        due = {"attributeName": "workflowRunWakeAt", "operator": ">", "attributeValue": "0"}
        assert await rest.find(due, typeName=run) == ["old"]

    tell(story)


def test_a_newer_version_is_left_as_it_is(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        token, today = of_today()
        await ensure(rest.client, today)
        before = await attributes_there(rest, token)
        assert await ensure(rest.client, of_yesterday(today)) == []
        assert await attributes_there(rest, token) == before

    tell(story)


def test_an_attribute_of_another_type_is_refused_and_nothing_is_changed(tell: Tell) -> None:
    async def story(rest: Any) -> None:
        token, today = of_today()
        older = of_yesterday(today)
        [status] = [
            each
            for body in older["entityDefs"]
            for each in body["attributeDefs"]
            if each["name"] == "workflowRunCommandStatus"
        ]
        status["typeName"] = "int"
        await ensure(rest.client, older)
        before = await attributes_there(rest, token)
        with pytest.raises(TypesDifferError) as told:
            await ensure(rest.client, today)
        assert str(told.value) == (
            f"Atlas has WorkflowRunCommand{token}.workflowRunCommandStatus as int, the engine needs string."
        )
        assert await attributes_there(rest, token) == before

    tell(story)
