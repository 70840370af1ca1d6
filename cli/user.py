"""``blockline user …``."""

import getpass
import sys
from typing import Any

from cli.client import Client, segment
from cli.context import Context, UsageError


def show_all(context: Context) -> int:
    """List them."""
    items = Client(context).everything("/users", {}, context.argument("limit"))
    rows = [[item["name"], item["email"], item["roles"], item["groups"]] for item in items]
    context.show({"items": items}, rows, ["name", "email", "roles", "groups"], none="There are no users.")
    return 0


def add(context: Context) -> int:
    """Add one; a password that isn't given is asked for."""
    body = _body(context)
    if body.get("password") is None:
        if not sys.stdin.isatty():
            raise UsageError("Give the password with --password.")
        body["password"] = getpass.getpass("Password: ")
    user = Client(context).ask("POST", "/users", {"name": context.argument("name"), **body}).body
    return _done(context, user, "added")


def set(context: Context) -> int:  # noqa: A001  (the command's name)
    """Change what is given."""
    body = _body(context)
    if not body:
        raise UsageError("Say what to change: --password, --email, --group or --role.")
    user = Client(context).ask("PUT", f"/users/{segment(context.argument('name'))}", body).body
    return _done(context, user, "changed")


def remove(context: Context) -> int:
    """Remove one."""
    name = context.argument("name")
    Client(context).ask("DELETE", f"/users/{segment(name)}")
    return _done(context, {"name": name}, "removed")


def _body(context: Context) -> dict[str, Any]:
    body = {
        "password": context.argument("password"),
        "email": context.argument("email"),
        "groups": context.argument("group"),
        "roles": context.argument("role"),
    }
    return {name: value for name, value in body.items() if value is not None}


def _done(context: Context, user: Any, what: str) -> int:
    if context.is_json:
        context.data(user)
    else:
        context.say(f"{user['name']} is {what}")
    return 0
