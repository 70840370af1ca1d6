"""Ended runs leave the store: archived to files, then purged."""
