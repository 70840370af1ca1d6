"""The numbers, as tables; run on demand, never as timed tests."""
