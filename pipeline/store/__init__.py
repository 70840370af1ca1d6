"""The port to Atlas, its adapters, the types, and the leases of the slots."""
