"""APPROVAL: asks people for a decision."""
