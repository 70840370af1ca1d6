"""``blockline dead-letter …``."""

from typing import Any, Final

from cli.client import Client, segment
from cli.context import Context
from cli.tables import instant, plain
from cli.watching import pause
from pipeline.process.clock import SystemClock

LOOK_S: Final = 0.5
WAIT_S: Final = 60.0
"""The timer looks for replays every five seconds; one that takes so much longer waits for something else."""


def show_all(context: Context) -> int:
    """List them, newest first."""
    query = {"vertex": context.argument("vertex"), "run": context.argument("run")}
    items = Client(context).everything("/dead-letters", query, context.argument("limit"))
    rows = [[item["id"], instant(item["at"]), item["vertex"], item["run"], item["reason"]] for item in items]
    header = ["id", "at (UTC)", "vertex", "run", "reason"]
    context.show({"items": items}, rows, header, none="There are no dead letters.")
    return 0


def show(context: Context) -> int:
    """One, with what it was."""
    letter = Client(context).ask("GET", f"/dead-letters/{segment(context.argument('id'))}").body
    if context.is_json:
        context.data(letter)
        return 0
    for name in ("id", "at", "vertex", "run", "reason", "bytes", "sha256", "source_offset"):
        if letter[name] is not None:
            context.say(f"{name + ':':<15}{plain(str(letter[name]))}")
    if letter["replay"] is not None:
        context.say(f"{'replay:':<15}{plain(_replay(letter['replay']))}")
    context.say()
    context.say(plain(letter["text"]) if letter["text"] is not None else letter["payload_base64"])
    return 0


def replay(context: Context) -> int:
    """Send it again, and say what became of it; 1 if it was refused again."""
    client, path, clock = Client(context), f"/dead-letters/{segment(context.argument('id'))}", SystemClock()
    letter = client.ask("POST", f"{path}/replay").body
    deadline_s = clock.monotonic_s() + WAIT_S
    while letter["replay"]["status"] == "ASKED" and clock.monotonic_s() < deadline_s:
        pause(LOOK_S)
        letter = client.ask("GET", path).body
    if context.is_json:
        context.data(letter)
    else:
        context.say(plain(_replay(letter["replay"])))
    return int(letter["replay"]["status"] != "DONE")


def _replay(replay: dict[str, Any]) -> str:
    asked = f"asked for by {replay['by']} at {instant(replay['at'])}"
    match replay["status"]:
        case "ASKED":
            return f"{asked}; the pipeline hasn't taken it yet"
        case "DONE":
            again = " It has been refused again since." if replay["is_refused_again"] else ""
            return f"{asked}. {replay['note']}{again}"
        case _:
            return f"{asked}. Refused: {replay['note']}"
