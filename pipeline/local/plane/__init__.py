"""The local data plane: executes the rendered Pipeline manifest on one machine with Numaflow's semantics."""
