"""``blockline block …``."""

from cli.client import Client
from cli.context import Context


def show_all(context: Context) -> int:
    """The palette."""
    items = Client(context).ask("GET", "/blocks").body["items"]
    rows = [[item["type"], item["title"], item["category"], item["summary"]] for item in items]
    context.show({"items": items}, rows, ["type", "title", "category", "what it does"], none="No block is installed.")
    return 0
