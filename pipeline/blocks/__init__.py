"""The contract of a block, its manifest, the registry, and the shell that runs it in a vertex."""
