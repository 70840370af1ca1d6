"""The client commands against the API itself, over a real socket."""

import asyncio
import json  # noqa: TID251  (reads what a program reads)
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from cli.__main__ import main
from tests.unit.api.test_runs import item, write_end
from tests.unit.api.world import PASSWORD, World, spec


class Served:
    """A world on a port of its own, in a thread of its own."""

    def __init__(self) -> None:
        self.world = World()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        config = uvicorn.Config(self.world.app, host="127.0.0.1", port=self.port, log_level="error", lifespan="off")
        self.server = uvicorn.Server(config)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            await self.server.serve()

        asyncio.run(serve())

    def do(self, work: Any) -> Any:
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    served.thread.start()
    deadline = threading.Event()
    for _ in range(500):
        if served.server.started:
            break
        deadline.wait(0.01)
    yield served
    served.server.should_exit = True
    served.thread.join(10)
    assert not served.thread.is_alive()


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("BLOCKLINE_URL", f"http://127.0.0.1:{served.port}")
    monkeypatch.setenv("BLOCKLINE_PASSWORD", PASSWORD)

    def command(*arguments: str, user: str = "otto") -> tuple[int, str, str]:
        monkeypatch.setenv("BLOCKLINE_USER", user)
        try:
            code = main(list(arguments))
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "five.json"
    path.write_text(json.dumps(spec("a", "b")))
    return str(path)


def test_a_workflow_is_validated_pushed_published_and_listed(run: Run, file: str) -> None:
    assert run("workflow", "validate", file) == (0, "warning: /dag: Something to think about.\nvalid\n", "")
    code, out, _ = run("workflow", "push", file, "--label", "team=x")
    assert (code, out.startswith("five is stored as a draft")) == (0, True)
    assert run("workflow", "publish", file)[:2] == (0, "five is published as version 1\n")
    assert "nothing to publish" in run("workflow", "publish", file)[1]
    code, out, _ = run("workflow", "list")
    assert out.splitlines()[0].split()[:3] == ["NAME", "STATUS", "VERSION"]
    assert out.splitlines()[1].split()[:4] == ["five", "PUBLISHED", "1", "otto"]
    listed = json.loads(run("workflow", "list", "--json")[1])
    assert listed["items"][0]["labels"] == {"team": "x"}


def test_every_finding_is_a_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    body = {"dag": {"entrypoint": "a", "tasks": [{"name": "a", "type": "X"}, {"name": "b", "type": "Y"}]}}
    path.write_text(json.dumps(body))
    wanted = "/dag/tasks/0/type: There is no block X.\n/dag/tasks/1/type: There is no block Y.\n"
    assert run("workflow", "validate", str(path)) == (1, "invalid: 2 to correct\n", wanted)
    assert run("workflow", "push", str(path)) == (1, "", wanted)
    code, _, err = run("workflow", "push", str(path), "--json")
    assert (code, len(json.loads(err)["errors"])) == (1, 2)


def test_a_file_that_isnt_there_or_isnt_json_is_a_matter_of_usage(run: Run, tmp_path: Path) -> None:
    code, _, err = run("workflow", "validate", str(tmp_path / "none.json"))
    assert (code, "can't be read" in err) == (2, True)
    (tmp_path / "text.json").write_text("{")
    code, _, err = run("workflow", "validate", str(tmp_path / "text.json"))
    assert (code, "isn't JSON" in err) == (2, True)


def test_a_run_is_started_shown_listed_and_waited_for(run: Run, file: str, served: Served) -> None:
    run("workflow", "publish", file)
    code, out, _ = run("run", "start", "five", "--set", "owner=rosa", "--input", '{"n": 1}', "--key", "k", user="rosa")
    guid = out.strip()
    assert code == 0
    again = run("run", "start", "five", "--set", "owner=rosa", "--input", '{"n": 1}', "--key", "k", user="rosa")
    assert again[1].strip() == guid
    assert json.loads(run("run", "show", guid, "--json", user="rosa")[1])["input"] == {"n": 1, "owner": "rosa"}
    shown = run("run", "show", guid, user="rosa")[1]
    assert "status:    PENDING (running)" in shown
    assert "you may:   withdraw" in shown
    assert "a     PASS  RUNNING" in shown
    assert run("run", "wait", guid, "--timeout", "0", user="rosa")[:2] == (1, "still running\n")
    served.do(write_end(served.world, guid))
    assert run("run", "wait", guid, user="rosa")[:2] == (0, "SUCCESS\n")
    assert guid in run("run", "list", "--status", "SUCCESS", user="rosa")[1]
    assert run("run", "list", "--status", "FAILURE")[1] == "There are no such runs.\n"


def test_watch_shows_each_step_and_ends_with_the_run(run: Run, file: str, served: Served) -> None:
    run("workflow", "publish", file)
    guid = run("run", "start", "five", user="rosa")[1].strip()
    served.do(write_end(served.world, guid, "FAILURE"))
    code, out, _ = run("run", "watch", guid, user="rosa")
    lines = out.splitlines()
    assert code == 1
    assert [line.split()[1:] for line in lines] == [["a", "SUCCESS"], ["b", "SUCCESS"], ["run", guid, "FAILURE"]]
    code, out, _ = run("run", "watch", guid, "--json", user="rosa")
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["FAILURE"]


def test_what_is_asked_of_a_run(run: Run, file: str) -> None:
    run("workflow", "publish", file)
    guid = run("run", "start", "five", user="rosa")[1].strip()
    assert run("run", "cancel", guid, user="rosa")[0] == 1
    assert run("run", "withdraw", guid, "--comment", "no", user="rosa") == (0, "done\n", "")
    assert "such run" in run("run", "show", guid, user="sam")[2]


def test_the_inbox(run: Run, file: str, served: Served) -> None:
    run("workflow", "publish", file)
    guid = run("run", "start", "five", user="rosa")[1].strip()
    assert run("task", "list", user="sam")[1] == "Your inbox is empty.\n"
    task = served.do(item(served.world, guid, "sam"))
    assert "May it?" in run("task", "list", user="sam")[1]
    code, _, err = run("task", "decide", task, "rejected", user="sam")
    assert (code, err) == (1, "/comment: Say why: a rejection needs a comment.\n")
    assert run("task", "decide", task, "approved", user="sam")[:2] == (0, "decided: APPROVED\n")


def test_users(run: Run) -> None:
    add = ("user", "add", "new", "--password", "long-enough", "--email", "n@example.org", "--role", "author")
    assert run(*add, user="ada")[:2] == (0, "new is added\n")
    assert run("user", "set", "new", "--group", "a", "--group", "b", user="ada")[0] == 0
    assert "author     a, b" in run("user", "list", user="ada")[1]
    assert run("user", "remove", "new", user="ada")[:2] == (0, "new is removed\n")
    assert run("user", "set", "new", user="ada")[0] == 2
    assert run(*add)[0] == 1


def test_blocks_and_dead_letters(run: Run) -> None:
    assert "PASS" in run("block", "list")[1]
    assert run("dead-letter", "list", user="ada")[1] == "There are no dead letters.\n"
    assert run("dead-letter", "show", "none", user="ada")[0] == 1


@pytest.mark.parametrize(
    "arguments",
    [["replay", "x"], ["what-if", "--now"], ["simulate", "f"], ["run", "restart", "x"], ["block", "new"]],
)
def test_what_isnt_there_yet_says_so(run: Run, arguments: list[str]) -> None:
    code, _, err = run(*arguments)
    assert (code, "isn't available in this version" in err) == (1, True)


@pytest.mark.parametrize("arguments", [[], ["run"], ["nonsense"], ["run", "list", "--nonsense"], ["run", "start"]])
def test_usage_is_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


def test_nobody_there_and_nobody_signed_in(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run("run", "list", "--url", "http://127.0.0.1:9")
    assert (code, "is `blockline up` running" in err) == (1, True)
    assert run("run", "list", "--url", "ftp://x")[0] == 2
    assert "wrong" in run("run", "list", user="stranger")[2]
    monkeypatch.delenv("BLOCKLINE_PASSWORD")
    assert run("run", "list")[0] == 2


def test_manifests_are_rendered(run: Run) -> None:
    code, out, _ = run("manifests", "render")
    assert code == 0
    assert "kind: Pipeline" in out
    assert run("manifests", "render", "--values", "none.yaml")[0] == 2


def test_a_file_with_a_key_given_twice_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "twice.json"
    path.write_text('{"arguments": {"recipient": "sam", "recipient": "rosa"}}')
    for command in ("push", "validate"):
        code, _, said = run("workflow", command, str(path))
        assert code == 2
        assert "/arguments/recipient: The key `recipient` is given twice." in said


@pytest.mark.parametrize(
    ("typed", "action", "task", "arguments"),
    [
        (["pause"], "pause", None, {}),
        (["resume"], "resume", None, {}),
        (["skip", "a/b"], "skip", "a/b", {}),
        (["resolve", "a/b", "RETRY"], "resolve", "a/b", {"outcome": "RETRY"}),
    ],
)
def test_actions_on_a_run_that_goes_on(
    run: Run, tmp_path: Path, typed: list[str], action: str, task: str | None, arguments: dict[str, str]
) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec("a/b")))
    guid = run("run", "start", "--spec", str(path), user="otto")[1].strip()
    code, out, err = run("run", typed[0], guid, *typed[1:], "--comment", "why", "--json", user="otto")
    assert code == 0, err
    answer = json.loads(out)
    assert (answer["action"], answer["task"], answer["status"], answer["comment"]) == (action, task, "APPLIED", "why")
    assert run("run", "resolve", guid, "a/b", "SHRUG", user="otto")[0] == 2
