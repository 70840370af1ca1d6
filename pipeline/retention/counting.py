"""What retention tells of itself."""

from typing import Final

from pipeline.process.metrics import counter

ARCHIVED: Final = counter(
    "blockline_retention_archived_total",
    "Ended runs written to the archive.",
    unit="runs",
    action="None for days although runs end: see `blockline_retention_failed_total`.",
)
PURGED: Final = counter(
    "blockline_retention_purged_total",
    "Archived runs removed from the store.",
    unit="runs",
    action="Less than were archived: the next pass goes on where one stopped.",
)
FAILED: Final = counter(
    "blockline_retention_failed_total",
    "Passes of retention that failed.",
    unit="passes",
    action="The log says why: a full disk for the archive, or a store that was away.",
)
