"""From the manifests of the installed blocks to what the pipeline needs of them."""

from collections.abc import Iterable

from pipeline.blocks.manifest import Manifest
from pipeline.topology.model import Access, RunnerBlock


def runner_blocks(manifests: Iterable[Manifest]) -> tuple[RunnerBlock, ...]:
    """One a block, in the given order."""
    return tuple(
        RunnerBlock(
            type=manifest.type,
            replicas_min=manifest.replicas.min,
            replicas_max=manifest.replicas.max,
            access=(Access.MAIL,) if "mail" in manifest.capabilities else (),
        )
        for manifest in manifests
    )
