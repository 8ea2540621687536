"""Plans: which partitions are stale, why, and in what order they are built."""
