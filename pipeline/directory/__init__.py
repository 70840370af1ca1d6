"""People, groups and their members."""
