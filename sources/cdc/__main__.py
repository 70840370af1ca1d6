"""The container of the vertex ``cdc``: a consumer group on a real Kafka.

Settings (by the rendered manifest): ``BLOCKLINE_KAFKA`` (``host:port``, more with commas), ``BLOCKLINE_KAFKA_TOPIC``,
``BLOCKLINE_KAFKA_GROUP``; ``BLOCKLINE_LOG_LEVEL`` and ``BLOCKLINE_LOG_FORMAT`` as everywhere.
"""

import os
import sys

import aiorun
from pynumaflow._constants import SOURCE_SERVER_INFO_FILE_PATH, SOURCE_SOCK_PATH

from pipeline.cdc.consumer import GroupReader
from pipeline.cdc.topics import TOPIC
from pipeline.process.clock import SystemClock
from pipeline.process.logs import configure
from sources.cdc.handler import CdcSource
from sources.cdc.server import build_server


async def serve(bootstrap: str, topic: str, group: str) -> None:
    """Serve until the container is stopped or the server has failed."""
    reader = GroupReader(bootstrap, topic, group)
    await reader.start()
    try:
        source = CdcSource(reader, SystemClock())
        await build_server(source, SOURCE_SOCK_PATH, SOURCE_SERVER_INFO_FILE_PATH).aexec()
    finally:
        await reader.close()


def main() -> int:
    """Exit code of the container."""
    environment = os.environ
    configure(environment.get("BLOCKLINE_LOG_LEVEL", "INFO"), environment.get("BLOCKLINE_LOG_FORMAT", "json"), "cdc")
    bootstrap = environment.get("BLOCKLINE_KAFKA", "")
    if not bootstrap:
        sys.stderr.write("BLOCKLINE_KAFKA names no broker: set it to HOST:PORT.\n")
        return 2
    topic = environment.get("BLOCKLINE_KAFKA_TOPIC", TOPIC)
    aiorun.run(serve(bootstrap, topic, environment.get("BLOCKLINE_KAFKA_GROUP", "blockline")), use_uvloop=True)
    return 1  # nothing ends it but a stop or a fault, and the container is to start again then


if __name__ == "__main__":
    sys.exit(main())
