"""Runs that ended long ago, in a store in memory, and an archive in a folder."""

import asyncio
from pathlib import Path
from typing import Any

from pipeline.messages.envelopes import EntityWrite
from pipeline.retention.archive import Archive
from pipeline.retention.records import AuditLine
from pipeline.retention.selection import Selection
from pipeline.retention.sweep import DAY_MS, Batch, Retention
from pipeline.store import types
from pipeline.store.port import EntityStore
from tests.unit.sinks.world import SEAL, SinkWorld, result

DAYS = 30


async def audit(guid: str) -> list[AuditLine]:
    return [AuditLine(1, "ann", f"ENTITY_CREATE {guid}")]


class RetentionWorld:
    """Runs are the real sink's; they ended ``DAYS`` + 1 days ago unless they live."""

    def __init__(self, folder: Path, *, ended: int = 0) -> None:
        self.engine = SinkWorld()
        self.store: EntityStore = self.engine.store
        self.archive = Archive(folder / "archive")
        self.ended = [self.run(f"blockline/runs/{number}") for number in range(ended)]
        self.pass_days(DAYS + 1)

    def pass_days(self, days: int) -> None:
        self.engine.clock.ms += days * DAY_MS

    def run(self, name: str, *, is_over: bool = True) -> str:
        """A run with an inbox item, a command and an output, all settled."""
        guid = self.engine.start(name=name)
        if is_over:
            self.engine.handle(result(guid))
            assert self.engine.status(guid) == "SUCCESS"
        self.engine.write(
            belonging(types.ITEM, guid, "item", {types.ITEM_RUN_GUID: guid, types.ITEM_STATUS: "DECIDED"}),
            belonging(types.COMMAND, guid, "command", {types.COMMAND_RUN_GUID: guid, types.COMMAND_STATUS: "APPLIED"}),
            belonging(types.OUTPUT, guid, "output", {types.OUTPUT_RUN_GUID: guid, types.OUTPUT_TEXT: '"much"'}),
        )
        return guid

    def retention(self, *, store: EntityStore | None = None, archive: Archive | None = None) -> Retention:
        store = store or self.store
        return Retention(store, Selection(store, SEAL, audit), archive or self.archive, self.engine.clock, DAYS)

    def sweep(self, retention: Retention | None = None, *, is_dry: bool = False) -> list[Batch]:
        retention = retention or self.retention()
        self.archive.hold()
        try:
            return asyncio.run(_all(retention, is_dry=is_dry))
        finally:
            self.archive.release()

    def is_in_store(self, guid: str) -> bool:
        """Whether it is there, with everything."""
        return not self.gone_from_store(guid)

    def gone_from_store(self, guid: str) -> bool:
        return guid not in asyncio.run(self.store.get([guid]))

    def belongings(self, guid: str) -> set[str]:
        kinds = {types.ITEM: "item", types.COMMAND: "command", types.OUTPUT: "output"}
        return {end for kind, end in kinds.items() if self.engine.named(kind, f"{guid}/{end}") is not None}


def belonging(kind: str, guid: str, end: str, attributes: dict[str, Any]) -> EntityWrite:
    return EntityWrite(type_name=kind, qualified_name=f"{guid}/{end}", attributes={"name": end, **attributes})


async def _all(retention: Retention, *, is_dry: bool) -> list[Batch]:
    return [batch async for batch in retention.a_pass(is_dry=is_dry)]
