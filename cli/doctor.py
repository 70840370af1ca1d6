"""``blockline doctor``: looks at a running product and says, one line each, what is well and what to do."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from cli.atlas_account import account
from cli.client import Answer, Client, UnreachableError, segment
from cli.context import AnsweredError, Context
from cli.findings import Finding, Grade, told
from pipeline.core.errors import BlocklineError
from pipeline.process.clock import SystemClock
from pipeline.process.settings import server_settings
from pipeline.store.typedefs import TypesDifferError, engine_typedefs, missing_from

SKEW_WARN_S: Final = 5.0
"""A `Date` header tells whole seconds; less than this may be the way."""
SKEW_FAIL_S: Final = 60.0
PENDING_WARN: Final = 10_000
"""Messages that wait for a vertex."""
ATLAS_VERSION: Final = "/api/atlas/admin/version"
_NOT_LET_IN: Final = (401, 403)
_LISTS: Final = ("enumDefs", "classificationDefs", "entityDefs")
LATE_MS: Final = 60_000
"""What was due so long ago, or asked so long ago, should have been done."""
LOOKED_AT_MAX: Final = 200
"""Of late runs and commands, and of workflows."""
_WAITING: Final = {
    "blockline_cdc_pending": ("lag", "events wait for the source: see `vertices` and `sinks`, and the log"),
    "blockline_outbox_pending": ("topic", "events wait for the broker or the pipeline: see `broker` and `sinks`"),
}
_NUMBER: Final = re.compile(r"^(blockline_cdc_pending|blockline_outbox_pending) (\S+)$", re.MULTILINE)
_SAMPLE: Final = re.compile(r'^blockline_plane_(is_up|buffered)\{vertex="([^"]+)"\} (\S+)$', re.MULTILINE)
_ADVICE: Final = {
    "broker": "see that the broker runs and is reached",
    "follower": "restart the product if it doesn't come back within a minute",
    "plane": "a vertex is down: its reason is in the log",
    "sinks": "a sink gets nothing done: the reason is in the log",
    "store": "see that the disk has room and nobody else holds the database",
    "outbox": "events wait to be sent: see that the broker runs",
}


def doctor(context: Context) -> int:
    """0: nothing fails; 1: something does, or nobody answers."""
    if context.argument("data"):
        from cli.doctor_folder import folder_findings  # noqa: PLC0415  (imports much of the product)

        return told(context, list(folder_findings(Path(context.argument("data")))))
    if context.argument("atlas"):
        return told(context, _asked(Client(_as_engine(context)), "atlas", ATLAS_VERSION, ATLAS_CHECKS))
    return told(context, _asked(Client(context), "server", "/healthz", CHECKS))


def _as_engine(context: Context) -> Context:
    """Of a client that asks the Atlas, with the account that ``up --atlas`` would have."""
    settings = server_settings(context.environment, {"atlas": context.argument("atlas")})
    url, user, password = account(settings)
    signed_in = {"BLOCKLINE_URL": url, "BLOCKLINE_USER": user, "BLOCKLINE_PASSWORD": password}
    return replace(context, environment={**context.environment, **signed_in})


def _asked(
    client: Client, name: str, target: str, checks: Iterable[Callable[[Client], Iterator[Finding]]]
) -> list[Finding]:
    try:
        client.look(target)
    except UnreachableError as error:
        detail = str(error) if name == "server" else "nobody answers there as a web server does: is --atlas right?"
        return [Finding(name, Grade.FAIL, detail)]
    return [finding for check in checks for finding in _made(check, client)]


def _made(check: Callable[[Client], Iterator[Finding]], client: Client) -> list[Finding]:
    try:
        return list(check(client))
    except BlocklineError as error:
        return [Finding(check.__name__, Grade.FAIL, str(error))]


def ready(client: Client) -> Iterator[Finding]:
    """The parts of ``/readyz``."""
    body = client.look("/readyz").body
    parts = body.get("parts", {}) if isinstance(body, dict) else {}
    if not parts:
        yield Finding("ready", Grade.FAIL, "/readyz doesn't answer as Blockline does: is BLOCKLINE_URL right?")
    for name, is_well in parts.items():
        advice = "" if is_well else f"not ready: {_ADVICE.get(name, 'see the log')}"
        yield Finding(name, Grade.OK if is_well else Grade.FAIL, advice or "ready")


def atlas(client: Client) -> Iterator[Finding]:
    """An Atlas by itself: whether it is one, and lets the engine's account in."""
    answer = client.look(ATLAS_VERSION)
    if answer.status in _NOT_LET_IN:
        names = "BLOCKLINE_ATLAS_USER and BLOCKLINE_ATLAS_PASSWORD"
        yield Finding("atlas", Grade.FAIL, f"it refuses this account ({answer.status}): look at {names}")
    elif not isinstance(answer.body, dict) or "Version" not in answer.body:
        yield Finding("atlas", Grade.FAIL, f"what answers there ({answer.status}) isn't Atlas: is --atlas right?")
    else:
        yield Finding("atlas", Grade.OK, f"version {answer.body['Version']}")
        yield skew(answer, SystemClock().now_ms() / 1000)
        yield from types(client)
        yield from due(client)


def clock(client: Client) -> Iterator[Finding]:
    """This machine's clock against the server's."""
    yield skew(client.look("/healthz"), SystemClock().now_ms() / 1000)


def skew(answer: Answer, now_s: float) -> Finding:
    """What the ``Date`` of an answer says of a clock that shows ``now_s`` (Unix seconds)."""
    try:
        apart_s = abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - now_s)
    except (KeyError, ValueError):
        return Finding("clock", Grade.WARN, "the server doesn't tell its time")
    if apart_s < SKEW_WARN_S:
        return Finding("clock", Grade.OK, "this machine and the server agree")
    grade = Grade.WARN if apart_s < SKEW_FAIL_S else Grade.FAIL
    return Finding("clock", grade, f"{apart_s:.0f} s apart from the server: set both clocks by NTP")


def types(client: Client) -> Iterator[Finding]:
    """The engine's types in Atlas."""
    answer = client.look("/api/atlas/v2/types/typedefs")
    if not isinstance(answer.body, dict) or not any(name in answer.body for name in _LISTS):
        yield Finding("types", Grade.FAIL, f"Atlas answers {answer.status} and no types: sign in as an administrator")
        return
    yield compared({body["name"]: body for name in _LISTS for body in answer.body.get(name) or ()})


def compared(there: Mapping[str, Mapping[str, Any]]) -> Finding:
    """What the typedefs of an Atlas, by name, lack of the engine's."""
    try:
        change = missing_from(there, engine_typedefs())
    except TypesDifferError as error:
        return Finding("types", Grade.FAIL, str(error))
    lacking = sorted(body["name"] for part in (change.new, change.changed) for each in part.values() for body in each)
    if lacking:
        return Finding("types", Grade.FAIL, f"missing or too old: {', '.join(lacking)}; a start registers them")
    return Finding("types", Grade.OK, "registered and compatible")


def vertices(client: Client) -> Iterator[Finding]:
    """Whether the vertices are up, and what waits for them."""
    text = client.look("/metrics").body
    yield from measured(text if isinstance(text, str) else "")


def measured(text: str) -> Iterator[Finding]:
    """What the metrics say of the vertices."""
    values: dict[str, dict[str, float]] = {"is_up": {}, "buffered": {}}
    for name, vertex, value in _SAMPLE.findall(text):
        values[name][vertex] = float(value)
    down = sorted(vertex for vertex, is_up in values["is_up"].items() if not is_up)
    if not values["is_up"]:
        yield Finding("vertices", Grade.WARN, "/metrics tells of no vertices: a cluster's are Numaflow's to show")
        return
    detail = f"down: {', '.join(down)}; their reasons are in the log" if down else f"{len(values['is_up'])} are up"
    yield Finding("vertices", Grade.FAIL if down else Grade.OK, detail)
    for name, value in _NUMBER.findall(text):
        check, advice = _WAITING[name]
        is_late = float(value) > PENDING_WARN
        detail = f"{float(value):.0f} {advice}" if is_late else f"{float(value):.0f} wait"
        yield Finding(check, Grade.WARN if is_late else Grade.OK, detail)
    late = sorted(vertex for vertex, waiting in values["buffered"].items() if waiting > PENDING_WARN)
    detail = f"more than {PENDING_WARN} wait for {', '.join(late)}" if late else "no vertex is behind"
    yield Finding("pending", Grade.WARN if late else Grade.OK, detail)


def due(client: Client) -> Iterator[Finding]:
    """Runs and commands that no shard looks after: nobody holds its lease, or its sink gets nothing done."""
    before = str(SystemClock().now_ms() - LATE_MS)
    runs = _late(client, "WorkflowRun", [("workflowRunWakeAt", "gt", "0"), ("workflowRunWakeAt", "lt", before)])
    commands = _late(
        client,
        "WorkflowRunCommand",
        [("workflowRunCommandStatus", "eq", "OPEN"), ("workflowRunCommandAt", "lt", before)],
    )
    for check, found, what in (("leases", runs, "runs were due"), ("commands", commands, "commands were asked")):
        if found is None:
            yield Finding(check, Grade.WARN, "Atlas is elsewhere, so its runs can't be looked for here")
        elif found:
            detail = f"{found} {what} over a minute ago: the sinks that own them hold no lease or get nothing done"
            yield Finding(check, Grade.FAIL, f"{detail}; see `sinks`, and the log for who holds the lease")
        else:
            yield Finding(check, Grade.OK, "nothing is overdue")


def _late(client: Client, type_name: str, conditions: list[tuple[str, str, str]]) -> int | None:
    """How many there are, at most :data:`LOOKED_AT_MAX`; None where this server isn't the Atlas."""
    criterion = [
        {"attributeName": name, "operator": operator, "attributeValue": value} for name, operator, value in conditions
    ]
    body = {
        "typeName": type_name,
        "excludeDeletedEntities": True,
        "entityFilters": {"condition": "AND", "criterion": criterion},
        "limit": LOOKED_AT_MAX,
    }
    answer = client.look("/api/atlas/v2/search/basic", body)
    if answer.status in _NOT_LET_IN:
        raise AnsweredError({"detail": f"Atlas answers {answer.status}: sign in as an administrator"})
    if not isinstance(answer.body, dict) or "searchParameters" not in answer.body:
        return None
    return len(answer.body.get("entities") or ())


def blocks(client: Client) -> Iterator[Finding]:
    """Whether every type that published workflows use has its block, and so its vertex."""
    installed = {block["type"] for block in client.ask("GET", "/blocks").body["items"]}
    workflows = client.everything("/workflows", {"status": "PUBLISHED"}, LOOKED_AT_MAX)
    lacking: dict[str, set[str]] = {}
    for workflow in workflows:
        spec = client.ask("GET", f"/workflows/{segment(workflow['guid'])}").body.get("spec") or {"dag": {"tasks": []}}
        for name in {task["type"] for task in spec["dag"]["tasks"]} - installed:
            lacking.setdefault(name, set()).add(workflow["name"])
    for name, users in sorted(lacking.items()):
        detail = f"no block of type {name} is installed, and {', '.join(sorted(users)[:5])} use it: their tasks fail"
        yield Finding("blocks", Grade.FAIL, f"{detail} Engine.NoRunner; install it, or publish them without it")
    if not lacking:
        yield Finding("blocks", Grade.OK, f"{len(installed)} types, and workflows use no others")


def letters(client: Client) -> Iterator[Finding]:
    """Dead letters that nobody has sent again."""
    items = client.everything("/dead-letters", {}, 200)
    waiting = sum(item.get("replay") is None for item in items)
    detail = f"{waiting} of the newest {len(items)} weren't sent again: `blockline dead-letter list`"
    yield Finding("letters", Grade.WARN if waiting else Grade.OK, detail if waiting else "none waits")


def mail(client: Client) -> Iterator[Finding]:
    """Where mails go."""
    match client.look("/outbox").status:
        case 404:
            yield Finding("mail", Grade.OK, "a mail server is set")
        case 200:
            yield Finding("mail", Grade.WARN, "mails stay here (/outbox): set BLOCKLINE_SMTP_URL to send them")
        case status:
            raise AnsweredError({"detail": f"/outbox answers {status}: sign in as an administrator"})


CHECKS: Final = (ready, clock, types, vertices, due, blocks, letters, mail)
ATLAS_CHECKS: Final = (atlas,)
