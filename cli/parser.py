"""What can be typed; handlers are named, not imported."""

import argparse
from typing import Any, Final

_ABSENT_OF: Final = {
    "run": ("retry-failed", "restart", "rerun"),
    "block": ("new", "test"),
}
_ABSENT: Final = ("replay", "what-if", "simulate")
RUN_STATUSES: Final = (
    "PENDING",
    "APPROVED",
    "REJECTED",
    "SUCCESS",
    "FAILURE",
    "WITHDRAWN",
    "EXPIRED",
    "TERMINATED",
)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="blockline",
        description="Workflows that people draw and people and systems carry out.",
        epilog="Client commands read BLOCKLINE_URL, BLOCKLINE_USER and BLOCKLINE_PASSWORD. "
        "Exit codes: 0 done, 1 failed run or refused request, 2 usage.",
    )
    commands = parser.add_subparsers(metavar="COMMAND")
    _up(commands)
    doctor = _client(commands, "doctor", "cli.doctor:doctor", "look whether all is well (administrators)")
    where = doctor.add_mutually_exclusive_group()
    where.add_argument("--data", metavar="DIR", help="look into a data folder instead, whether or not it runs")
    where.add_argument("--atlas", metavar="URL", help="look at an Apache Atlas alone, as `up --atlas` would")
    groups = {
        "workflow": _group(commands, "workflow", "write and publish workflows"),
        "run": _group(commands, "run", "start and follow runs"),
        "task": _group(commands, "task", "your inbox"),
        "user": _group(commands, "user", "who may do what (administrators)"),
        "block": _group(commands, "block", "what tasks can be"),
        "manifests": _group(commands, "manifests", "the pipeline for a cluster"),
        "dead-letter": _group(commands, "dead-letter", "what was refused for good (administrators)"),
        "retention": _group(commands, "retention", "ended runs leave the store for the archive"),
        "archive": _group(commands, "archive", "what was archived (on the machine with its files)"),
    }
    _workflow(groups["workflow"])
    _run(groups["run"])
    _task(groups["task"])
    _user(groups["user"])
    _others(groups)
    _archive(groups)
    for group, names in _ABSENT_OF.items():
        for name in names:
            _absent(groups[group], name, f"{group} {name}")
    for name in _ABSENT:
        _absent(commands, name, name)
    return parser


def _group(commands: Any, name: str, text: str) -> Any:
    group = commands.add_parser(name, help=text, description=text)
    group.set_defaults(group=group, json=False)
    return group.add_subparsers(metavar="COMMAND")


def _command(group: Any, name: str, handler: str, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = group.add_parser(name, help=text, description=text)
    command.set_defaults(handler=handler)
    command.add_argument("--json", action="store_true", help="answer as JSON")
    return command


def _client(group: Any, name: str, handler: str, text: str) -> argparse.ArgumentParser:
    command = _command(group, name, handler, text)
    command.add_argument("--url", help="address of the server (BLOCKLINE_URL)")
    return command


def _absent(group: Any, name: str, shown: str) -> None:
    command = group.add_parser(name, add_help=False)
    command.set_defaults(handler="cli.absent:refuse", shown=shown, json=False)


def _up(commands: Any) -> None:
    up = _command(commands, "up", "cli.up:up", "run the whole product on this machine")
    up.add_argument("--data", metavar="DIR", help="folder of everything that must survive a restart")
    up.add_argument("--host", help="address to listen on (127.0.0.1)")
    up.add_argument("--port", type=int, help="port of API and embedded Atlas (8080)")
    up.add_argument("--atlas", metavar="URL", help="an Apache Atlas instead of the embedded one")
    up.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka instead of the embedded broker")
    up.add_argument("--transport", choices=("direct", "sockets"), help="how messages get to the vertices")
    up.add_argument("--shards", type=int, metavar="N", help="number of sinks; may change between starts (1)")
    up.add_argument("--isolated", action="store_true", default=None, help="each vertex in a process of its own")


def _workflow(group: Any) -> None:
    validate = _client(group, "validate", "cli.workflow:validate", "check a spec")
    validate.add_argument("file", metavar="FILE")
    for name, text in (("push", "store a spec as a draft"), ("publish", "store a spec and publish it")):
        command = _client(group, name, f"cli.workflow:{name}", text)
        command.add_argument("file", metavar="FILE")
        command.add_argument("--name", help="name of the workflow (the file's without its ending)")
        command.add_argument("--description")
        command.add_argument("--label", action="append", metavar="KEY=VALUE", default=[])
    listed = _client(group, "list", "cli.workflow:show_all", "list workflows")
    listed.add_argument("--status", choices=("DRAFT", "PUBLISHED", "DISABLED"))
    listed.add_argument("--query", metavar="TEXT", help="part of the name")
    _limit(listed)


def _run(group: Any) -> None:
    start = _client(group, "start", "cli.run:start", "start a run")
    start.add_argument("workflow", metavar="WORKFLOW", nargs="?", help="name or guid of a published workflow")
    start.add_argument("--spec", metavar="FILE", help="a spec of your own instead of a workflow (authors)")
    start.add_argument("--version", type=int)
    start.add_argument("--asset", metavar="GUID", help="what it is about")
    start.add_argument("--input", metavar="JSON", help="an object, or @FILE")
    start.add_argument("--set", action="append", metavar="KEY=VALUE", default=[], help="one text of the input")
    start.add_argument("--comment")
    start.add_argument("--key", metavar="KEY", help="Idempotency-Key: the same key starts once")
    then = start.add_mutually_exclusive_group()
    then.add_argument("--watch", action="store_true", help="show each step as it happens")
    then.add_argument("--wait", action="store_true", help="wait until it has ended")
    listed = _client(group, "list", "cli.run:show_all", "list runs, newest first")
    listed.add_argument("--workflow", metavar="NAME")
    listed.add_argument("--status", choices=RUN_STATUSES)
    listed.add_argument("--asset", metavar="GUID")
    listed.add_argument("--requester", metavar="USER")
    listed.add_argument("--since", metavar="INSTANT")
    _limit(listed)
    for name, text in (
        ("show", "show a run and its tasks"),
        ("watch", "show each step as it happens"),
        ("wait", "wait until it has ended"),
    ):
        command = _client(group, name, f"cli.run:{name}", text)
        command.add_argument("run", metavar="RUN")
        if name == "wait":
            command.add_argument("--timeout", type=float, metavar="SECONDS", help="give up after this (never)")
    for name, text in (
        ("withdraw", "take your own run back"),
        ("cancel", "cancel a run of your workflow"),
        ("terminate", "end a run of your workflow at once"),
        ("pause", "send nothing new to runners"),
        ("resume", "go on with a paused run"),
        ("skip", "skip a task"),
        ("resolve", "go on with a task that is an incident"),
    ):
        command = _client(group, name, "cli.run:act", text)
        command.set_defaults(action=name)
        command.add_argument("run", metavar="RUN")
        if name in {"skip", "resolve"}:
            command.add_argument("task", metavar="TASK")
        if name == "resolve":
            command.add_argument("outcome", metavar="OUTCOME", choices=("RETRY", "FAIL"), help="RETRY or FAIL")
        command.add_argument("--comment")


def _task(group: Any) -> None:
    listed = _client(group, "list", "cli.task:show_all", "your inbox")
    listed.add_argument("--status", choices=("OPEN", "DECIDED", "EXPIRED", "CLOSED"), default="OPEN")
    listed.add_argument("--run", metavar="RUN")
    _limit(listed)
    decide = _client(group, "decide", "cli.task:decide", "answer a question")
    decide.add_argument("task", metavar="TASK")
    decide.add_argument("action", metavar="ACTION", help="APPROVED, REJECTED, or another of the question's answers")
    decide.add_argument("--comment", help="why; a rejection needs it")
    decide.add_argument("--form", metavar="JSON", help="what the question's form asks for: an object, or @FILE")
    delegate = _client(group, "delegate", "cli.task:delegate", "hand a question on to somebody else")
    delegate.add_argument("task", metavar="TASK")
    delegate.add_argument("to", metavar="USER")
    delegate.add_argument("--comment")


def _user(group: Any) -> None:
    _limit(_client(group, "list", "cli.user:show_all", "list users"))
    for name, text in (("add", "add a user"), ("set", "change what is given")):
        command = _client(group, name, f"cli.user:{name}", text)
        command.add_argument("name", metavar="NAME")
        command.add_argument("--password", help="asked for if it isn't given" if name == "add" else None)
        command.add_argument("--email")
        command.add_argument("--group", action="append", metavar="GROUP", help="may be given again")
        command.add_argument("--role", action="append", choices=("requester", "author", "admin"))
    _client(group, "remove", "cli.user:remove", "remove a user").add_argument("name", metavar="NAME")


def _others(groups: dict[str, Any]) -> None:
    _client(groups["block"], "list", "cli.block:show_all", "list the installed blocks")
    render = _command(groups["manifests"], "render", "cli.manifests:render", "print the manifests")
    render.add_argument("--values", metavar="FILE", help="what differs in your cluster (YAML)")
    listed = _client(groups["dead-letter"], "list", "cli.dead_letter:show_all", "list dead letters, newest first")
    listed.add_argument("--vertex")
    listed.add_argument("--run")
    _limit(listed)
    for name, text in (("show", "show one"), ("replay", "send one through the pipeline again")):
        _client(groups["dead-letter"], name, f"cli.dead_letter:{name}", text).add_argument("id", metavar="ID")


def _archive(groups: dict[str, Any]) -> None:
    run = _command(groups["retention"], "run", "cli.retention:run", "archive and purge what ended long ago, now")
    run.add_argument("--atlas", metavar="URL", help="an Apache Atlas instead of the embedded one")
    run.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    listed = _command(groups["archive"], "list", "cli.archive:show_all", "list archived runs, the latest first")
    _limit(listed)
    show = _command(groups["archive"], "show", "cli.archive:show", "show one with everything of it")
    show.add_argument("run", metavar="RUN")
    for command in (run, listed, show):
        command.add_argument("--data", metavar="DIR", help="folder of everything that must survive a restart")


def _limit(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", type=int, default=50, metavar="N", help="at most so many (50)")
