"""The container of the vertex ``dead-letter``, and of every sink's fallback.

Settings (by the rendered manifest): ``BLOCKLINE_ATLAS`` (the address), and from Atlas' secret ``BLOCKLINE_USER`` and
``BLOCKLINE_PASSWORD``; ``BLOCKLINE_LOG_LEVEL`` and ``BLOCKLINE_LOG_FORMAT`` as everywhere.
"""

import os
import sys
from collections.abc import Mapping
from typing import Final

from pynumaflow._constants import SINK_SERVER_INFO_FILE_PATH, SINK_SOCK_PATH

from pipeline.process.clock import SystemClock
from pipeline.process.logs import configure
from pipeline.store.atlas import AtlasEntityStore
from pipeline.store.atlas_http import AtlasAccess
from sinks.dead_letter.handler import DeadLetterHandler
from sinks.dead_letter.server import build_server

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
    build_server(DeadLetterHandler(store, clock), SINK_SOCK_PATH, SINK_SERVER_INFO_FILE_PATH).start()
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
