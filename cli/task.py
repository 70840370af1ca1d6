"""``blockline task …``."""

from typing import Any, Final

from cli.client import Client, segment
from cli.context import Context
from cli.files import json_object
from cli.tables import instant

_ACCEPTED: Final = 202
_COMMON: Final = ("APPROVED", "REJECTED")


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
    """Answer one; the answers that every question has may be typed in any case."""
    typed = context.argument("action")
    action = typed.upper() if typed.upper() in _COMMON else typed
    body: dict[str, Any] = {"action": action}
    form = context.argument("form")
    if form is not None:
        body["form"] = json_object(form, "--form", '{"days": 30}')
    return _say(context, "decide", body, f"decided: {action}")


def delegate(context: Context) -> int:
    """Hand one on."""
    to = context.argument("to")
    return _say(context, "delegate", {"to": to}, f"delegated to {to}")


def _say(context: Context, what: str, body: dict[str, Any], said: str) -> int:
    path = f"/tasks/{segment(context.argument('task'))}/{what}"
    answer = Client(context).ask("POST", path, {**body, "comment": context.argument("comment")})
    if context.is_json:
        context.data(answer.body)
    else:
        context.say("accepted; the engine hasn't answered yet" if answer.status == _ACCEPTED else said)
    return 0
