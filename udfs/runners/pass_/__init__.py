"""PASS: gives back what it is given."""
