"""What a process needs around the library: the real clock, settings, logs, metrics."""
