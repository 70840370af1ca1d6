"""``python -m tests.real.reaper FOLDER``: stops the systems of a folder, and removes it, when its input ends."""

import sys
from pathlib import Path

from tests.real.systems import RealSystems


def main(folder: Path) -> None:
    """Waits for whoever started it."""
    sys.stdin.buffer.read()
    RealSystems.of(folder).remove()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
