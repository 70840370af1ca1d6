"""The state machine of a run: pure functions from a run and inputs to the next run and the effects to write."""
