"""``blockline manifests render``."""

from pathlib import Path

from cli.context import Context, UsageError
from pipeline.blocks.registry import Registry
from pipeline.topology.blocks import runner_blocks
from pipeline.topology.build import build_topology
from pipeline.topology.render import render as rendered
from pipeline.topology.values import Values, parse_values

RUNNERS = "udfs.runners"


def render(context: Context) -> int:
    """Print the manifests of the installed blocks."""
    values = _values(context.argument("values"))
    text = manifest_of(Registry.load(RUNNERS), values)
    if context.is_json:
        context.data({"manifests": text})
    else:
        context.out.write(text)
    return 0


def manifest_of(registry: Registry, values: Values) -> str:
    """The rendered manifests."""
    blocks = runner_blocks(registry.manifest(block_type) for block_type in registry.runner_types())
    return rendered(build_topology(blocks, values.shards), values)


def _values(name: str | None) -> Values:
    if name is None:
        return Values()
    try:
        return parse_values(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{name} can't be read: {error.strerror}.") from None
