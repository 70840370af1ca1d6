"""METADATA: changes an asset of the catalog, and reads it."""
