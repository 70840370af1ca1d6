"""Where golden files lie, and how one is added; a recorded file is never written again.

``python -m tests.golden.recorded`` records what has no file yet.
"""

from pathlib import Path
from typing import Final

from tests.golden.archived import ARCHIVED
from tests.golden.histories import HISTORIES, lines_of
from tests.golden.messages import MESSAGES, SEALED

HERE: Final = Path(__file__).parent
MESSAGES_V1: Final = HERE / "messages" / "v1"
SEALED_V1: Final = HERE / "sealed" / "v1"
HISTORIES_V1: Final = HERE / "histories" / "v1"
ARCHIVE_V1: Final = HERE / "archive" / "v1"

HOW_TO: Final = (
    "What is on the wire or on disk has changed, and version 1 must be read and written like this for ever. If the new "
    "form is meant: give it the next version number beside the old one, keep reading the old, add a case for it here, "
    "and record it with `python -m tests.golden.recorded`, which never overwrites a file."
)


def contents() -> dict[Path, bytes]:
    """What each file holds as the code writes it now."""
    files = {MESSAGES_V1 / f"{name}.json": message.encode() for name, message in MESSAGES.items()}
    files |= {ARCHIVE_V1 / "run.jsonl": ARCHIVED.line()}
    files |= {SEALED_V1 / f"{name}.json": text.encode() for name, text in SEALED.items()}
    return files | {HISTORIES_V1 / f"{name}.jsonl": lines_of(history) for name, history in HISTORIES.items()}


def record() -> None:
    for path, content in contents().items():
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"recorded {path.relative_to(HERE)}")


if __name__ == "__main__":
    record()
