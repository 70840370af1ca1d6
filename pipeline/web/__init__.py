"""Calls to web services that authors name: a port, the client that guards what it may reach, a scripted one."""
