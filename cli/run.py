"""``blockline run …``."""

from typing import Any, Final

from cli.client import Client, segment
from cli.context import Context, UsageError
from cli.files import json_object, pairs, read_json
from cli.tables import instant, plain, table
from cli.watching import clock_of, follow
from pipeline.process.clock import SystemClock

FAILED: Final = frozenset({"FAILURE", "EXPIRED", "TERMINATED"})
WAIT_S: Final = 60
_ACCEPTED: Final = 202


def start(context: Context) -> int:
    """Start a run; with ``--watch`` or ``--wait`` follow it to its end."""
    workflow, spec = context.argument("workflow"), context.argument("spec")
    if (workflow is None) == (spec is None):
        raise UsageError("Name a workflow, or give a spec of your own with --spec FILE.")
    body = {
        "workflow": workflow,
        "spec": None if spec is None else read_json(spec),
        "version": context.argument("version"),
        "input": _input(context),
        "asset_guid": context.argument("asset"),
        "comment": context.argument("comment"),
    }
    key = context.argument("key")
    client = Client(context)
    given = {name: value for name, value in body.items() if value is not None}
    started = client.ask("POST", "/runs", given, headers={"Idempotency-Key": key} if key else None).body
    if context.argument("watch"):
        return _end(follow(context, client, started["guid"]))
    if context.argument("wait"):
        started = _until_over(client, started["guid"], None)
    if context.is_json:
        context.data(started)
    else:
        context.say(started["guid"] if not context.argument("wait") else f"{started['guid']} {started['status']}")
    return _end(started) if context.argument("wait") else 0


def show_all(context: Context) -> int:
    """List them, newest first."""
    names = {"workflow": "workflow", "status": "status", "asset_guid": "asset", "requester": "requester"}
    query = {name: context.argument(argument) for name, argument in names.items()}
    query["since"] = context.argument("since")
    items = Client(context).everything("/runs", query, context.argument("limit"))
    rows = [
        [
            item["guid"],
            (item["workflow"] or {}).get("name") or "(own spec)",
            item["status"] if item["status"] != "PENDING" else item["phase"].lower(),
            item["requester"],
            instant(item["created_at"]),
            instant(item["ended_at"]),
        ]
        for item in items
    ]
    header = ["run", "workflow", "status", "requester", "started (UTC)", "ended (UTC)"]
    context.show({"items": items}, rows, header, none="There are no such runs.")
    return 0


def show(context: Context) -> int:
    """A run and its tasks."""
    run = Client(context).ask("GET", f"/runs/{segment(context.argument('run'))}").body
    if context.is_json:
        context.data(run)
    else:
        context.say("\n".join(_described(run)))
    return 0


def watch(context: Context) -> int:
    """Each step as it happens; ends with the run."""
    return _end(follow(context, Client(context), context.argument("run")))


def wait(context: Context) -> int:
    """Until it has ended."""
    run = _until_over(Client(context), context.argument("run"), context.argument("timeout"))
    if context.is_json:
        context.data(run)
    else:
        context.say(run["status"] if run["status"] != "PENDING" else "still running")
    return 1 if run["status"] == "PENDING" else _end(run)


def act(context: Context) -> int:
    """Withdraw, cancel, terminate, pause or resume; skip or resolve a task."""
    action, task, outcome = context.argument("action"), context.argument("task"), context.argument("outcome")
    body = {"comment": context.argument("comment")} | ({"outcome": outcome} if outcome else {})
    where = f"/runs/{segment(context.argument('run'))}" + (f"/tasks/{segment(task)}" if task else "")
    answer = Client(context).ask("POST", f"{where}/{action}", body)
    if context.is_json:
        context.data(answer.body)
    elif answer.status == _ACCEPTED:
        context.say("accepted; the engine hasn't answered yet")
    else:
        context.say("done")
    return 0


def _input(context: Context) -> Any:
    text = context.argument("input")
    value = {} if text is None else json_object(text, "--input", '{"owner": "rosa"}')
    return {**value, **pairs(context.argument("set"), "--set")}


def _until_over(client: Client, guid: str, timeout_s: float | None) -> Any:
    clock = SystemClock()
    deadline_s = None if timeout_s is None else clock.monotonic_s() + timeout_s
    while True:
        left_s = WAIT_S if deadline_s is None else min(WAIT_S, max(0.0, deadline_s - clock.monotonic_s()))
        run = client.ask("GET", f"/runs/{segment(guid)}", query={"wait_s": left_s}).body
        is_late = deadline_s is not None and clock.monotonic_s() >= deadline_s
        if run["status"] != "PENDING" or is_late:
            return run


def _end(run: Any) -> int:
    return 1 if run["status"] in FAILED else 0


def _described(run: Any) -> list[str]:
    workflow = run["workflow"]
    facts = [
        ("run", run["guid"]),
        ("workflow", f"{workflow['name']}, version {workflow['version']}" if workflow else "a spec of its own"),
        ("status", run["status"] + (f" ({run['phase'].lower()})" if run["status"] == "PENDING" else "")),
        ("requester", run["requester"]),
        ("asset", (run["asset"] or {}).get("name")),
        ("started", instant(run["created_at"])),
        ("ended", instant(run["ended_at"])),
        ("comment", run["comment"]),
        ("error", f"{run['error']['name']}: {run['error'].get('message', '')}" if run["error"] else None),
        ("you may", ", ".join(run["actions"])),
    ]
    lines = [f"{name + ':':<11}{plain(str(value))}" for name, value in facts if value]
    if run["dag"]:
        rows = [
            [
                task["name"],
                task["type"],
                task["status"],
                "" if task["status"] == "PENDING" else clock_of(task.get("updated_at"), None),
                (task.get("error") or {}).get("message") or (task.get("error") or {}).get("name"),
            ]
            for task in run["dag"]["tasks"]
        ]
        lines += ["", table(["task", "type", "status", "at (UTC)", "why"], rows)]
    return lines
