"""NOTIFICATION: tells people by mail."""
