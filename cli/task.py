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
    body = {"action": context.argument("action").upper(), "comment": context.argument("comment")}
    answer = Client(context).ask("POST", f"/tasks/{segment(context.argument('task'))}/decide", body)
    if context.is_json:
        context.data(answer.body)
    elif answer.status == _ACCEPTED:
        context.say("accepted; the engine hasn't answered yet")
    else:
        context.say(f"decided: {body['action']}")
    return 0
