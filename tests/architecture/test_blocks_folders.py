"""Every block is a folder of the same shape."""

from pathlib import Path

import pytest

RUNNERS = Path(__file__).parents[2] / "udfs" / "runners"
FOLDERS = sorted(path for path in RUNNERS.iterdir() if path.is_dir() and path.name != "__pycache__")


def test_there_are_blocks() -> None:
    assert {"pass_", "notification", "approval", "http"} <= {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("file", ["block.toml", "runner.py", "examples.jsonl", "README.md", "__init__.py"])
def test_a_block_has_its_files(folder: Path, file: str) -> None:
    assert (folder / file).read_text().strip(), f"{folder.name} needs a {file}"
