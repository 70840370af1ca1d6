"""The container of the vertex ``timer``.

Settings (by the rendered manifest): ``BLOCKLINE_ATLAS`` (the address), and from Atlas' secret ``BLOCKLINE_USER`` and
``BLOCKLINE_PASSWORD``; ``BLOCKLINE_LOG_LEVEL`` and ``BLOCKLINE_LOG_FORMAT`` as everywhere.
"""

import os
import sys
from collections.abc import Mapping
from typing import Final

from pynumaflow._constants import SOURCE_SERVER_INFO_FILE_PATH, SOURCE_SOCK_PATH

from pipeline.process.clock import SystemClock
from pipeline.process.logs import configure
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from sources.timer.handler import TimerHandler
from sources.timer.server import build_server

_NEEDED: Final = ("BLOCKLINE_ATLAS", "BLOCKLINE_USER", "BLOCKLINE_PASSWORD")


def main(environment: Mapping[str, str]) -> int:
    """Serve until the platform ends the process; the exit code."""
    configure(environment.get("BLOCKLINE_LOG_LEVEL", "INFO"), environment.get("BLOCKLINE_LOG_FORMAT", "json"))
    missing = [name for name in _NEEDED if not environment.get(name)]
    if missing:
        sys.stderr.write(f"Not set: {', '.join(missing)}.\n")
        return 2
    access = AtlasAccess.basic(
        environment["BLOCKLINE_ATLAS"], environment["BLOCKLINE_USER"], environment["BLOCKLINE_PASSWORD"]
    )
    store, clock = AtlasEntityStore.over(access), SystemClock()
    build_server(TimerHandler(store, clock), clock, SOURCE_SOCK_PATH, SOURCE_SERVER_INFO_FILE_PATH).start()
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
