"""What the palette says of the blocks is an interface: forms, exported workflows and other people's code rely on it."""

from pathlib import Path

import pytest

from pipeline.blocks.registry import Registry
from pipeline.messages.canonical import decode, encode

REGISTRY = Registry.load("udfs.runners")
GOLDEN = Path(__file__).parent


@pytest.mark.parametrize("block_type", REGISTRY.types())
def test_the_palette_says_what_it_said(block_type: str) -> None:
    path = GOLDEN / f"{block_type.lower()}.json"
    said = decode(path.read_bytes())
    assert decode(encode(REGISTRY.describe(block_type))) == said, (
        f"the description of {block_type} has changed. If specs that were valid stay valid, write it anew: "
        "python -m tests.golden.blocks.test_palette"
    )


if __name__ == "__main__":
    for each in REGISTRY.types():
        (GOLDEN / f"{each.lower()}.json").write_bytes(encode(REGISTRY.describe(each)) + b"\n")
