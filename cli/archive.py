"""``blockline archive …``: reads the files, whether or not a server runs."""

from typing import Any

from cli.context import Context
from cli.tables import instant, plain
from pipeline.core.errors import BlocklineError
from pipeline.core.instants import instant_text
from pipeline.process.settings import archive_folder, server_settings
from pipeline.retention.archive import Archive
from pipeline.retention.index import ArchiveIndex
from pipeline.retention.records import ArchivedRun


class NoSuchRunError(BlocklineError):
    """The archive hasn't got it."""


def show_all(context: Context) -> int:
    """List archived runs, those that ended last first."""
    runs = ArchiveIndex(_archive(context).folder).listed(context.argument("limit"))
    items = [
        {"guid": run.guid, "status": run.status, "requester": run.requester, "ended_at": instant_text(run.ended_at),
         "archived_on": run.day}
        for run in runs
    ]  # fmt: skip
    rows = [[run.guid, run.status, run.requester, instant(instant_text(run.ended_at)), run.day] for run in runs]
    header = ["run", "status", "requester", "ended at (UTC)", "archived on"]
    context.show({"items": items}, rows, header, none="The archive is empty.")
    return 0


def show(context: Context) -> int:
    """One run with everything of it."""
    archive, guid = _archive(context), str(context.argument("run"))
    found = ArchiveIndex(archive.folder).find(guid)
    run = archive.run(guid, found.day if found else "*")
    if run is None:
        raise NoSuchRunError("There is no such run in this archive.")
    if context.is_json:
        context.data(_body(run))
        return 0
    for name, value in (
        ("run", run.guid),
        ("name", run.qualified_name),
        ("status", run.status),
        ("requester", run.requester),
        ("ended at", instant(instant_text(run.ended_at))),
        ("archived at", instant(instant_text(run.archived_at))),
    ):
        context.say(f"{name + ':':<13}{plain(value)}")
    for entity in run.entities:
        context.say()
        context.say(plain(f"{entity.type_name} {entity.qualified_name}"))
        for name, value in sorted(entity.attributes.items()):
            context.say(plain(f"  {name}: {value}"))
    return 0


def _body(run: ArchivedRun) -> dict[str, Any]:
    return {
        "guid": run.guid,
        "qualified_name": run.qualified_name,
        "status": run.status,
        "requester": run.requester,
        "ended_at": instant_text(run.ended_at),
        "archived_at": instant_text(run.archived_at),
        "entities": [
            {"type": entity.type_name, "guid": entity.guid, "qualified_name": entity.qualified_name,
             "attributes": dict(entity.attributes)}
            for entity in run.entities
        ],
        "audit": [{"at": instant_text(line.at), "by": line.by, "action": line.action} for line in run.audit],
    }  # fmt: skip


def _archive(context: Context) -> Archive:
    return Archive(archive_folder(server_settings(context.environment, {"data": context.argument("data")})))
