"""HTTP: calls a web service."""
