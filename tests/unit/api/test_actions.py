"""Pausing, resuming, skipping and resolving: who may, what is asked of the shard, what comes back."""

from typing import Any

import pytest

from api.commands import opened
from pipeline.core.statuses import CommandStatus
from pipeline.machine.apply import apply
from pipeline.machine.inputs import Command
from pipeline.machine.run import parse_request
from pipeline.machine.start import start
from pipeline.messages.envelopes import ErrorInfo, Outcome, Result
from pipeline.messages.seal import Sealed
from pipeline.store import types
from pipeline.store.mapping import run_write
from tests.unit.api.world import T0, World, each, play, published, spec


async def _moved(world: World, guid: str, *given: Any) -> None:
    """What the shard writes when these inputs have come."""
    entity = (await world.store.get([guid]))[guid]
    request = world.seal.open(Sealed.REQUEST, entity.qualified_name, entity.attributes[types.RUN_REQUEST])
    run = start(parse_request(request, entity.qualified_name), guid, world.services.evaluator).run
    run = apply(run, given, now_ms=T0 + 1, evaluator=world.services.evaluator).run
    await world.store.upsert([run_write(run, "r", world.seal)])


def _asked(guid: str, action: str, **members: Any) -> Command:
    body = {"v": 1, "action": action, "by": "otto", "as": "owner", "at": T0, "comment": "why", **members}
    return Command("c", f"{guid}/c", body)


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("pause", {"comment": "why"}, {"action": "pause", "task": None, "arguments": {}, "comment": "why"}),
        ("resume", {}, {"action": "resume", "task": None, "arguments": {}, "comment": None}),
        ("tasks/only/skip", {}, {"action": "skip", "task": "only", "arguments": {}, "comment": None}),
        (
            "tasks/only/resolve",
            {"outcome": "RETRY"},
            {"action": "resolve", "task": "only", "arguments": {"outcome": "RETRY"}, "comment": None},
        ),
    ],
)
def test_the_author_asks_and_the_engine_answers(path: str, body: dict[str, Any], asked: dict[str, Any]) -> None:
    async def story(world: World) -> None:
        async with each(world, "otto", "rosa", "olga", "ada") as [otto, rosa, olga, ada]:
            await published(otto)
            guid = (await rosa.post("/runs", json={"workflow": "five"})).json()["guid"]
            assert (await rosa.post(f"/runs/{guid}/{path}", json=body)).status_code == 403
            assert (await olga.post(f"/runs/{guid}/{path}", json=body)).status_code == 404
            done = await otto.post(f"/runs/{guid}/{path}", json=body)
            assert (done.status_code, done.json()["status"], done.json()["as"]) == (200, "APPLIED", "owner")
            command = await world.store.get_by_name(types.COMMAND, f"{guid}/{done.json()['id']}")
            assert command is not None
            written = opened(world.services, command)
            assert {name: written[name] for name in asked} == asked
            assert (written["by"], written["as"]) == ("otto", "owner")
            assert (await ada.post(f"/runs/{guid}/{path}", json=body)).json()["as"] == "admin"

    play(story)


def test_what_the_engine_refuses_is_409_with_its_sentence() -> None:
    async def story(world: World) -> None:
        world.verdict = (CommandStatus.REFUSED, "This run isn't paused.")
        async with each(world, "otto") as [otto]:
            guid = (await otto.post("/runs", json={"spec": spec()})).json()["guid"]
            answer = await otto.post(f"/runs/{guid}/resume")
            assert (answer.status_code, answer.json()["detail"]) == (409, "This run isn't paused.")

    play(story)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("tasks/nobody/skip", {}, 404),
        ("tasks/only/resolve", {}, 400),
        ("tasks/only/resolve", {"outcome": "SHRUG"}, 400),
        ("pause", {"why": "x"}, 400),
        ("pause", {"comment": "x" * 4001}, 400),
        ("tasks/only/explode", {}, 404),
    ],
)
def test_bad_input(path: str, body: dict[str, Any], status: int) -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            guid = (await otto.post("/runs", json={"spec": spec()})).json()["guid"]
            answer = await otto.post(f"/runs/{guid}/{path}", json=body)
            assert answer.status_code == status, answer.text
            assert "pydantic" not in answer.text

    play(story)


def test_a_task_whose_name_has_a_slash_is_found() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            guid = (await otto.post("/runs", json={"spec": spec("a/b c")})).json()["guid"]
            done = await otto.post(f"/runs/{guid}/tasks/a%2Fb%20c/skip")
            assert (done.status_code, done.json()["task"]) == (200, "a/b c")

    play(story)


def test_actions_say_what_the_state_allows() -> None:
    async def story(world: World) -> None:
        async with each(world, "otto") as [otto]:
            body = spec()
            body["dag"]["tasks"][0] |= {"onExhausted": "INCIDENT", "retry": []}
            guid = (await otto.post("/runs", json={"spec": body})).json()["guid"]
            failed = Result(
                run_guid=guid,
                task="only",
                outcome=Outcome.FAILED,
                error=ErrorInfo(name="Http.5xx", message="503"),
                started_at=T0,
                ended_at=T0,
            )
            await _moved(world, guid, failed, _asked(guid, "pause"))
            run = (await otto.get(f"/runs/{guid}")).json()
            assert run["actions"] == ["withdraw", "cancel", "terminate", "resume", "skip", "resolve"]
            assert run["phase"] == "PAUSED"
            assert run["paused"] == {
                "action": "pause",
                "by": "otto",
                "as": "owner",
                "comment": "why",
                "at": "2026-11-23T13:12:35.000Z",
            }
            assert run["dag"]["tasks"][0]["status"] == "INCIDENT"
            assert run["dag"]["tasks"][0]["error"] == {"name": "Http.5xx", "message": "503"}
            (listed,) = (await otto.get("/runs")).json()["items"]
            assert listed["paused"] == run["paused"]

    play(story)
