"""What must not get in, at every door; and nothing of it is kept."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.journey.actors import Stage
from tests.mail_server import MailServer
from tests.product import Product

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    product = Product(tmp_path_factory.mktemp("bad"))
    with product:
        stage = Stage(product, MailServer())
        stage.people()
        yield stage


def spec(*tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"dag": {"entrypoint": tasks[0]["name"], "tasks": list(tasks)}, **more}


def task(name: str, depends: str = "", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "PASS", "arguments": [], **({"depends": depends} if depends else {}), **more}


BAD: dict[str, tuple[Any, str]] = {
    "not an object": ([], ""),
    "no dag": ({}, ""),
    "unknown key": (spec(task("a"), colour="red"), "/colour"),
    "unknown key of a task": (spec(task("a", dependss="b")), "/dag/tasks/0/dependss"),
    "cycle": (spec(task("a"), task("b", "a && c"), task("c", "b")), "/dag/tasks"),
    "dangling depends": (spec(task("a"), task("b", "nobody")), "/dag/tasks/1/depends"),
    "broken depends": (spec(task("a"), task("b", "a &&")), "/dag/tasks/1/depends"),
    "two of one name": (spec(task("a"), task("a")), "/dag/tasks/1/name"),
    "unknown type": (spec(task("a", type="MAGIC")), "/dag/tasks/0/type"),
    "template of nothing": (spec(task("a", arguments=[{"output": "{{ nothing.there }}"}])), "/dag/tasks/0/arguments/0"),
    "template that doesn't end": (spec(task("a", arguments=[{"output": "{{ 1"}])), "/dag/tasks/0/arguments/0"),
    "expression without a type": (spec(task("a"), task("b", "a", when="1 + 'x' == 2")), "/dag/tasks/1/when"),
    "condition that isn't one": (spec(task("a"), task("b", "a", when="1")), "/dag/tasks/1/when"),
    "argument of the wrong type": (
        spec(task("a", type="APPROVAL", arguments=[{"title": 5}, {"approvers": {}}, {"dueIn": "soon"}])),
        "/dag/tasks/0/arguments",
    ),
    "300 KiB": (spec(task("a", arguments=[{"output": "x" * 300 * 1024}])), ""),
    "501 tasks": (spec(*(task(f"t{number}") for number in range(501))), "/dag/tasks"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_spec_is_refused_at_every_door_with_the_same_findings(stage: Stage, name: str) -> None:
    bad, pointer = BAD[name]
    with stage.api("otto") as otto:
        before = otto.get("/workflows").json()
        said = otto.post("/workflows/validate", json={"spec": bad})
        assert said.status_code == 200
        found = said.json()["errors"]
        assert not said.json()["valid"]
        assert any(error["pointer"].startswith(pointer) for error in found), found
        assert all(error["code"] and error["detail"] for error in found), found
        made = otto.post("/workflows", json={"name": "bad", "spec": bad})
        assert (made.status_code, made.json()["errors"]) == (400, found)
        started = otto.post("/runs", json={"spec": bad})
        assert (started.status_code, started.json()["errors"]) == (400, found)
        assert otto.get("/workflows").json() == before
        assert otto.get("/runs").json()["items"] == []
        good = otto.post("/workflows", json={"name": "good", "spec": spec(task("a"))})
        path = f"/workflows/{good.json()['guid']}"
        put = otto.put(path, json={"spec": bad}, headers={"If-Match": good.headers["etag"]})
        assert (put.status_code, put.json()["errors"]) == (400, found)
        assert otto.get(path).headers["etag"] == good.headers["etag"]
        kept = otto.put(path, json={"spec": bad, "incomplete": True}, headers={"If-Match": good.headers["etag"]})
        if kept.status_code == 200:
            published = otto.post(f"{path}/publish")
            assert (published.status_code, published.json()["errors"]) == (400, found)
            assert otto.get(f"{path}/versions").json()["items"] == []
        assert otto.delete(path).status_code == 204


def test_a_text_that_isnt_json_is_refused_at_every_door(stage: Stage) -> None:
    with stage.api("otto") as otto:
        for path in ("/workflows", "/runs", "/workflows/validate"):
            answer = otto.post(path, content=b'{"spec": {"dag": ')
            assert answer.status_code == (200 if path.endswith("validate") else 400)
            assert [error["code"] for error in answer.json()["errors"]] == ["Json.Malformed"]


def test_everything_is_reported_at_once(stage: Stage) -> None:
    bad = spec(task("a", type="MAGIC"), task("a", "nobody"), task("b", "a &&"), colour="red")
    with stage.api("otto") as otto:
        found = otto.post("/workflows/validate", json={"spec": bad}).json()["errors"]
    assert len({error["pointer"] for error in found}) >= 4


@pytest.mark.parametrize(
    ("given", "pointer"),
    [({}, "/input"), ({"owner": 5}, "/input/owner"), ({"owner": "x", "more": 1}, "/input")],
)
def test_an_input_is_held_against_its_schema(stage: Stage, given: dict[str, Any], pointer: str) -> None:
    schema = {
        "type": "object",
        "required": ["owner"],
        "properties": {"owner": {"type": "string"}},
        "additionalProperties": False,
    }
    with stage.api("otto") as otto:
        answer = otto.post("/runs", json={"spec": spec(task("a"), input=schema), "input": given})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["pointer"].startswith(pointer)
        assert otto.get("/runs").json()["items"] == []
