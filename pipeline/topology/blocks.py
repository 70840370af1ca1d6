"""From the manifests of the installed blocks to what the pipeline needs of them."""

from collections.abc import Iterable
from typing import Final

from pipeline.blocks.manifest import Manifest
from pipeline.topology.model import Access, RunnerBlock

_ACCESS: Final = {"mail": Access.MAIL, "catalog": Access.ATLAS}


def runner_blocks(manifests: Iterable[Manifest]) -> tuple[RunnerBlock, ...]:
    """One a block, in the given order."""
    return tuple(
        RunnerBlock(
            type=manifest.type,
            replicas_min=manifest.replicas.min,
            replicas_max=manifest.replicas.max,
            access=tuple(access for name, access in _ACCESS.items() if name in manifest.capabilities),
            has_secrets=manifest.has_secrets,
        )
        for manifest in manifests
    )
