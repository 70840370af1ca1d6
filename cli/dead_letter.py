"""``blockline dead-letter …``."""

from cli.client import Client, segment
from cli.context import Context
from cli.tables import instant, plain


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
    context.say()
    context.say(plain(letter["text"]) if letter["text"] is not None else letter["payload_base64"])
    return 0
