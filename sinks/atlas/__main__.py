"""The container of a vertex ``atlas-<shard>``: refused in this version, since it would write without a fence."""

import sys
from typing import Final

_WHY: Final = (
    "A sink in a container needs the cluster's Lease to be the one writer of its slots, and a directory of people; "
    "neither is available in this version. `blockline up` runs all sinks on one machine, fenced by a file lock.\n"
)


def main() -> int:
    """Says why not; the exit code of a wrong use."""
    sys.stderr.write(_WHY)
    return 2


if __name__ == "__main__":
    sys.exit(main())
