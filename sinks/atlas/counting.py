"""What a sink tells of itself."""

import logging
from typing import Final

from pipeline.process.metrics import SINK_INPUTS, SINK_STATE_CHANGES, SINK_WRITE_REQUESTS
from sinks.atlas.answers import Shard

_LOG: Final = logging.getLogger("blockline.sink")


class CountingObserver:
    """See :class:`sinks.atlas.answers.SinkObserver`: Prometheus, and a warning in the log for an alert."""

    def __init__(self, shard: Shard) -> None:
        """Counts as this shard's."""
        number = str(shard.number)
        self._vertex = shard.vertex
        self._inputs = SINK_INPUTS.labels(number)
        self._requests = SINK_WRITE_REQUESTS.labels(number)
        self._changes = SINK_STATE_CHANGES.labels(number)

    def inputs(self, count: int) -> None:
        """See the port."""
        self._inputs.inc(count)

    def write_request(self) -> None:
        """See the port."""
        self._requests.inc()

    def runs_written(self, count: int) -> None:
        """See the port."""
        self._changes.inc(count)

    def alert(self, kind: str, run_guid: str, detail: str) -> None:
        """See the port."""
        _LOG.warning("%s: run %s: %s", kind, run_guid, detail, extra={"vertex": self._vertex, "run": run_guid})
