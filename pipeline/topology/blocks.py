"""From the manifests of the installed blocks to what the pipeline needs of them."""

from collections.abc import Iterable
from typing import Final

from pipeline.blocks.manifest import Manifest
from pipeline.topology.model import Access, RunnerBlock

_CAPABILITIES: Final = {"mail": Access.MAIL}
_NEEDS: Final = {"directory": Access.DIRECTORY}


def runner_blocks(manifests: Iterable[Manifest]) -> tuple[RunnerBlock, ...]:
    """One a block, in the given order."""
    return tuple(
        RunnerBlock(
            type=manifest.type,
            replicas_min=manifest.replicas.min,
            replicas_max=manifest.replicas.max,
            access=(
                Access.READER,  # outputs that are entities, for all; the catalog for those that ask for it
                *(access for name, access in _CAPABILITIES.items() if name in manifest.capabilities),
                *(access for name, access in _NEEDS.items() if name in manifest.needs),
            ),
            has_secrets=manifest.has_secrets,
        )
        for manifest in manifests
    )
