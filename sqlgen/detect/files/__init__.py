"""Files and their names: format, groups of one kind, the pattern of their paths."""
