"""The container of a vertex ``atlas-<shard>``: refused in this version, since nobody could tell it who people are."""

import sys
from typing import Final

_WHY: Final = (
    "A sink in a container needs a directory of people to judge who may start a run, and there is none for a cluster "
    "in this version. `blockline up` runs all sinks on one machine, fenced by a file lock.\n"
)


def main() -> int:
    """Says why not; the exit code of a wrong use."""
    sys.stderr.write(_WHY)
    return 2


if __name__ == "__main__":
    sys.exit(main())
