"""Names, limits and errors that everything else builds on; standard library only."""
