"""``blockline task …``."""

from typing import Final

from cli.client import Client, segment
from cli.context import Context
from cli.tables import instant

_ACCEPTED: Final = 202


def show_all(context: Context) -> int:
    """The caller's inbox."""
    query = {"status": context.argument("status"), "run": context.argument("run")}
    items = Client(context).everything("/tasks", query, context.argument("limit"))
    rows = [
        [item["guid"], item["title"], item["requester"], item["options"], instant(item["due_at"]), item["run"]]
        for item in items
    ]
    header = ["task", "question", "asked by", "answers", "due (UTC)", "run"]
    context.show({"items": items}, rows, header, none="Your inbox is empty.")
    return 0


def decide(context: Context) -> int:
    """Answer one."""
    action = context.argument("action").upper()
    return _say(context, "decide", {"action": action}, f"decided: {action}")


def delegate(context: Context) -> int:
    """Hand one on."""
    to = context.argument("to")
    return _say(context, "delegate", {"to": to}, f"delegated to {to}")


def _say(context: Context, what: str, body: dict[str, str], said: str) -> int:
    path = f"/tasks/{segment(context.argument('task'))}/{what}"
    answer = Client(context).ask("POST", path, {**body, "comment": context.argument("comment")})
    if context.is_json:
        context.data(answer.body)
    else:
        context.say("accepted; the engine hasn't answered yet" if answer.status == _ACCEPTED else said)
    return 0
