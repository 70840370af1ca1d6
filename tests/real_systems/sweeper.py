"""``python -m tests.real_systems.sweeper DATA URL STEP``: retention a year from now, killed before or after a step.

``STEP`` is the store's ``before-delete``, ``before-purge`` or ``after-purge``; any other word kills nobody.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cli.adapters import AtlasAudit
from cli.data_folder import DataFolder
from cli.retention import Housekeeping
from pipeline.core.limits import STORE_WRITE_TIMEOUT_S
from pipeline.messages.seal import Seal
from pipeline.process.clock import SystemClock
from pipeline.process.settings import ServerSettings
from pipeline.retention.sweep import DAY_MS
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from pipeline.store.wire import HttpWire
from tests.real.configuration import PASSWORD, USER

YEAR_DAYS = 366


class NextYear(SystemClock):
    """What ends today ended long ago."""

    def now_ms(self) -> int:
        return super().now_ms() + YEAR_DAYS * DAY_MS


class MortalStore(AtlasEntityStore):
    """Its process is killed at one step."""

    dies_at = ""

    async def delete(self, guids: Sequence[str]) -> None:
        self._may_die("before-delete")
        await super().delete(guids)

    async def purge(self, guids: Sequence[str]) -> None:
        self._may_die("before-purge")
        await super().purge(guids)
        self._may_die("after-purge")

    def _may_die(self, step: str) -> None:
        if step == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(data: str, url: str, step: str) -> None:
    """One pass."""
    access, settings = AtlasAccess.basic(url, USER, PASSWORD), ServerSettings(data=data)
    audit = AtlasAudit(access, None)
    store = MortalStore(HttpWire(access, timeout_s=STORE_WRITE_TIMEOUT_S))
    store.dies_at = step
    try:
        seal = Seal(DataFolder(Path(data)).engine_key())
        done = await Housekeeping(store, seal, audit, settings, NextYear()).a_pass()
        print(done.archived, done.purged)
    finally:
        await audit.aclose()
        await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
