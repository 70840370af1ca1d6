"""``run watch``: a line for each step as it happens."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from cli.client import Client, UnreachableError, segment
from cli.context import Context
from cli.tables import plain
from pipeline.process.clock import SystemClock

RECONNECT_S: Final = 60.0
"""A server that restarts is waited for this long."""
PAUSE_S: Final = 0.5


def follow(context: Context, client: Client, guid: str) -> Any:
    """Print each change until the run has ended; the run as it ended.

    Raises:
        UnreachableError: the server was away for longer than RECONNECT_S.
    """
    shown: dict[str, str] = {}
    run: Any = None
    for run in _revisions(client, guid):
        if context.is_json:
            context.data(run, is_line=True)
        else:
            for line in steps(run, shown):
                context.say(line)
    if not context.is_json:
        context.say(f"{clock_of(None, run['ended_at'])}  run {run['guid']} {run['status']}{_why(run)}")
    return run


def steps(run: Any, shown: dict[str, str]) -> list[str]:
    """Lines for the tasks that changed since ``shown``, which is brought up to date; in the order of their times."""
    changed = []
    for task in (run["dag"] or {"tasks": []})["tasks"]:
        state = f"{task['status']} {task.get('attempt')} {task.get('round')}"
        if shown.get(task["name"], "PENDING 0 0") != state and task["status"] != "PENDING":
            changed.append(task)
        shown[task["name"]] = state
    width = max((len(task["name"]) for task in (run["dag"] or {"tasks": []})["tasks"]), default=0)
    changed.sort(key=lambda task: task.get("updated_at") or 0)
    return [
        f"{clock_of(task.get('updated_at'), None)}  {plain(task['name']):<{width}}  {task['status']}{_why(task)}"
        for task in changed
    ]


def _revisions(client: Client, guid: str) -> Iterator[Any]:
    clock = SystemClock()
    after: int | None = None
    away_since_s: float | None = None
    run: Any = None
    while run is None or run["status"] == "PENDING":
        try:
            for revision, run in client.stream(f"/runs/{segment(guid)}/events", after=after):
                after, away_since_s = revision, None
                yield run
        except UnreachableError:
            now_s = clock.monotonic_s()
            away_since_s = now_s if away_since_s is None else away_since_s
            if run is None or now_s - away_since_s > RECONNECT_S:
                raise
        if run is None or run["status"] == "PENDING":
            pause(PAUSE_S)


def pause(seconds: float) -> None:
    """Do nothing for a while."""
    import threading  # noqa: PLC0415  (only a broken stream needs it)

    threading.Event().wait(seconds)


def clock_of(ms: int | None, text: str | None) -> str:
    """``12:34:56``, UTC, of Unix ms or of an RFC 3339 text; blanks of that width for neither."""
    if ms:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M:%S")
    return text[11:19] if text else " " * 8


def _why(of: Any) -> str:
    error = of.get("error")
    if not error:
        return ""
    return f"  {error['name']}" + (f": {plain(error['message'])}" if error.get("message") else "")
