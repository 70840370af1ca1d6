"""The suite for every block, over those that are installed."""

import pytest

from pipeline.blocks.registry import Block, Registry
from pipeline.testing.block_suite import (
    Example,
    check_block,
    check_contract,
    check_examples_validate,
    check_folder,
    check_schema,
    examples_of,
    run_example,
)

REGISTRY = Registry.load("udfs.runners")
TYPES = REGISTRY.runner_types()
EXAMPLES = [(REGISTRY.block(kind), example) for kind in TYPES for example in examples_of(REGISTRY.block(kind))]


def test_the_blocks_of_this_version_are_installed() -> None:
    assert TYPES == ("APPROVAL", "HTTP", "METADATA", "NOTIFICATION", "PASS")


@pytest.mark.parametrize("block_type", TYPES)
def test_a_block_is_in_order(block_type: str) -> None:
    check_folder(REGISTRY.block(block_type))
    check_contract(REGISTRY.block(block_type))
    check_schema(REGISTRY, block_type)
    check_examples_validate(REGISTRY, REGISTRY.block(block_type))


@pytest.mark.parametrize(
    ("block", "example"), EXAMPLES, ids=[f"{block.manifest.type}: {example.name}" for block, example in EXAMPLES]
)
def test_an_example_is_true(block: Block, example: Example) -> None:
    run_example(block, example)


@pytest.mark.parametrize("block_type", TYPES)
def test_what_authors_call_says_the_same(block_type: str) -> None:
    check_block(REGISTRY, block_type)
