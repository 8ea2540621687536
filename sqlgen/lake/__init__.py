"""Files: partitions, path patterns, listing, writing, swapping, the lock."""
