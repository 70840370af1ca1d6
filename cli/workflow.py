"""``blockline workflow …``."""

from pathlib import Path
from typing import Any

from cli.client import Client, segment
from cli.context import AnsweredError, Context, finding_lines
from cli.files import pairs, read_json
from cli.tables import instant


def validate(context: Context) -> int:
    """Say everything that is wrong with a spec."""
    found = Client(context).ask("POST", "/workflows/validate", {"spec": read_json(context.argument("file"))}).body
    if context.is_json:
        context.data(found)
    else:
        for line in finding_lines(found["errors"]):
            print(line, file=context.err)
        for line in finding_lines(found["warnings"]):
            context.say(f"warning: {line}")
        context.say("valid" if found["valid"] else f"invalid: {len(found['errors'])} to correct")
    return 0 if found["valid"] else 1


def push(context: Context) -> int:
    """Create or change the draft."""
    stored = _push(context, Client(context))
    if context.is_json:
        context.data(stored)
    else:
        context.say(f"{stored['name']} is stored as a draft ({stored['guid']})")
    return 0


def publish(context: Context) -> int:
    """Create or change the draft, then publish it."""
    client = Client(context)
    stored = _push(context, client)
    published = client.ask("POST", f"/workflows/{segment(stored['guid'])}/publish").body
    if context.is_json:
        context.data(published)
    elif published["unchanged"]:
        context.say(f"{published['name']} is what version {published['version']} is already; nothing to publish")
    else:
        context.say(f"{published['name']} is published as version {published['version']}")
    return 0


def show_all(context: Context) -> int:
    """List them."""
    query = {"status": context.argument("status"), "q": context.argument("query")}
    items = Client(context).everything("/workflows", query, context.argument("limit"))
    rows = [
        [item["name"], item["status"], item["version"] or "", item["owner"], instant(item["updated_at"]), item["guid"]]
        for item in items
    ]
    header = ["name", "status", "version", "owner", "changed (UTC)", "guid"]
    context.show({"items": items}, rows, header, none="There are no workflows yet.")
    return 0


def _push(context: Context, client: Client) -> Any:
    spec = read_json(context.argument("file"))
    name = context.argument("name") or Path(context.argument("file")).stem
    body = {
        "name": name,
        "spec": spec,
        "description": context.argument("description"),
        "labels": pairs(context.argument("label"), "--label"),
    }
    existing = _named(client, name)
    if existing is None:
        return client.ask("POST", "/workflows", body).body
    path = f"/workflows/{segment(existing['guid'])}"
    read = client.ask("GET", path)
    kept = {key: read.body[key] for key in ("description", "labels") if not body[key]}
    return client.ask("PUT", path, {**body, **kept}, headers={"If-Match": read.headers["etag"]}).body


def _named(client: Client, name: str) -> Any:
    try:
        found = client.everything("/workflows", {"q": name}, 1000)
    except AnsweredError as error:
        if error.problem.get("status") == 400:  # noqa: PLR2004  (a name that can't be: the next request says why)
            return None
        raise
    return next((item for item in found if item["name"] == name), None)
