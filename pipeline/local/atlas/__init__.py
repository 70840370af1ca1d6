"""An Atlas-compatible server on SQLite, for one machine; see docs/adr/0006-embedded-atlas.md."""
