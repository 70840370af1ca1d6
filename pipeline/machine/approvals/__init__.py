"""The rules of human tasks: who may decide, what is decided, which inbox items open and close."""
